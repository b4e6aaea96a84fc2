"""Qwen3-0.6B: the main run's settings on a model that one GPU trains whole.

python -m mem_alpha.main --config=configs/qwen3_0p6b.py --workdir=runs/0p6b \
    --config.model.weights=/path/to/Qwen3-0.6B --config.data.root=/raw

A step has 4 x 8 rollouts, not 32 x 8, with prompts of 3,072 and responses
of 1,024 tokens, so that keys and values of all rollouts fit beside the model.
Not published: there is no number to expect. `:v5e` is the mesh of 4 TPU chips.
"""

from configs import qwen3_4b


def get_config(arg=None):
  """`v5e`: 4 TPU chips; else one GPU of 80 GB."""
  config = qwen3_4b.get_config()
  config.model.preset = 'qwen3_0p6b'
  config.model.weights = 'models/Qwen3-0.6B'
  config.data.chunk_tokens = 1024
  config.prompt.tokens, config.sampling.max_new_tokens = 3072, 1024
  config.grpo.instances = 4
  config.sampling.slots = 32
  config.batch.rows, config.batch.targets = 4, 1024
  config.eval.batch = 32
  config.mesh.tp = 1
  if arg == 'v5e':
    config.mesh.tp, config.plan.target = 4, 'v5e:2x2'
  elif arg:
    raise ValueError(f'configs/qwen3_0p6b.py has no variant {arg!r}: use v5e.')
  return config
