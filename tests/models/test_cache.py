"""Prompts and single tokens give the states of a whole forward pass."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh
from mem_alpha.models import cache
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
B, T, P = 4, 10, 4
LENGTHS = np.array([5, 4, 1, 2])  # of prompts; canon looks further back

_decode = jax.jit(cache.decode_step, static_argnums=0)
_prefill = jax.jit(cache.prefill, static_argnums=0)
_forward = jax.jit(decoder.forward, static_argnums=0)
_read_prefix = jax.jit(cache.read_prefix, static_argnums=0)
_insert = jax.jit(cache.insert)


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


def _states(cfg, params, tokens_BT, *, steps, prefix=None, filler=7, room=0):
  """States of the last token of each prompt and of `steps` tokens after it."""
  width = LENGTHS.max()
  prompt_BT = np.where(
    np.arange(width) < LENGTHS[:, None], tokens_BT[:, :width], filler
  )
  read = _prefill(cfg, params, prefix, prompt_BT, LENGTHS)
  slots = cache.empty(cfg, slots=B, capacity=width + steps + room)
  order_B = np.array([2, 0, 3, 1])  # the slot of each prompt
  slots = _insert(slots, read, order_B)
  states = [np.asarray(read.x_BD)]
  for t in range(steps):
    token_B = np.zeros(B, np.int32)
    token_B[order_B] = tokens_BT[np.arange(B), LENGTHS + t]
    x_BD, slots = _decode(cfg, params, prefix, token_B, slots)
    states.append(np.asarray(x_BD)[order_B])
  length_B = np.asarray(slots.length_B)[order_B]
  np.testing.assert_array_equal(length_B, LENGTHS + steps)
  return np.stack(states, 1)


def _want(cfg, params, tokens_BT, first, steps):
  """The same states from one forward pass; prompts begin at `first`."""
  x_BTD = np.asarray(
    _forward(cfg, params, tokens_BT, np.ones(tokens_BT.shape, np.int32))
  )
  at_BT = first + LENGTHS[:, None] - 1 + np.arange(steps + 1)
  return np.take_along_axis(x_BTD, at_BT[..., None], 1)


def test_prefill_and_decode_equal_forward(cfg):
  params, tokens_BT = _params(cfg), _tokens()
  got_BTD = _states(cfg, params, tokens_BT, steps=5)
  want_BTD = _want(cfg, params, tokens_BT, 0, 5)
  np.testing.assert_allclose(got_BTD, want_BTD, atol=1e-5)


@pytest.mark.parametrize('length', [1, P])
def test_a_shared_prefix_equals_a_whole_prompt(cfg, length):
  params, tokens_BT = _params(cfg), _tokens()
  prefix_P = _tokens(1, length, seed=1)[0]
  prefix = _read_prefix(cfg, params, prefix_P)
  assert prefix.length_X.tolist() == [length]
  got_BTD = _states(cfg, params, tokens_BT, steps=5, prefix=prefix)
  whole_BT = np.concatenate([np.tile(prefix_P, (B, 1)), tokens_BT], 1)
  want_BTD = _want(cfg, params, whole_BT, length, 5)
  np.testing.assert_allclose(got_BTD, want_BTD, atol=1e-5)


def test_what_follows_a_prompt_changes_no_bit(cfg):
  params, tokens_BT = _params(cfg), _tokens()
  a, b = (_states(cfg, params, tokens_BT, steps=2, filler=f) for f in (0, 41))
  np.testing.assert_array_equal(a, b)


def test_a_cache_larger_than_needed_changes_nothing(cfg):
  params, tokens_BT = _params(cfg), _tokens()
  a, b = (_states(cfg, params, tokens_BT, steps=2, room=r) for r in (0, 7))
  np.testing.assert_allclose(a, b, atol=1e-6)


def test_insert_replaces_a_slot_and_leaves_the_others(cfg):
  params = _params(cfg)
  read = _prefill(cfg, params, None, _tokens()[:, :5], LENGTHS)
  other = _prefill(cfg, params, None, _tokens(seed=2)[:, :5], LENGTHS)
  slots = _insert(cache.empty(cfg, slots=B, capacity=8), read, np.arange(B))
  nowhere = B + 3
  where_B = np.array([nowhere, 2, nowhere, nowhere])
  after = _insert(slots, other, where_B)
  for old, new, fresh in zip(
    slots.k_BKSH + slots.v_BKSH,
    after.k_BKSH + after.v_BKSH,
    [*other.k_LBKTH, *other.v_LBKTH],
  ):
    np.testing.assert_array_equal(new[2, :, :5], fresh[1])
    keep = np.array([0, 1, 3])
    np.testing.assert_array_equal(new[keep], old[keep])
  assert after.length_B.tolist() == [5, 4, 4, 2]


def test_a_token_without_room_is_not_kept(cfg):
  params = _params(cfg)
  read = _prefill(cfg, params, None, _tokens()[:, :5], LENGTHS)
  slots = _insert(cache.empty(cfg, slots=B, capacity=5), read, np.arange(B))
  _, after = _decode(cfg, params, None, np.zeros(B, np.int32), slots)
  np.testing.assert_array_equal(after.k_BKSH[0][0], slots.k_BKSH[0][0])


def test_decoding_copies_no_cache():
  """Keys and values are written in place: a second copy would not fit."""
  slots = jax.eval_shape(
    functools.partial(cache.empty, SMALL, slots=B, capacity=4096)
  )

  @functools.partial(jax.jit, donate_argnums=0)
  def steps(slots, params):
    def body(_, slots):
      token_B = jnp.zeros(B, jnp.int32)
      return cache.decode_step(SMALL, params, None, token_B, slots)[1]

    return jax.lax.fori_loop(0, 8, body, slots)

  params = jax.eval_shape(lambda: _params(SMALL))
  memory = steps.lower(slots, params).compile().memory_analysis()
  size = sum(4 * leaf.size for leaf in slots.k_BKSH + slots.v_BKSH)
  assert memory.temp_size_in_bytes < size / 4


EVERYTHING = dataclasses.replace(CONFIGS['pretrained'], canon=3)


@pytest.mark.parametrize('shape', [(2, 2), (4, 1)], ids=str)
def test_any_mesh_equals_no_mesh(shape):
  def states():
    params = decoder.for_sampling(EVERYTHING, _params(EVERYTHING))
    prefix = _read_prefix(EVERYTHING, params, _tokens(1, P, seed=1)[0])
    tokens_BT = _tokens()
    return _states(EVERYTHING, params, tokens_BT, steps=2, prefix=prefix)

  want = states()
  devices = jax.devices()[: shape[0] * shape[1]]
  with jax.set_mesh(mesh.make(*shape, devices=devices)):
    got = states()
  np.testing.assert_allclose(got, want, atol=2e-5)
