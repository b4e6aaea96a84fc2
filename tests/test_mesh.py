"""The mesh: sizes that fit, errors that say what to change, and placement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh


@pytest.mark.parametrize(
  'sizes, shape',
  [
    ({}, (8, 1)),
    ({'fsdp': 4, 'tp': 2}, (4, 2)),
    ({'fsdp': -1, 'tp': 4}, (2, 4)),
    ({'fsdp': 2, 'tp': -1}, (2, 4)),
  ],
)
def test_sizes(sizes, shape):
  made = mesh.make(**sizes)
  assert tuple(made.shape.values()) == shape
  assert made.axis_names == mesh.AXES


@pytest.mark.parametrize(
  'fsdp, tp, message',
  [
    (2, 2, 'fsdp=2, tp=2 does not fit 8 devices'),
    (-1, 3, 'fsdp=-1, tp=3 does not fit 8 devices'),
    (16, -1, 'does not fit 8 devices'),
    (-1, -1, 'only one of the two'),
    (0, 1, 'sizes are positive'),
    (-2, 1, 'sizes are positive'),
  ],
)
def test_sizes_that_do_not_fit(fsdp, tp, message):
  with pytest.raises(ValueError, match=message):
    mesh.make(fsdp, tp)


def test_batches_are_split_by_rows_and_the_rest_is_replicated():
  batch = {'x': np.arange(8).reshape(4, 2), 'step': np.int32(3)}
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    assert (mesh.size('fsdp'), mesh.size('tp')) == (2, 2)
    placed = mesh.put_batch(batch)
    assert placed['x'].addressable_shards[0].data.shape == (2, 2)
    assert placed['step'].sharding.is_fully_replicated
    jax.tree.map(np.testing.assert_array_equal, placed, batch)
    with pytest.raises(ValueError, match='3 rows cannot be split over 2'):
      mesh.put_batch(np.zeros((3, 2)))


def test_reshape_keeps_the_layout_that_it_is_told():
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    x_BTD = mesh.put_batch(np.arange(48.0).reshape(4, 3, 4))
    x_RD = jax.jit(lambda x: mesh.reshape(x, (-1, 4), 'fsdp'))(x_BTD)
    assert x_RD.sharding.spec == jax.P('fsdp', None)
    np.testing.assert_array_equal(x_RD, np.arange(48.0).reshape(12, 4))


def test_without_a_mesh_everything_is_on_one_device():
  assert (mesh.size('fsdp'), mesh.size('tp')) == (1, 1)
  assert mesh.spec('fsdp', None) is None
  assert mesh.platform() == 'cpu'
  x = jnp.ones((3, 2))
  assert mesh.place(x, 'fsdp', None) is x
  placed = mesh.put_batch({'x': np.ones((3, 2))})
  assert placed['x'].devices() == {jax.devices()[0]}
