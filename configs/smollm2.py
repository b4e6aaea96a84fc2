"""SmolLM2-135M-Instruct on real text: SQuAD and HotpotQA from raw files.

python -m third_party.fetch smollm2 models/smollm2
python -m mem_alpha.main --config=configs/smollm2.py --workdir=runs/smollm2 \
    --config.data.root=/path/to/raw

Made for one GPU. On a CPU a few steps show that everything works:
`configs/smollm2.py:short`, figures in experiments/smollm2/README.md.
"""

from configs import base


def get_config(arg=None):
  """`short` is the size of a trial on a CPU, minutes in place of hours."""
  config = base.get_config()
  config.data.sources = ('squad', 'hotpotqa')
  config.data.chunks = 4
  config.data.max_questions = 8
  config.tokenizer.source = 'model'
  config.model.preset = 'smollm2_135m'
  config.model.weights = 'models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'
  config.model.remat = 'dots'
  config.memory.tokens = 8192
  config.memory.terms = 8192
  config.memory.rows = 256
  config.memory.entry_limit = 256
  config.prompt.tokens = 768
  config.sampling.max_new_tokens = 256
  config.sampling.max_calls = 16
  config.reader.max_words = 8
  config.reward.compression, config.reward.content = 0.05, 0.1
  config.warm.steps = 100
  config.warm.instances = 200
  config.warm.lr = 3e-5
  config.grpo.steps = 100
  config.grpo.lr = 3e-6
  config.batch.rows = 4
  config.batch.targets = 384
  config.opt.b2 = 0.999
  config.eval.batch = 64
  if arg == 'short':
    config.data.chunks, config.data.chunk_tokens = 2, 128
    config.prompt.tokens, config.sampling.max_new_tokens = 288, 96
    config.memory.tokens = config.memory.terms = 1024
    config.memory.rows = 64
    config.warm.steps, config.warm.instances = 6, 16
    config.opt.warmup = 2
    config.grpo.steps, config.grpo.instances, config.grpo.rollouts = 3, 2, 4
    config.batch.rows, config.batch.targets = 2, 192
    config.eval.batch = config.eval.validation = config.eval.test = 8
    config.eval.every = 3
    config.checkpoint.every, config.checkpoint.warm_every = 3, 6
  elif arg:
    raise ValueError(f'configs/smollm2.py has no variant {arg!r}: use short.')
  return config
