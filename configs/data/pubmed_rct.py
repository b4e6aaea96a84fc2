"""PubMed RCT as published: 10 chunks of 1024 to 2048 tokens, 100 questions.

python -m mem_alpha.main --mode=prepare --config=configs/data/pubmed_rct.py \
    --workdir=data/pubmed_rct

The variant `pubmed_rct.py:published` is the split as published.
"""

from configs.data import variants


def get_config(arg=None):
  """`published`: the split as published."""
  config = variants.start('pubmed_rct', arg, 'published')
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 1024
  config.data.chunks = 10
  config.data.max_questions = 100
  config.prepare.train = 90
  config.prepare.validation = 10
  config.prepare.test = 10
  return config
