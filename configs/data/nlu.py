"""NLU: training instances of the published size, or the benchmark.

python -m mem_alpha.main --mode=prepare --config=configs/data/nlu.py \
    --workdir=data/nlu
python -m mem_alpha.main --mode=prepare \
    --config=configs/data/nlu.py:benchmark --workdir=data/nlu_benchmark

Unlike the published set, training shows no sentence of the benchmark:
`:published` makes the split that does.
"""

from configs.data import variants


def get_config(arg=None):
  """`benchmark`: one instance as long as its own; `published`: its split."""
  config = variants.start('nlu', arg, 'benchmark', 'published')
  config.data.chunk_tokens = 640
  config.data.chunks = 10
  config.data.max_questions = 100
  config.prepare.train = 100
  config.prepare.validation = 20
  config.prepare.test = 20
  if arg == 'benchmark':
    config.data.chunk_tokens, config.data.tokens = 1200, 134_205
    config.prepare.train, config.prepare.validation = 0, 0
    config.prepare.test = 1
  config.prepare.against = ('nlu',)
  return config
