"""LoCoMo: whole conversations, all questions that have an answer.

python -m mem_alpha.main --mode=prepare --config=configs/data/locomo.py \
    --workdir=data/locomo
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('locomo', arg)
  config.data.chunk_tokens = 2048
  config.data.chunks = 100
  config.data.max_questions = 200
  config.prepare.train = 1
  config.prepare.validation = 1
  config.prepare.test = 8
  return config
