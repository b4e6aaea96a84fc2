"""Adapters: nothing at first, of low rank later, the same on a mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh as mesh_lib
from mem_alpha.models import decoder
from mem_alpha.models import lora
from mem_alpha.models import presets

CFG = presets.get('tiny', num_layers=2, width=16, vocab_size=32, ff=24)
MATRICES = {'query', 'key', 'value', 'out', 'gate', 'up', 'down'}


def adapters_of(base):
  adapters = lora.init(base, jax.random.key(1), rank=3, scale=2.0)
  # As if they had learnt something.
  return jax.tree.map(
    lambda x: x + 0.01 * jax.random.normal(jax.random.key(2), x.shape), adapters
  )


def test_new_adapters_change_no_bit():
  base = decoder.init(CFG, jax.random.key(0))
  adapters = lora.init(base, jax.random.key(1), rank=3, scale=2.0)
  assert set(adapters) == MATRICES
  merged = lora.merge(base, adapters)
  jax.tree.map(np.testing.assert_array_equal, merged, base)


def test_the_change_is_the_product_of_each_pair():
  base = decoder.init(CFG, jax.random.key(0))
  adapters = adapters_of(base)
  merged = lora.merge(base, adapters)
  for name, leaf in base['blocks'].items():
    change = np.asarray(merged['blocks'][name] - leaf)
    if name not in MATRICES:
      np.testing.assert_array_equal(change, 0)
      continue
    pair = adapters[name]
    for i in range(CFG.num_layers):
      a_IR, b_RO = pair['a_LIR'][i], pair['b_LRO'][i]
      want_IO = np.asarray(a_IR) @ np.asarray(b_RO)
      found_IO = change[i].reshape(want_IO.shape)
      np.testing.assert_allclose(found_IO, want_IO, atol=1e-6)
      assert np.linalg.matrix_rank(found_IO, tol=1e-4) <= 3
  np.testing.assert_array_equal(merged['embed'], base['embed'])


def test_a_base_in_bfloat16_stays_so():
  base = decoder.init(CFG, jax.random.key(0))
  base = jax.tree.map(lambda x: x.astype(jnp.bfloat16), base)
  merged = lora.merge(base, adapters_of(base))
  assert {x.dtype for x in jax.tree.leaves(merged)} == {jnp.dtype('bfloat16')}


def test_a_mesh_merges_the_same_and_keeps_the_layout():
  alone = decoder.init(CFG, jax.random.key(0))
  want = lora.merge(alone, lora.init(alone, jax.random.key(1), rank=3, scale=2))
  mesh = jax.make_mesh((2, 2), mesh_lib.AXES, devices=jax.devices()[:4])
  with jax.set_mesh(mesh):
    base = decoder.init(CFG, jax.random.key(0))
    adapters = lora.init(base, jax.random.key(1), rank=3, scale=2)
    merged = jax.jit(lora.merge)(base, adapters)
    for a, b in zip(jax.tree.leaves(merged), jax.tree.leaves(base)):
      assert a.sharding == b.sharding
    assert adapters['query']['a_LIR'].sharding.spec[1] == 'fsdp'
    assert adapters['query']['b_LRO'].sharding.spec[2] == 'tp'
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
    jax.device_get(merged),
    jax.device_get(want),
  )


@pytest.mark.parametrize('rank', [-1, 17])
def test_a_rank_that_no_matrix_has_is_an_error(rank):
  base = decoder.init(CFG, jax.random.key(0))
  with pytest.raises(ValueError, match='lora.rank='):
    lora.init(base, jax.random.key(1), rank=rank, scale=1.0)
