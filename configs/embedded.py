"""The embedded tier: a tiny agent learns to build memory on a laptop.

python -m mem_alpha.main --config=configs/embedded.py --workdir=runs/embedded
Two CPU cores, under ten minutes. Figures: experiments/embedded/README.md.
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.warm.copy_steps = 200
  config.warm.keep_steps = 450
  config.warm.steps = 400
  config.warm.lr = 7e-3
  config.tokenizer.vocab_size = 864
  config.prompt.show, config.prompt.tokens = 3, 160
  config.sampling.max_new_tokens = 96
  config.batch.rows = 20
  config.grpo.steps = 45
  config.grpo.lr = 1e-3
  config.reward.calls, config.reward.evidence = 0.1, 3.0
  config.reward.compression, config.reward.content = 0.1, 0.1
  return config
