import functools
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import checkpoint
from mem_alpha import mesh as mesh_lib
from mem_alpha import optimizer
from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import presets
from mem_alpha.rollout import batch

# A process that saves without end, going on from what it finds.
ENDLESS = """
import sys
import jax.numpy as jnp
from mem_alpha import checkpoint
with checkpoint.Store(sys.argv[1], keep=2) as store:
  restored = store.restore({'x': jnp.zeros(1000)})
  step = restored.step if restored else 0
  while True:
    step += 1
    state = {'x': jnp.full(1000, float(step))}
    store.snapshot('best', step, state, {'step': step})
    store.save(step, state, {'step': step})
"""


def make_state(value=0.0):
  return {
    'params': {
      'w': jnp.arange(6000, dtype=jnp.float32).reshape(60, 100) + value,
      'half': jnp.full((3, 5), value, jnp.bfloat16),
    },
    'count': jnp.int32(value),
    'mask': jnp.arange(4) > 1,
    'key': jax.random.key(int(value)),
  }


def fill(directory, steps, keep=5):
  with checkpoint.Store(directory, keep=keep) as store:
    for step in steps:
      store.save(step, make_state(step), {'position': 10 * step})
  return store


def assert_equal(a, b):
  def same(x, y):
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
      x, y = jax.random.key_data(x), jax.random.key_data(y)
    np.testing.assert_array_equal(x, y)
    assert x.dtype == y.dtype

  jax.tree.map(same, a, b)


def names(directory):
  return sorted(path.name for path in pathlib.Path(directory).iterdir())


def largest_file(path):
  files = [part for part in path.rglob('*') if part.is_file()]
  return max(files, key=lambda file: file.stat().st_size)


def test_state_and_info_come_back(tmp_path):
  info = {'config': {'lr': 0.1, 'tags': ['a', None]}, 'best': 1 / 3}
  with checkpoint.Store(tmp_path / 'new' / 'checkpoints') as store:
    assert store.restore(make_state()) is None
    assert store.peek() is None and store.latest is None
    store.save(7, make_state(3), info)
    restored = store.restore(make_state())
    assert store.latest == 7 and store.peek() == info
  assert restored.step == 7 and restored.info == info
  assert_equal(restored.state, make_state(3))


def test_part_of_the_state_can_be_read(tmp_path):
  store = fill(tmp_path, [1])
  like = {'params': make_state()['params']}
  assert_equal(store.restore(like).state, {'params': make_state(1)['params']})


def test_the_newest_are_kept_and_snapshots_too(tmp_path):
  with checkpoint.Store(tmp_path, keep=2) as store:
    for step in range(1, 5):
      store.save(step, make_state(step), {})
      if step in (1, 3):
        store.snapshot('best', step, make_state(10 * step), {'at': step})
      if step == 2:
        store.snapshot('warm_start', step, make_state(20), {})
  assert names(tmp_path) == [
    'best_00000002',
    'step_00000003',
    'step_00000004',
    'warm_start_00000001',
  ]
  best = store.restore(make_state(), name='best')
  assert (best.step, best.info) == (3, {'at': 3})
  assert_equal(best.state, make_state(30))
  assert store.restore(make_state(), name='warm_start').step == 2
  assert store.restore(make_state()).step == 4


def test_a_failed_save_is_reported_and_deletes_nothing(tmp_path, monkeypatch):
  class Failed:
    def result(self):
      raise OSError('disk full')

  with checkpoint.Store(tmp_path, keep=1) as store:
    store.save(1, make_state(1), {})
    store.wait()
    with monkeypatch.context() as patch:
      patch.setattr(
        checkpoint.ocp, 'save_async', lambda *args, **kwargs: Failed()
      )
      store.save(2, make_state(2), {})
    with pytest.raises(OSError, match='disk full'):
      store.wait()
    assert names(tmp_path) == ['step_00000001']
    store.save(2, make_state(2), {})
  assert names(tmp_path) == ['step_00000002']


def flip_a_bit(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 4
  path.write_bytes(data)


def cut_in_half(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


# Orbax leaves some of its failed reads unawaited.
@pytest.mark.filterwarnings('ignore:coroutine:RuntimeWarning')
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('harm', [flip_a_bit, cut_in_half, os.remove])
@pytest.mark.parametrize('part', ['arrays', 'header'])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
  tmp_path, caplog, harm, part
):
  fill(tmp_path, [1, 2])
  newest = tmp_path / 'step_00000002'
  header = newest / '_CHECKPOINT_METADATA'
  harm(header if part == 'header' else largest_file(newest))
  with checkpoint.Store(tmp_path, keep=5) as store:
    with caplog.at_level('WARNING'):
      restored = store.restore(make_state())
    assert 'step_00000002 is damaged' in caplog.text
    assert restored.step == 1 and restored.info == {'position': 10}
    assert_equal(restored.state, make_state(1))
    # The run goes on from there and replaces the damaged one.
    store.save(2, make_state(5), {})
  assert_equal(store.restore(make_state()).state, make_state(5))


def test_nothing_good_left_is_an_error(tmp_path):
  store = fill(tmp_path, [1, 2])
  for step in (1, 2):
    flip_a_bit(largest_file(tmp_path / f'step_{step:08d}'))
  with pytest.raises(ValueError, match='none of the 2 checkpoints'):
    store.restore(make_state())


def test_misuse_is_an_error(tmp_path):
  store = fill(tmp_path, [5])
  with pytest.raises(ValueError, match='exists already, so step 5'):
    store.save(5, make_state(), {})
  with pytest.raises(ValueError, match='exists already, so step 4'):
    store.save(4, make_state(), {})
  with pytest.raises(FileNotFoundError, match="no snapshot called 'best'"):
    store.restore(make_state(), name='best')
  for name in ('step', 'a/b', 'x_1', ''):
    with pytest.raises(ValueError, match='a snapshot cannot be called'):
      store.snapshot(name, 1, make_state(), {})
  with pytest.raises(ValueError, match='must be plain JSON data'):
    store.save(6, make_state(), {'x': jnp.ones(2)})
  with pytest.raises(ValueError, match='keep=0'):
    checkpoint.Store(tmp_path, keep=0)
  assert names(tmp_path) == ['step_00000005']


def test_another_model_is_an_error_and_no_damage(tmp_path):
  store = fill(tmp_path, [1, 2])
  like = make_state()
  like['params']['w'] = jnp.zeros((60, 50))
  with pytest.raises(ValueError, match=r'params/w as float32\[60, 100\]'):
    store.restore(like)
  like = jax.tree.map(jnp.zeros_like, make_state())
  like['params']['half'] = jnp.zeros((3, 5))
  with pytest.raises(ValueError, match=r'the run has float32\[3, 5\]'):
    store.restore(like)
  like = {**make_state(), 'more': jnp.zeros(3)}
  with pytest.raises(ValueError, match='holds no more'):
    store.restore(like)


def test_a_checkpoint_moves_to_another_mesh(tmp_path):
  def place(tree, fsdp, tp):
    devices = jax.devices()[: fsdp * tp]
    mesh = jax.make_mesh((fsdp, tp), mesh_lib.AXES, devices=devices)
    spec = {'w': jax.P('fsdp', 'tp'), 'b': jax.P('tp'), 'count': jax.P()}
    return mesh, {
      name: jax.device_put(x, jax.NamedSharding(mesh, spec[name]))
      for name, x in tree.items()
    }

  rng = np.random.default_rng(0)
  saved = {
    'w': rng.normal(size=(8, 6)).astype(np.float32),
    'b': rng.normal(size=4).astype(np.float32),
    'count': np.int32(9),
  }
  store = checkpoint.Store(tmp_path)
  mesh, state = place(saved, 4, 1)
  with jax.set_mesh(mesh):
    store.save(1, state, {})
    store.wait()
  mesh, like = place(jax.tree.map(np.zeros_like, saved), 2, 2)
  with jax.set_mesh(mesh):
    restored = store.restore(like).state
    # Shapes alone say where to put things, too.
    shapes = jax.eval_shape(lambda tree: tree, like)
    again = store.restore(shapes).state
  for state in (restored, again):
    assert_equal(jax.device_get(state), saved)
    for name, x in state.items():
      assert x.sharding == like[name].sharding


def test_what_is_being_saved_may_be_overwritten(tmp_path):
  @functools.partial(jax.jit, donate_argnums=0)
  def change(x):
    return 3 * x + 1

  first = np.arange(1 << 20, dtype=np.int32)
  x = jnp.array(first)
  with checkpoint.Store(tmp_path) as store:
    store.save(1, {'x': x}, {})
    for _ in range(5):
      x = change(x)
    restored = store.restore({'x': x})
  np.testing.assert_array_equal(restored.state['x'], first)


def test_four_steps_equal_two_and_a_restore_and_two(tmp_path):
  cfg = presets.get('tiny', vocab_size=16, width=16, head_width=8, ff=16)
  tx = optimizer.make(lr=1e-2, warmup=2, total=4, schedule='cosine')
  spec = update.UpdateSpec(kind='sft', chunk=3)
  shape = batch.Shape(rows=2, length=20, targets=10, turns=4, response=5)

  def parts(step):
    rng = np.random.default_rng(step)
    return batch.pack(
      rng.integers(1, 16, (4, 3)).tolist(),
      rng.integers(1, 16, (4, 5)).tolist(),
      shape=shape,
      pad=0,
    )

  def run(directory, first, last):
    with (
      jax.set_mesh(jax.make_mesh((1, 1), mesh_lib.AXES)),
      checkpoint.Store(directory) as store,
    ):
      params = decoder.init(cfg, jax.random.key(0))
      state = {'params': params, 'opt': tx.init(params)}
      restored = store.restore(state)
      assert (restored.step if restored else 0) == first
      state = restored.state if restored else state
      for step in range(first + 1, last + 1):
        params, opt, metrics = update.step(
          state['params'],
          state['opt'],
          parts(step),
          cfg=cfg,
          spec=spec,
          tx=tx,
        )
        state = {'params': params, 'opt': opt}
        # In the background, while the next step overwrites these arrays.
        store.save(step, state, {})
    return state, metrics

  update._apply.clear_cache()
  unbroken = run(tmp_path / 'a', 0, 4)
  assert update._apply._cache_size() == 1
  run(tmp_path / 'b', 0, 2)
  resumed = run(tmp_path / 'b', 2, 4)
  assert_equal(resumed, unbroken)
  assert update._apply._cache_size() == 1
  with checkpoint.Store(tmp_path / 'a') as store:
    assert_equal(store.restore(unbroken[0]).state, unbroken[0])


def test_a_kill_at_any_moment_leaves_a_good_checkpoint(tmp_path):
  rng = np.random.default_rng(0)
  reached = 0
  for _ in range(3):
    child = subprocess.Popen([sys.executable, '-c', ENDLESS, str(tmp_path)])
    deadline = time.time() + 100
    store = checkpoint.Store(tmp_path, keep=2)
    while (store.latest or 0) <= reached and time.time() < deadline:
      time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.2))
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    like = {'x': jnp.zeros(1000)}
    restored, best = store.restore(like), store.restore(like, name='best')
    for found in (restored, best):
      assert found.info == {'step': found.step}
      np.testing.assert_array_equal(found.state['x'], found.step)
    assert restored.step > reached and best.step - restored.step in (0, 1)
    reached = restored.step
  with checkpoint.Store(tmp_path, keep=2) as store:
    store.restore(like)
    store.save(reached + 9, like, {})
  # What the killed processes left half written is gone.
  assert all('tmp' not in n and not n.startswith('.') for n in names(tmp_path))


def test_differing_configs_are_named():
  saved = {'seed': 1, 'opt': {'lr': 0.1, 'clip': None}, 'log': {'every': 1}}
  same = {'log': {'every': 9}, 'opt': {'clip': None, 'lr': 0.1}, 'seed': 1}
  checkpoint.require_same_config(saved, same, may_differ=('log',))
  checkpoint.require_same_config({'a': [1, 2]}, {'a': (1, 2)})
  changed = {'seed': 1, 'opt': {'lr': 0.2}, 'log': {'every': 1}, 'new': 'x'}
  with pytest.raises(ValueError) as error:
    checkpoint.require_same_config(saved, changed)
  text = str(error.value)
  assert 'new was absent and is "x"' in text
  assert 'opt.clip was null and is absent' in text
  assert 'opt.lr was 0.1 and is 0.2' in text
  assert 'seed' not in text and 'every' not in text
