"""TREC with 6 labels: training instances as published, or the benchmark.

python -m mem_alpha.main --mode=prepare --config=configs/data/trec_coarse.py \
    --workdir=data/trec_coarse
python -m mem_alpha.main --mode=prepare --workdir=data/trec_coarse_benchmark \
    --config=configs/data/trec_coarse.py:benchmark

Unlike the published set, training shows no sentence of the benchmark:
`:published` makes the split that does.
"""

from configs.data import variants


def get_config(arg=None):
  """`benchmark`: one instance as long as its own; `published`: its split."""
  config = variants.start('trec_coarse', arg, 'benchmark', 'published')
  config.data.chunk_tokens = 410
  config.data.chunks = 10
  config.data.max_questions = 100
  config.prepare.train = 100
  config.prepare.validation = 20
  config.prepare.test = 20
  if arg == 'benchmark':
    config.data.chunk_tokens, config.data.tokens = 1150, 123_765
    config.prepare.train, config.prepare.validation = 0, 0
    config.prepare.test = 1
  config.prepare.against = ('trec_coarse', 'trec_fine')
  return config
