"""CLINC150: one test instance as long as that of MemoryAgentBench.

python -m mem_alpha.main --mode=prepare --config=configs/data/clinc150.py \
    --workdir=data/clinc150
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('clinc150', arg)
  config.data.chunk_tokens, config.data.tokens = 3530, 130_720
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
