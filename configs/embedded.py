"""The embedded tier: a tiny agent learns to build memory on a laptop.

python -m mem_alpha.main --config=configs/embedded.py --workdir=runs/embedded
Two CPU cores, under ten minutes. Figures: experiments/embedded/README.md.
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.tokenizer.vocab_size = 864
  config.prompt.show, config.prompt.tokens = 3, 160
  config.sampling.max_new_tokens = 96
  config.batch.rows = 20
  config.warm.copy_steps = 200
  config.warm.keep_steps = 450
  config.warm.steps = 400
  config.warm.lr = 7e-3
  config.grpo.steps = 55
  config.grpo.lr = 1.5e-3
  config.grpo.evidence, config.grpo.blame = 1.5, 0.4
  config.reward.calls, config.reward.compression = 0.3, 0.2
  config.reward.content = 0.3
  return config
