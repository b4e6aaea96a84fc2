"""The embedded tier: a tiny agent learns to build memory on a laptop.

python -m mem_alpha.main --config=configs/embedded.py --workdir=runs/embedded
Two CPU cores, under ten minutes. Figures: experiments/embedded/README.md.
"""

from configs import base


def get_config(arg=None):
  config = base.get_config(arg)
  config.tokenizer.vocab_size = 872
  config.model.remat = 'full'
  config.prompt.show, config.prompt.tokens = 3, 160
  config.sampling.max_new_tokens = 96
  config.sampling.slots = 32  # half of a batch: short responses make room
  config.batch.rows, config.batch.length, config.batch.targets = 12, 416, 192
  config.warm.copy_steps = 250
  config.warm.keep_steps = 200
  config.warm.steps = 300
  config.warm.instances = 1600
  # Stored alike, so that nothing but their worth tells facts from small talk.
  config.warm.leave_out_fact, config.warm.store_small_talk = 0.4, 0.6
  config.warm.lr = 7e-3
  config.grpo.steps = 20
  config.grpo.updates = 4
  config.eval.every = 10
  config.grpo.lr = 1.5e-3
  config.grpo.evidence = 1.5
  config.grpo.fault = 0.05
  config.reward.calls, config.reward.compression = 0.3, 0.2
  config.reward.content = 0.3
  return config
