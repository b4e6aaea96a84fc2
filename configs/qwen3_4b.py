"""Qwen3-4B trained to write memories: the published main run and its relatives.

pip install -e '.[reference]'
python -m mem_alpha.main --config=configs/qwen3_4b.py --workdir=runs/qwen3_4b \
    --config.model.weights=/path/to/Qwen3-4B --config.data.root=/path/to/raw
python -m mem_alpha.main --mode=plan --config=configs/qwen3_4b.py:v5e

Without a name this is the main run of Mem-alpha (arXiv 2509.25911, tables 1
and 2): beta 0.05, gamma 0.1, lr 1e-6, 32 instances x 8 rollouts, clip 0.2,
prompts of 6,144 and responses of 2,048 tokens, 205 steps; published on 32 H100
in three days, validation mean .642 as printed, .619 from the printed cells.
Names after a colon, parted by commas, change one thing each:

  name               what                        published mean (Table 4)
  no_content         (beta, gamma) = (.05, 0)    .543
  no_compression     (0, .1)                     .630
  compression_0p2    (.2, .1)                    .525
  compression_0p4    (.4, .1)                    .509
  no_core, no_semantic, no_episodic              one memory less
  no_calls           no reward for valid calls
  by_chunk           turns compared at the same chunk
  dense              r1 of a turn: questions about its own chunk
  evidence           r1 of a turn: answers from entries that it wrote
  by_decision        each line's decision is credited, too (grpo.evidence)
  no_skip            storing nothing earns no reward for valid calls
  fifth              a fifth of the questions, the same for a group
  short_first        short instances come first in the first epoch
  released           loss of the released code: KL .001, dual clip 3, by turn
  reference          all of the published behaviour (configs/profiles.py)
  v5e, v6e           mesh of 64 and of 16 chips of that TPU
  h100, h200         one GPU: adapters on a base in bfloat16

`--mode=plan` prints what a step needs and its least time; what it printed is in
experiments/plan: 6.5 of 15.75 GiB and 403 s a step at least on v5e:8x8 (205
steps: 23 hours), 14.5 of 31.25 GiB and 679 s on v6e:4x4 (39 hours), all turns
full. The GPU variants were planned from shapes only: the compiler for a GPU
needs one.
"""

from configs import base
from configs import profiles

_NAMES = {
  'no_content': {'reward.content': 0.0},
  'no_compression': {'reward.compression': 0.0},
  'compression_0p2': {'reward.compression': 0.2},
  'compression_0p4': {'reward.compression': 0.4},
  'no_core': {'memory.core': False},
  'no_semantic': {'memory.semantic': False},
  'no_episodic': {'memory.episodic': False},
  'no_calls': {'reward.calls': 0.0},
  'by_chunk': {'grpo.group': 'chunk'},
  'dense': {'reward.answer_by': 'chunk'},
  'evidence': {'reward.answer_by': 'evidence'},
  'by_decision': {'grpo.evidence': 1.0},
  'no_skip': {'reward.done': 0.0},
  'fifth': {'data.question_share': 0.2},
  'short_first': {'data.curriculum': 1},
  'released': {
    'grpo.kl': 1e-3,
    'grpo.dual_clip': 3.0,
    'grpo.aggregation': 'turn',
  },
  'reference': {k: s.reference for k, s in profiles.SWITCHES.items()},
  'v5e': {'mesh.tp': 8, 'plan.target': 'v5e:8x8'},
  'v6e': {
    'mesh.tp': 4,
    'plan.target': 'v6e:4x4',
    'batch.rows': 4,
    'sampling.slots': 128,
  },
  'h100': {
    'mesh.tp': 1,
    'model.param_dtype': 'bfloat16',
    'lora.rank': 32,
    'grpo.lr': 1e-5,
    'sampling.slots': 16,
    'sampling.prefill_tokens': 6144,
    'batch.rows': 1,
    'eval.batch': 16,
  },
  'h200': {
    'mesh.tp': 1,
    'model.param_dtype': 'bfloat16',
    'lora.rank': 32,
    'grpo.lr': 1e-5,
    'sampling.slots': 48,
    'sampling.prefill_tokens': 12_288,
    'batch.rows': 2,
    'eval.batch': 32,
  },
}


def get_config(arg=None):
  """`arg`: names of the table above, parted by commas."""
  config = base.get_config()
  config.data.sources = ('squad', 'hotpotqa')
  config.data.chunks, config.data.chunk_tokens = 20, 2048
  config.data.max_questions = 100
  config.tokenizer.source = 'model'
  config.model.preset = 'qwen3_4b'
  config.model.weights = 'models/Qwen3-4B'
  config.model.dtype, config.model.remat = 'bfloat16', 'full'
  config.memory.tokens = config.memory.terms = 40_960
  config.memory.rows = 1024
  config.memory.entry_limit = 2048
  config.prompt.profile = 'reference'  # tools and call format are explained
  config.prompt.tokens, config.prompt.show = 6144, 5
  config.sampling.max_new_tokens, config.sampling.max_calls = 2048, 64
  config.sampling.slots, config.sampling.prefill_tokens = 256, 49_152
  config.reader.query_words = 64
  config.reward.compression, config.reward.content = 0.05, 0.1
  config.grpo.steps, config.grpo.instances, config.grpo.rollouts = 205, 32, 8
  config.grpo.group = 'instance'
  config.grpo.lr = 1e-6
  config.batch.rows, config.batch.targets = 8, 2048
  config.opt.b2, config.opt.weight_decay = 0.999, 0.01
  config.opt.schedule, config.opt.warmup = 'constant', 10
  config.mesh.fsdp, config.mesh.tp = -1, 8
  for name in arg.split(',') if arg else ():
    if name not in _NAMES:
      raise ValueError(
        f'configs/qwen3_4b.py has no variant {name!r}: use {", ".join(_NAMES)}.'
      )
    config.update_from_flattened_dict(_NAMES[name])
  return config
