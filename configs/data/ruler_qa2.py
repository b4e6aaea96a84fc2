"""RULER-QA2 of MemoryAgentBench, two articles per question.

python -m mem_alpha.main --mode=prepare --config=configs/data/ruler_qa2.py \
    --workdir=data/ruler_qa2
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('ruler_qa2', arg)
  config.data.chunk_tokens, config.data.tokens = 2200, 473_806
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
