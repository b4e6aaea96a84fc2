"""LongMemEval(S*) of MemoryAgentBench: whole histories, 60 questions each.

python -m mem_alpha.main --mode=prepare --config=configs/data/longmemeval.py \
    --workdir=data/longmemeval
python -m mem_alpha.main --mode=prepare --workdir=data/longmemeval_train \
    --config=configs/data/longmemeval.py:train

`train` makes instances of the size of the published training set (15.6 chunks
of 1522 tokens, 4 questions) from the official longmemeval_*.json.
"""

from configs.data import variants


def get_config(arg=None):
  """`train`: instances to train on."""
  config = variants.start('longmemeval', arg, 'train')
  config.data.chunk_tokens = 2048
  config.data.chunks = 1000
  config.data.max_questions = 60
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 5
  if arg == 'train':
    config.data.min_chunk_tokens = 1000
    config.data.tokens = 23_700
    config.data.max_questions = config.data.min_questions = 4
    config.prepare.train, config.prepare.validation = 50, 5
    config.prepare.test = 0
    config.prepare.against = ('longmemeval',)
  return config
