"""The device mesh, and the seam between host arrays and device arrays.

One mesh has two axes. Batches and parameters are split over 'fsdp'; heads,
feed-forward units and the vocabulary are split over 'tp'. The axes are
explicit: every array type carries its sharding, so layers say where they want
a value with `place`, and a wrong combination is an error while tracing.

    with jax.set_mesh(mesh.make(fsdp=-1, tp=1)):
      params = decoder.init(cfg, key)
      batch = mesh.put_batch(batch)

Without a mesh the same code runs on one device: `place` does nothing.
"""

import math

import jax
import numpy as np

AXES = ('fsdp', 'tp')


def make(fsdp: int = -1, tp: int = 1, *, devices=None) -> jax.sharding.Mesh:
  """Lays the devices out as fsdp x tp; one of the two may be -1 (the rest).

  `devices` defaults to all that are visible, and every one must be used.
  """
  devices = jax.devices() if devices is None else list(devices)
  asked = f'mesh fsdp={fsdp}, tp={tp}'
  if min(fsdp, tp) < -1 or 0 in (fsdp, tp):
    raise ValueError(f'{asked}: sizes are positive, or -1 for the rest')
  if fsdp == tp == -1:
    raise ValueError(f'{asked}: only one of the two sizes can be -1')
  rest = len(devices) // abs(fsdp * tp)
  fsdp, tp = (rest if size == -1 else size for size in (fsdp, tp))
  if fsdp * tp != len(devices):
    raise ValueError(
      f'{asked} does not fit {len(devices)} devices: choose sizes whose '
      'product is the number of devices, or set one of them to -1'
    )
  return jax.make_mesh((fsdp, tp), AXES, devices=devices)


def size(axis: str) -> int:
  """Devices along an axis of the mesh in use; 1 without a mesh."""
  return jax.sharding.get_abstract_mesh().shape.get(axis, 1)


def platform() -> str:
  """'cpu', 'gpu' or 'tpu': that of the mesh in use, else of this process."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.abstract_device is None:
    return jax.default_backend()
  return mesh.abstract_device.platform


def spec(*axes: str | None) -> jax.P | None:
  """A partition spec for `out_sharding=`, or None where no mesh is set."""
  return None if jax.sharding.get_abstract_mesh().empty else jax.P(*axes)


def place(x: jax.Array, *axes: str | None) -> jax.Array:
  """Moves x to the named layout; the identity where no mesh is set."""
  wanted = spec(*axes)
  return x if wanted is None else jax.reshard(x, wanted)


def reshape(x: jax.Array, shape, *axes: str | None) -> jax.Array:
  """Reshapes to a layout; one size may be -1, axes not named are not split."""
  known = math.prod(n for n in shape if n != -1)
  shape = tuple(x.size // known if n == -1 else n for n in shape)
  axes += (None,) * (len(shape) - len(axes))
  return jax.lax.reshape(x, shape, out_sharding=spec(*axes))


def put_batch(batch):
  """Puts a tree of host arrays on the devices, split by their first axis."""
  return _put(batch, lambda x: ('fsdp',) if np.ndim(x) else ())


def replicate(tree):
  """Puts a tree of host arrays on every device."""
  return _put(tree, lambda x: ())


def _put(tree, axes_of):
  mesh = jax.sharding.get_mesh()
  if mesh.empty:
    return jax.tree.map(jax.numpy.asarray, tree)

  def put(x):
    axes = axes_of(x)
    if axes and np.shape(x)[0] % mesh.shape['fsdp']:
      raise ValueError(
        f'a batch of {np.shape(x)[0]} rows cannot be split over '
        f'{mesh.shape["fsdp"]} devices (mesh axis fsdp): pad the batch'
      )
    return jax.device_put(x, jax.NamedSharding(mesh, jax.P(*axes)))

  return jax.tree.map(put, tree)
