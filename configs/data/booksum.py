"""BookSum as published: chapters of 5 to 20 chunks of 2048 tokens.

python -m mem_alpha.main --mode=prepare --config=configs/data/booksum.py \
    --workdir=data/booksum

The variant `booksum.py:published` is the split as published.
"""

from configs.data import variants


def get_config(arg=None):
  """`published`: the split as published."""
  config = variants.start('booksum', arg, 'published')
  config.data.chunk_tokens = 2048
  config.data.chunks, config.data.min_chunks = 20, 5
  config.data.max_questions = 1
  config.prepare.train = 100
  config.prepare.validation = 10
  config.prepare.test = 155
  config.prepare.against = ('infbench_sum',)
  return config
