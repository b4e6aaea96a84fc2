"""HotpotQA as published: evidence articles in chunks of 100 to 2048 tokens.

python -m mem_alpha.main --mode=prepare --config=configs/data/hotpotqa.py \
    --workdir=data/hotpotqa
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('hotpotqa',)
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 100
  config.data.chunks = 9
  config.data.max_questions, config.data.min_questions = 200, 10
  config.data.max_answer_tokens = 4
  config.prepare.train = 100
  config.prepare.validation = 10
  config.prepare.test = 219
  config.prepare.against = ('ruler_qa2',)
  return config
