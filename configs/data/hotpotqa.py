"""HotpotQA as published: evidence articles in chunks of 100 to 2048 tokens.

python -m mem_alpha.main --mode=prepare --config=configs/data/hotpotqa.py \
    --workdir=data/hotpotqa

The variant `hotpotqa.py:published` is the split as published.
"""

from configs.data import variants


def get_config(arg=None):
  """`published`: the split as published."""
  config = variants.start('hotpotqa', arg, 'published')
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 100
  config.data.chunks = 9
  config.data.max_questions, config.data.min_questions = 200, 10
  config.data.max_answer_tokens = 4
  config.prepare.train = 100
  config.prepare.validation = 10
  config.prepare.test = 219
  config.prepare.against = ('ruler_qa1', 'ruler_qa2')
  return config
