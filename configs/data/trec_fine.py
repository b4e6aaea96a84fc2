"""TREC with 50 labels: one test instance as long as that of MemoryAgentBench.

python -m mem_alpha.main --mode=prepare --config=configs/data/trec_fine.py \
    --workdir=data/trec_fine
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('trec_fine', arg)
  config.data.chunk_tokens, config.data.tokens = 1200, 125_604
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
