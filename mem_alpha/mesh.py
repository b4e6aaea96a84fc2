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

import base64
import json
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.experimental import multihost_utils

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
  try:
    return jax.make_mesh((fsdp, tp), AXES, devices=devices)
  except NotImplementedError:  # sizes that cut an axis of a TPU's torus in two
    grid = mesh_utils.create_device_mesh(
      (fsdp, tp), devices, allow_split_physical_axes=True
    )
    explicit = (jax.sharding.AxisType.Explicit,) * 2
    return jax.sharding.Mesh(grid, AXES, axis_types=explicit)


def join(how: str | None) -> None:
  """Meets the other processes of a run: 'HOST:PORT,COUNT,INDEX', or 'auto'.

  Before anything else happens on a device. 'auto' is for places that tell a
  process where it is, such as TPU pods and Slurm; None is a run of one.
  """
  if how == 'auto':
    jax.distributed.initialize()
  elif how:
    parts = how.split(',')
    if len(parts) != 3 or not all(n.isdigit() for n in parts[1:]):
      raise ValueError(
        f'--distributed={how} must be HOST:PORT,COUNT,INDEX, such as '
        'host0:1234,2,0 for the first of two processes, or auto.'
      )
    jax.distributed.initialize(parts[0], int(parts[1]), int(parts[2]))


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


def split_rows(x_B: jax.Array, count: int) -> jax.Array:
  """[B, ...] as `count` groups of neighbours: [count, B / count, ...].

  Devices share the groups, or the rows where there is only one.
  """
  shape = (count, x_B.shape[0] // count, *x_B.shape[1:])
  return reshape(x_B, shape, *_shared(count), *axes(x_B)[1:])


def join_rows(x_XR: jax.Array) -> jax.Array:
  """What `split_rows` took apart."""
  return reshape(x_XR, (-1, *x_XR.shape[2:]), 'fsdp', *axes(x_XR)[2:])


def spread(x_X: jax.Array, rows: int) -> jax.Array:
  """A copy of what a group has, [X, ...], for each of its rows: [B, ...]."""
  count, *rest = x_X.shape
  out = spec(*_shared(count), *axes(x_X)[1:])
  shape = (count, rows // count, *rest)
  return join_rows(jnp.broadcast_to(x_X[:, None], shape, out_sharding=out))


def _shared(count: int) -> tuple[str | None, str | None]:
  """How groups and their rows are split."""
  return ('fsdp', None) if count > 1 else (None, 'fsdp')


def axes(x: jax.Array) -> tuple[str | None, ...]:
  """The mesh axis that each axis of x is split over."""
  return tuple(jax.typeof(x).sharding.spec)


def gather(value) -> list:
  """A plain JSON value of each process, in their order; all must call."""
  if jax.process_count() == 1:
    return [value]
  text = json.dumps(value).encode()
  sizes = multihost_utils.process_allgather(np.int32(len(text)))
  padded = np.zeros(sizes.max(), np.uint8)
  padded[: len(text)] = np.frombuffer(text, np.uint8)
  texts = multihost_utils.process_allgather(padded)
  return [json.loads(bytes(t[:n])) for t, n in zip(texts, sizes)]


def share(value) -> list:
  """Any value of each process, in their order; all must call."""
  if jax.process_count() == 1:
    return [value]
  text = base64.b64encode(pickle.dumps(value)).decode()
  return [pickle.loads(base64.b64decode(t)) for t in gather(text)]


def from_first(make):
  """What `make()` returns on process 0; the others only listen. All call."""
  if jax.process_count() == 1:
    return make()
  return share(make() if jax.process_index() == 0 else None)[0]


def placed(leaf) -> jax.ShapeDtypeStruct:
  """Shape, dtype and placement of an array; unplaced ones go everywhere."""
  sharding = getattr(leaf, 'sharding', None)
  mesh = jax.sharding.get_mesh()
  if isinstance(sharding, jax.NamedSharding):
    if isinstance(sharding.mesh, jax.sharding.AbstractMesh):
      sharding = jax.NamedSharding(mesh, sharding.spec)
  elif mesh.empty:
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  else:
    sharding = jax.NamedSharding(mesh, jax.P())
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def put_batch(batch):
  """Puts a tree of host arrays on the devices, split by their first axis."""
  mesh = jax.sharding.get_mesh()
  if mesh.empty:
    return jax.tree.map(jax.numpy.asarray, batch)

  def put(x):
    axes = ('fsdp',) if np.ndim(x) else ()
    if axes and np.shape(x)[0] % mesh.shape['fsdp']:
      raise ValueError(
        f'a batch of {np.shape(x)[0]} rows cannot be split over '
        f'{mesh.shape["fsdp"]} devices (mesh axis fsdp): pad the batch'
      )
    sharding = jax.NamedSharding(mesh, jax.P(*axes))
    if jax.process_count() == 1:
      return jax.device_put(x, sharding)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
      data = put(jax.random.key_data(x))
      return jax.random.wrap_key_data(data)
    x = np.asarray(x)  # each process hands over what its own devices hold
    return jax.make_array_from_callback(x.shape, sharding, lambda i: x[i])

  return jax.tree.map(put, batch)
