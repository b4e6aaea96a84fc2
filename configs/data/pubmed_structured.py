"""Structured abstracts: 10 chunks of 1024 to 2048 tokens, 100 questions.

python -m mem_alpha.main --mode=prepare \
    --config=configs/data/pubmed_structured.py --workdir=data/pubmed_structured
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('pubmed_structured', arg)
  config.data.chunk_tokens, config.data.min_chunk_tokens = 2048, 1024
  config.data.chunks = 10
  config.data.max_questions = 100
  config.prepare.train = 90
  config.prepare.validation = 10
  config.prepare.test = 10
  return config
