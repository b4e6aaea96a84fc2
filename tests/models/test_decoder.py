"""The decoder on whole rows: packing, padding, meshes, memory."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh
from mem_alpha.models import decoder

SMALL = decoder.Config(
  vocab_size=48,
  num_layers=2,
  width=16,
  num_heads=4,
  num_kv_heads=2,
  head_width=8,
  ff=24,
)
# Compiling is what these tests spend their time on: two shapes cover all, with
# two query heads per key-value head and with one.
CONFIGS = {
  'pretrained': dataclasses.replace(
    SMALL,
    attention_bias=True,
    qk_norm=True,
    tied=False,
    rope_scaling=(8.0, 1.0, 4.0, 32.0),
  ),
  'embedded': dataclasses.replace(SMALL, num_kv_heads=4, canon=3),
}
EVERYTHING = dataclasses.replace(CONFIGS['pretrained'], canon=3)
B, T = 4, 10


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def cfg(request):
  return request.param


@functools.partial(jax.jit, static_argnums=0)
def _params(cfg):
  """Random everywhere, so that no bias or norm is at its neutral value."""
  params = decoder.init(cfg, jax.random.key(0))
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))

  def shake(leaf, key):
    noise = 0.1 * jax.random.normal(key, leaf.shape)
    return leaf + mesh.place(noise, *jax.typeof(leaf).sharding.spec)

  return tree.unflatten(map(shake, leaves, keys))


def _tokens(rows=B, length=T, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, SMALL.vocab_size, (rows, length), np.int32)


@functools.partial(jax.jit, static_argnums=0, static_argnames='remat')
def _forward(cfg, params, tokens_BT, segment_BT=None, remat='none'):
  if segment_BT is None:
    segment_BT = np.ones(tokens_BT.shape, np.int32)
  return decoder.forward(cfg, params, tokens_BT, segment_BT, remat=remat)


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(cfg, params, tokens_BT, segment_BT):
  """Log-probability of every token but the first of the row."""
  x_BTD = _forward(cfg, params, tokens_BT, segment_BT)
  return decoder.target_log_probs(cfg, params, x_BTD[:, :-1], tokens_BT[:, 1:])


def _padded(tokens_BT, lengths, *, filler=7):
  """The last `lengths` tokens of each row, left-padded, and where they are."""
  valid_BT = np.arange(tokens_BT.shape[1]) >= (
    tokens_BT.shape[1] - np.array(lengths)[:, None]
  )
  return np.where(valid_BT, tokens_BT, filler), valid_BT


def test_no_position_depends_on_a_later_token(cfg):
  params = _params(cfg)
  tokens_BT = _tokens(rows=1)
  direction_D = np.random.default_rng(0).normal(size=cfg.width)

  @jax.jit
  @jax.grad
  def sensitivity(shift_TD, t):
    # One embedding row per position, so that a gradient tells them apart.
    embed = params['embed'][tokens_BT[0]] + shift_TD
    own = {**params, 'embed': embed}
    x_BTD = _forward(cfg, own, np.arange(T, dtype=np.int32)[None])
    return x_BTD[0, t] @ direction_D

  depends_TT = [
    np.abs(sensitivity(jnp.zeros((T, cfg.width)), t)).sum(1) > 0
    for t in range(T)
  ]
  np.testing.assert_array_equal(depends_TT, np.tri(T, dtype=bool))


def test_left_padding_changes_no_log_prob(cfg):
  params, tokens_BT = _params(cfg), _tokens()
  whole_BT, _ = _log_probs(cfg, params, tokens_BT, np.ones((B, T), np.int32))
  for pad, filler in ((3, 0), (3, 41), (5, 7)):
    wide_BT = np.pad(tokens_BT, ((0, 0), (pad, 0)), constant_values=filler)
    segment_BT = np.pad(np.ones((B, T), np.int32), ((0, 0), (pad, 0)))
    logp_BT, _ = _log_probs(cfg, params, wide_BT, segment_BT)
    np.testing.assert_allclose(logp_BT[:, pad:], whole_BT, atol=1e-5)


def test_packing_changes_nothing(cfg):
  params = _params(cfg)
  parts = [_tokens(1, n, seed=n) for n in (3, 4, 1)]
  packed_BT = np.concatenate([*parts, np.full((1, 2), 5, np.int32)], 1)
  segment_BT = np.repeat([1, 2, 3, 0], [3, 4, 1, 2])[None]
  x_BTD = _forward(cfg, params, packed_BT, segment_BT)
  alone_BTD = np.concatenate([_forward(cfg, params, p) for p in parts], 1)
  np.testing.assert_allclose(x_BTD[:, :8], alone_BTD, atol=1e-5)


def test_padding_gets_no_gradient_and_stays_finite(cfg):
  """Even a row of nothing but padding, as batches are filled up with."""
  params = _params(cfg)
  filler = SMALL.vocab_size - 1
  tokens_BT, valid_BT = _padded(
    _tokens() % filler, (10, 6, 1, 0), filler=filler
  )

  def loss(params):
    x_BTD = _forward(cfg, params, tokens_BT, valid_BT.astype(np.int32))
    return (jnp.sin(x_BTD) * valid_BT[..., None]).sum()

  grads = jax.jit(jax.grad(loss))(params)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
  np.testing.assert_array_equal(grads['embed'][filler], 0)


@pytest.mark.parametrize(
  'chunk, temperature', [(1, 0.7), (4, 1.0), (T, 1.3), (128, 0.7)]
)
def test_target_log_probs_equal_log_softmax(cfg, chunk, temperature):
  params, tokens_BT = _params(cfg), _tokens()
  target_BT = _tokens(seed=1)
  x_BTD = _forward(cfg, params, tokens_BT)
  call = functools.partial(decoder.target_log_probs, cfg, chunk=chunk)

  def full(params, x_BTD):
    score_BTV = decoder.logits(cfg, params, x_BTD) / temperature
    all_BTV = jax.nn.log_softmax(score_BTV)
    logp_BT = jnp.take_along_axis(all_BTV, target_BT[..., None], -1)[..., 0]
    return logp_BT, -(jnp.exp(all_BTV) * all_BTV).sum(-1)

  def chunked(params, x_BTD):
    return call(params, x_BTD, target_BT, temperature=temperature)

  def total(f, params, x_BTD):
    logp_BT, entropy_BT = f(params, x_BTD)
    loss = jnp.sin(logp_BT).sum() + entropy_BT.sum()
    return loss, (logp_BT, entropy_BT)

  got, want = (
    jax.jit(
      jax.value_and_grad(functools.partial(total, f), (0, 1), has_aux=True)
    )(params, x_BTD)
    for f in (chunked, full)
  )
  _assert_close(got, want, atol=1e-4)


@pytest.mark.parametrize('shape', [(1, 1), (2, 2), (4, 1)], ids=str)
def test_any_mesh_equals_no_mesh(shape):
  devices = jax.devices()[: shape[0] * shape[1]]
  with jax.set_mesh(mesh.make(*shape, devices=devices)):
    got = _everything(EVERYTHING)
  _assert_close(got, _without_mesh(), atol=2e-5)


@functools.cache
def _without_mesh():
  return _everything(EVERYTHING)


def _everything(cfg):
  """Log-probs, gradients and logits, as host arrays."""
  params = _params(cfg)
  tokens_BT, valid_BT = _padded(_tokens(), (10, 9, 6, 5))
  segment_BT = valid_BT.astype(np.int32)

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def run(params):
    x_BTD = decoder.forward(cfg, params, tokens_BT, segment_BT)
    logp_BT, entropy_BT = decoder.target_log_probs(
      cfg, params, x_BTD[:, :-1], tokens_BT[:, 1:]
    )
    scores = decoder.logits(cfg, params, x_BTD)
    return (logp_BT + entropy_BT).mean(), scores

  return jax.device_get(run(params))


def _assert_close(got, want, *, atol):
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=atol), got, want
  )


def test_parameters_and_gradients_are_split_from_the_start():
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    params = decoder.init(EVERYTHING, jax.random.key(0))
    assert params['embed'].sharding.spec == jax.P('tp', 'fsdp')
    assert params['blocks']['gate'].sharding.spec == jax.P(None, 'fsdp', 'tp')
    abstract = jax.eval_shape(
      lambda: decoder.init(EVERYTHING, jax.random.key(0))
    )
    tokens_BT = _tokens()
    grads = jax.block_until_ready(
      jax.jit(jax.grad(lambda p: _forward(EVERYTHING, p, tokens_BT).sum()))(
        params
      )
    )
    specs = [
      jax.tree.map(lambda leaf: tuple(jax.typeof(leaf).sharding.spec), tree)
      for tree in (params, abstract, grads)
    ]
  assert specs[0] == specs[1] == specs[2]


def test_remat_changes_no_gradient():
  params, tokens_BT = _params(EVERYTHING), _tokens()

  def loss(params, remat):
    x_BTD = _forward(EVERYTHING, params, tokens_BT, remat=remat)
    return jnp.sin(x_BTD).sum()

  grad = jax.jit(jax.grad(loss), static_argnums=1)
  want = grad(params, 'none')
  for remat in ('dots', 'full'):
    for a, b in zip(*map(jax.tree.leaves, (grad(params, remat), want))):
      np.testing.assert_allclose(a, b, atol=4e-6 * np.abs(b).max())


def test_remat_keeps_what_its_policy_says():
  """Fewer numbers wait for the backward pass, policy by policy."""
  params = jax.eval_shape(lambda: _params(SMALL))

  def kept(remat):
    _, back = jax.eval_shape(
      lambda p: jax.vjp(
        lambda p: decoder.forward(
          SMALL, p, _tokens(), np.ones((B, T), np.int32), remat=remat
        ),
        p,
      ),
      params,
    )
    return sum(leaf.size for leaf in jax.tree.leaves(back))

  assert kept('full') < kept('dots') < kept('none')


def test_bfloat16_computes_near_float32_and_keeps_float32_parameters():
  params, tokens_BT = _params(EVERYTHING), _tokens()
  half = dataclasses.replace(EVERYTHING, dtype='bfloat16')
  x_BTD = _forward(half, params, tokens_BT)
  assert x_BTD.dtype == jnp.bfloat16
  want_BTD = _forward(EVERYTHING, params, tokens_BT)
  assert np.abs(x_BTD.astype(np.float32) - want_BTD).mean() < 0.05
  assert decoder.logits(half, params, x_BTD).dtype == jnp.float32
  shapes = jax.eval_shape(lambda: decoder.init(half, jax.random.key(0)))
  assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.float32.dtype}


def test_for_sampling_changes_no_bit():
  half = dataclasses.replace(EVERYTHING, dtype='bfloat16')
  params, tokens_BT = _params(half), _tokens()
  ready = decoder.for_sampling(half, params)
  assert [b['query'].dtype for b in ready['blocks']] == [jnp.bfloat16] * 2
  np.testing.assert_array_equal(
    _forward(half, ready, tokens_BT), _forward(half, params, tokens_BT)
  )


@pytest.mark.parametrize(
  'shape, message',
  [
    ((1, 4), 'num_kv_heads=2 cannot be split over 4 devices .mesh axis tp'),
    ((3, 1), 'width=16 cannot be split over 3 devices .mesh axis fsdp'),
  ],
)
def test_a_mesh_that_does_not_divide_the_model(shape, message):
  devices = jax.devices()[: shape[0] * shape[1]]
  with jax.set_mesh(mesh.make(*shape, devices=devices)):
    with pytest.raises(ValueError, match=message):
      decoder.init(SMALL, jax.random.key(0))


def test_greedy_temperature_has_no_log_prob():
  x_BTD = jnp.zeros((B, T, SMALL.width))
  with pytest.raises(ValueError, match='temperature=0 must be positive'):
    decoder.target_log_probs(
      SMALL, _params(SMALL), x_BTD, _tokens(), temperature=0
    )
