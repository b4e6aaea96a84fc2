"""TREC with 50 labels: one test instance as long as that of MemoryAgentBench.

python -m mem_alpha.main --mode=prepare --config=configs/data/trec_fine.py \
    --workdir=data/trec_fine
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('trec_fine',)
  config.data.chunk_tokens, config.data.tokens = 1200, 125_604
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
