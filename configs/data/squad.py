"""SQuAD as published: 10 chunks of 100 to 2048 tokens, 30 to 100 questions.

python -m mem_alpha.main --mode=prepare --config=configs/data/squad.py \
    --workdir=data/squad

The variant `squad.py:published` is the split as published.
"""

from configs.data import variants


def get_config(arg=None):
  """`published`: the split as published."""
  config = variants.start('squad', arg, 'published')
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 100
  config.data.chunks = 10
  config.data.max_questions, config.data.min_questions = 100, 30
  config.data.max_answer_tokens = 4
  config.prepare.train = 100
  config.prepare.validation = 10
  config.prepare.test = 30
  config.prepare.against = ('ruler_qa1', 'ruler_qa2')
  return config
