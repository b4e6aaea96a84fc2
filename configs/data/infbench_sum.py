"""InfBench-Sum of MemoryAgentBench: whole novels in chunks of 2048 tokens.

python -m mem_alpha.main --mode=prepare --config=configs/data/infbench_sum.py \
    --workdir=data/infbench_sum
"""

from configs.data import variants


def get_config(arg=None):
  config = variants.start('infbench_sum', arg)
  config.data.chunk_tokens = 2048
  config.data.chunks = 1000
  config.data.max_questions = 1
  config.prepare.train, config.prepare.validation = 0, 0
  config.prepare.test = 100
  return config
