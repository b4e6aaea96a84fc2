import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mem_alpha import optimizer
from mem_alpha.models import decoder
from mem_alpha.models import presets

PLAIN = dict(lr=0.1, warmup=0, total=10)


def rates(schedule, warmup, total, lr=2.0):
  rate = optimizer.learning_rate(
    lr, schedule=schedule, warmup=warmup, total=total
  )
  return np.array([rate(jnp.int32(t)) for t in range(total + 2)])


def test_schedules_by_hand():
  np.testing.assert_allclose(rates('constant', 0, 3), 2)
  np.testing.assert_allclose(rates('constant', 4, 5), [0.5, 1, 1.5, 2, 2, 2, 2])
  np.testing.assert_allclose(
    rates('linear', 2, 6), [1, 2, 2, 1.5, 1, 0.5, 0, 0]
  )
  cosine = [1, 2, 2, 1 + np.sqrt(0.5), 1, 1 - np.sqrt(0.5), 0, 0]
  np.testing.assert_allclose(rates('cosine', 2, 6), cosine, atol=1e-6)


def test_first_step_of_adam_moves_by_the_rate():
  tx = optimizer.make(**PLAIN)
  params = {'w': jnp.array([[1.0, 2.0]])}
  grads = {'w': jnp.array([[3.0, -0.01]])}
  updates, _ = tx.update(grads, tx.init(params), params)
  np.testing.assert_allclose(updates['w'], [[-0.1, 0.1]], rtol=1e-5)


def test_clip_bounds_the_global_norm():
  params = {'w': jnp.zeros((2, 2)), 'v': jnp.zeros(3)}
  grads = jax.tree.map(lambda x: jnp.full(x.shape, 100.0), params)
  small = jax.tree.map(lambda g: g / optax.tree.norm(grads), grads)

  def moment(tx, grads):
    return tx.update(grads, tx.init(params), params)[1]

  clipped = moment(optimizer.make(**PLAIN, clip_norm=1.0), grads)
  free = moment(optimizer.make(**PLAIN), small)
  for a, b in zip(jax.tree.leaves(clipped), jax.tree.leaves(free)):
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_decay_reaches_matrices_of_a_layer_only():
  cfg = presets.get(
    'tiny', num_layers=1, width=8, ff=8, attention_bias=True, qk_norm=True
  )
  params = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  matrices = {'embed', 'query', 'key', 'value', 'out', 'gate', 'up', 'down'}
  matrices.add('canon')  # a matrix of taps
  chosen = jax.tree.leaves_with_path(optimizer.is_matrix(params))
  assert len(chosen) == 17
  for path, decayed in chosen:
    assert decayed == (path[-1].key in matrices), path


def test_decay_shrinks_and_nothing_else_does():
  params = {'w': jnp.ones((2, 2)), 'blocks': {'norm': jnp.ones((2, 2))}}
  tx = optimizer.make(**PLAIN, weight_decay=0.5)
  grads = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(grads, tx.init(params), params)
  np.testing.assert_allclose(updates['w'], -0.05, rtol=1e-6)
  np.testing.assert_array_equal(updates['blocks']['norm'], 0)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(schedule='step'), 'no schedule is called'),
    (dict(schedule='cosine', warmup=10), 'cannot warm up for 10'),
    (dict(clip_norm=0.0), 'clip_norm must be positive'),
  ],
)
def test_bad_settings_are_errors(change, message):
  with pytest.raises(ValueError, match=message):
    optimizer.make(**{**PLAIN, **change})


def test_moments_can_be_kept_in_another_dtype():
  params = {'w': jnp.ones((4, 4), jnp.bfloat16)}
  grads = {'w': jnp.full((4, 4), 0.5, jnp.bfloat16)}
  tx = optimizer.make(**PLAIN, moments='bfloat16')
  state = tx.init(params)
  for _ in range(2):
    updates, state = tx.update(grads, state, params)
    kinds = {x.dtype for x in jax.tree.leaves(state) if x.ndim}
    assert kinds == {jnp.dtype('bfloat16')}
  wide = optimizer.make(**PLAIN)
  theirs = jax.tree.map(lambda x: x.astype(jnp.float32), params)
  other = wide.init(theirs)
  for _ in range(2):
    want, other = wide.update(
      jax.tree.map(lambda x: x.astype(jnp.float32), grads), other, theirs
    )
  np.testing.assert_allclose(updates['w'], want['w'], rtol=0.02)
