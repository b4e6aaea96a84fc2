"""BookSum as published: chapters of 5 to 20 chunks of 2048 tokens.

python -m mem_alpha.main --mode=prepare --config=configs/data/booksum.py \
    --workdir=data/booksum
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('booksum',)
  config.data.chunk_tokens = 2048
  config.data.chunks, config.data.min_chunks = 20, 5
  config.data.max_questions = 1
  config.prepare.train = 100
  config.prepare.validation = 10
  config.prepare.test = 155
  return config
