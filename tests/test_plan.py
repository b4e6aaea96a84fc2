"""Plans against what the compiler says, and against real arrays."""

import contextlib
import importlib.util
import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import embedded
from configs import qwen3_4b
from mem_alpha import build
from mem_alpha import cost
from mem_alpha import mesh as mesh_lib
from mem_alpha import plan
from mem_alpha.models import decoder

needs_libtpu = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None,
  reason='needs the runtime of TPUs, mem_alpha[tpu]',
)


def small_config():
  config = embedded.get_config()
  config.data.chunks = 2
  config.tokenizer.vocab_size = 64
  config.model.num_layers, config.model.width = 2, 16
  config.memory.tokens = config.memory.terms = 64
  config.memory.rows = 8
  config.prompt.tokens, config.sampling.max_new_tokens = 24, 8
  config.batch.rows, config.batch.length, config.batch.targets = 4, 48, 16
  config.grpo.instances, config.grpo.rollouts = 2, 4
  config.sampling.slots = 8
  config.mesh.fsdp, config.mesh.tp = 4, 2
  config.plan.target = 'cpu'
  return config


@pytest.fixture(scope='module')
def planned():
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    assert plan.run(small_config(), as_json=True)
  return json.loads(out.getvalue())


def test_bytes_are_those_of_the_real_arrays(planned):
  config = small_config()
  cfg, _ = plan.shape(config)
  with jax.set_mesh(mesh_lib.make(4, 2)):
    params = decoder.init(cfg, jax.random.key(0))
    _, tx = build.optimizers(config)
    opt = tx.init(params)

  def on_first(tree):
    first = jax.devices()[0]
    return sum(
      shard.data.nbytes
      for leaf in jax.tree.leaves(tree)
      for shard in leaf.addressable_shards
      if shard.device == first
    )

  assert planned['held']['parameters'] == on_first(params)
  assert planned['held']['optimizer'] == on_first(opt)


def test_arithmetic_bytes_are_within_a_tenth_of_the_compilers(planned):
  held = planned['held']
  programs = {p['name']: p for p in planned['programs']}
  assert set(programs) == {
    'prefill',
    'insert',
    'decode',
    'update',
    'optimizer',
  }
  # Parameters, optimiser state and gradients are all that it is given.
  want = 2 * held['parameters'] + held['optimizer']
  np.testing.assert_allclose(programs['optimizer']['arguments'], want, rtol=0.1)
  # What decoding changes, it changes in place; the cache is most of it.
  assert programs['insert']['arguments'] > held['cache']
  for p in programs.values():
    parts = ('arguments', 'outputs', 'temporary', 'code', 'held')
    assert p['needs'] == sum(p[name] for name in parts)
  assert planned['peak'] == max(p['needs'] for p in programs.values())


def test_devices_exchange_what_is_split(planned):
  programs = {p['name']: p for p in planned['programs']}
  assert programs['update']['collectives'].get('all-gather', 0) > 0
  assert programs['optimizer']['collectives'].get('all-gather', 0) == 0


def test_what_does_not_fit_is_named(capsys, monkeypatch):
  tiny = cost.Chip(memory=1000.0, flops=1e9, bandwidth=1e9)
  monkeypatch.setattr(plan, '_chip', lambda devices: tiny)
  assert not plan.run(small_config())
  text = capsys.readouterr().out
  last = text.strip().splitlines()[-1]
  assert last.startswith('does not fit: `')
  assert 'takes at least' in text


def test_flops_of_a_scan_count_every_layer():
  w_LDD = jnp.zeros((5, 8, 8))

  def net(x_BD, w_LDD):
    return jax.lax.scan(lambda x, w: (x @ w, None), x_BD, w_LDD)[0]

  traced = jax.jit(net).trace(jnp.zeros((3, 8)), w_LDD)
  assert cost.flops(traced.jaxpr.jaxpr) == 5 * 2 * 3 * 8 * 8


def test_flops_agree_with_the_compiler_where_nothing_loops():
  def net(a, b):
    y = jnp.einsum('BTD,DKH->BTKH', a, b)
    return jax.checkpoint(lambda y: jnp.einsum('BTKH,BSKH->BKTS', y, y))(y)

  args = jnp.zeros((2, 64, 32)), jnp.zeros((32, 4, 16))
  traced = jax.jit(net).trace(*args)
  theirs = traced.lower().compile().cost_analysis()['flops']
  np.testing.assert_allclose(cost.flops(traced.jaxpr.jaxpr), theirs, rtol=0.05)


def test_flops_of_split_programs_count_all_devices():
  with jax.set_mesh(mesh_lib.make(4, 2)):
    f = jax.shard_map(
      lambda x, w: x @ w,
      in_specs=(jax.P('fsdp'), jax.P()),
      out_specs=jax.P('fsdp'),
    )
    traced = jax.jit(f).trace(
      jnp.zeros((8, 4), out_sharding=jax.P('fsdp')),
      jnp.zeros((4, 4), out_sharding=jax.P()),
    )
  # Every device works, those of 'tp' on the same rows.
  assert cost.flops(traced.jaxpr.jaxpr) == 2 * (2 * 8 * 4 * 4)


def test_shapes_come_without_weights(tmp_path):
  config = qwen3_4b.get_config()
  cfg, where = plan.shape(config)
  assert (cfg.num_layers, cfg.width, where) == (36, 2560, 'preset qwen3_4b')
  config.model.preset = 'tiny'
  with pytest.raises(ValueError, match='model.preset'):
    plan.shape(config)


def test_an_unknown_target_is_one_sentence():
  config = small_config()
  for target in ('v9z:1x1', 'gpu'):
    config.plan.target = target
    with pytest.raises(ValueError, match=f"plan.target='{target}'"):
      plan.run(config)


@needs_libtpu
def test_a_tpu_that_is_not_there(capsys):
  config = small_config()
  config.mesh.fsdp, config.mesh.tp = 2, 2
  config.plan.target = 'v5e:2x2'
  assert plan.run(config)
  text = capsys.readouterr().out
  assert '4 x TPU v5 lite, 15.75 GiB each, mesh fsdp 2 x tp 2' in text
  assert text.strip().splitlines()[-1].startswith('fits: `')


@needs_libtpu
def test_the_compilers_refusal_is_an_answer():
  devices = plan._devices('v5e:2x2')
  with jax.set_mesh(mesh_lib.make(2, 2, devices=devices)):
    # 20 GiB, on every device.
    x = mesh_lib.placed(jax.ShapeDtypeStruct((5, 2**20, 1024), jnp.float32))
    traced = jax.jit(lambda x: jnp.sort(x, axis=0)).trace(x)
    program = plan.Program('sort', traced, held=0, runs=1)
    plan._compile(program, traced.lower(), 4)
  assert program.cost is None
  assert program.needs > plan._chip(devices).memory
  assert 'gives up' in program.error
