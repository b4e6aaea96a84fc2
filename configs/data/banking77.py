"""BANKING77: one test instance as long as that of MemoryAgentBench.

python -m mem_alpha.main --mode=prepare --config=configs/data/banking77.py \
    --workdir=data/banking77
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('banking77', arg)
  config.data.chunk_tokens, config.data.tokens = 1185, 127_650
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
