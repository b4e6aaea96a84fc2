"""PerLTQA as published: an event per chunk, up to 30, and 20 questions or more.

python -m mem_alpha.main --mode=prepare --config=configs/data/perltqa.py \
    --workdir=data/perltqa
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('perltqa',)
  config.data.chunk_tokens = 4096
  config.data.chunks = 30
  config.data.max_questions, config.data.min_questions = 100, 20
  config.prepare.train = 27
  config.prepare.validation = 4
  config.prepare.test = 4
  return config
