"""Conflict resolution, from a list of facts (data/sources/conflict.py).

python -m mem_alpha.main --mode=prepare --config=configs/data/conflict.py \
    --workdir=data/conflict --config.data.tokens=6000

The published lengths are 6k, 32k, 64k and 262k tokens.
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('conflict', arg)
  config.data.chunk_tokens, config.data.tokens = 2048, 32_000
  config.data.max_questions = 100
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 1
  return config
