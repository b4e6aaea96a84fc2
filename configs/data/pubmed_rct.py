"""PubMed RCT as published: 10 chunks of 1024 to 2048 tokens, 100 questions.

python -m mem_alpha.main --mode=prepare --config=configs/data/pubmed_rct.py \
    --workdir=data/pubmed_rct
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('pubmed_rct',)
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 1024
  config.data.chunks = 10
  config.data.max_questions = 100
  config.prepare.train = 90
  config.prepare.validation = 10
  config.prepare.test = 10
  return config
