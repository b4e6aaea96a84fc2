"""LongMemEval(S*) of MemoryAgentBench: whole histories, 60 questions each.

python -m mem_alpha.main --mode=prepare --config=configs/data/longmemeval.py \
    --workdir=data/longmemeval

With the official longmemeval_*.json, --config.prepare.train=50 makes histories
for training.
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.data.sources = ('longmemeval',)
  config.data.chunk_tokens = 2048
  config.data.chunks = 1000
  config.data.max_questions = 60
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 5
  return config
