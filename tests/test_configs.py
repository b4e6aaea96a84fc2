"""Every config builds, is sound, and fits what it says it is for."""

import pathlib
import re

import jax
import pytest

from configs import base
from configs import embedded
from configs import qwen3_0p6b
from configs import qwen3_4b
from configs import smollm2
from mem_alpha import build
from mem_alpha import cost
from mem_alpha import mesh
from mem_alpha import plan

GIB = cost.GIB
ALL = [
  (embedded, None),
  (smollm2, None),
  (smollm2, 'short'),
  (qwen3_0p6b, None),
  (qwen3_0p6b, 'v5e'),
  (qwen3_4b, None),
  *[(qwen3_4b, name) for name in qwen3_4b._NAMES],
]
NAMES = [f'{m.__name__.split(".")[1]}:{a or ""}' for m, a in ALL]


@pytest.mark.parametrize('module, arg', ALL, ids=NAMES)
def test_a_config_names_known_knobs_and_is_sound(module, arg):
  config = module.get_config(arg)
  known = dict(build_keys(base.get_config()))
  assert dict(build_keys(config)).keys() == known.keys()
  build.check(config)
  shape, _ = plan.shape(config)
  batch = build.batch_shape(config)
  assert batch.targets >= config.sampling.max_new_tokens
  assert shape.num_layers >= 1


def build_keys(config, prefix=''):
  for key, value in config.items():
    if hasattr(value, 'items'):
      yield from build_keys(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def test_the_main_run_has_the_published_settings():
  config = qwen3_4b.get_config()
  assert (config.reward.compression, config.reward.content) == (0.05, 0.1)
  assert config.grpo.lr == 1e-6
  assert (config.grpo.instances, config.grpo.rollouts) == (32, 8)
  assert (config.grpo.clip_low, config.grpo.clip_high) == (0.2, 0.2)
  assert config.prompt.tokens == 6144
  assert config.sampling.max_new_tokens == 2048


def test_each_variant_changes_what_it_names():
  plain = dict(build_keys(qwen3_4b.get_config()))
  for name, changes in qwen3_4b._NAMES.items():
    found = dict(build_keys(qwen3_4b.get_config(name)))
    differ = {key for key in found if found[key] != plain[key]}
    assert differ <= changes.keys(), name
    assert differ or name in ('v5e',), name
    assert re.search(rf'\b{name}\b', qwen3_4b.__doc__)
  both = qwen3_4b.get_config('no_core,v6e')
  assert not both.memory.core and both.plan.target == 'v6e:4x4'


@pytest.mark.parametrize('module', [qwen3_4b, qwen3_0p6b, smollm2])
def test_an_unknown_variant_is_an_error(module):
  with pytest.raises(ValueError, match="no variant 'fast'"):
    module.get_config('fast')


@pytest.mark.parametrize(
  'module, arg, memory',
  [
    (qwen3_4b, 'h100', 79),
    (qwen3_4b, 'h200', 139),
    (qwen3_0p6b, None, 79),
  ],
)
def test_what_a_gpu_holds_leaves_room_for_a_step(module, arg, memory):
  """Weights, optimiser and cache from shapes alone; no compiler is asked."""
  config = module.get_config(arg)
  cfg, _ = plan.shape(config)
  with jax.set_mesh(mesh.make(1, 1, devices=jax.devices()[:1])):
    state, _ = plan._programs(config, cfg)
  held = {k: cost.bytes_per_device(x) / GIB for k, x in state.items()}
  copies = 2 if config.lora.rank else 1  # the merged weights, and gradients
  held_bytes = sum(held.values()) + copies * held['parameters']
  # Half of the cache exists twice while prompts are read.
  assert held_bytes + held['cache'] < memory


def test_docstrings_name_commands_that_exist():
  root = pathlib.Path(__file__).parents[1]
  for path in (root / 'configs').glob('*.py'):
    for found in re.findall(r'--config=(configs/\w+\.py)', path.read_text()):
      assert (root / found).is_file()
