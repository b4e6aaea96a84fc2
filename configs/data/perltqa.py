"""PerLTQA as published: an event per chunk, up to 30, and 20 questions or more.

python -m mem_alpha.main --mode=prepare --config=configs/data/perltqa.py \
    --workdir=data/perltqa

The variant `perltqa.py:published` is the split as published.
"""

from configs.data import variants


def get_config(arg=None):
  """`published`: the split as published."""
  config = variants.start('perltqa', arg, 'published')
  config.data.chunk_tokens = 4096
  config.data.chunks = 30
  config.data.max_questions, config.data.min_questions = 100, 20
  config.prepare.train = 27
  config.prepare.validation = 4
  config.prepare.test = 4
  return config
