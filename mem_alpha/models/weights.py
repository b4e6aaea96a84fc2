"""Tensors of a checkpoint -> the decoder's parameter tree.

Checkpoints keep one [out, in] matrix per layer under a name of their own; the
decoder keeps one array per kind of weight, layers stacked on axis 0 and heads
apart. `assemble` goes tensor by tensor: each is read, copied to the devices
that hold it, and dropped, so that host memory holds one at a time. What the
file lacks, adds or shapes differently is an error before the first read.
"""

import functools
import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import mesh
from mem_alpha.models import decoder

# How many leading axes of a layer's leaf the inputs take: a leaf [D, K, G, H]
# with one such axis is a matrix [K * G * H, D] in the file; none: a vector.
INPUT_AXES = {
  'blocks/attention_norm': 0,
  'blocks/query': 1,
  'blocks/query_bias': 0,
  'blocks/query_norm': 0,
  'blocks/key': 1,
  'blocks/key_bias': 0,
  'blocks/key_norm': 0,
  'blocks/value': 1,
  'blocks/value_bias': 0,
  'blocks/out': 3,
  'blocks/ff_norm': 0,
  'blocks/gate': 1,
  'blocks/up': 1,
  'blocks/down': 1,
}


def assemble(
  cfg: decoder.Config,
  shapes: Mapping[str, tuple[int, ...]],
  read: Callable[[str], np.ndarray],
  *,
  names: Mapping[str, str],
  where: str,
):
  """Parameters of `cfg` from the tensors of one checkpoint.

  `names` maps a leaf such as 'blocks/query' to its name in the checkpoint,
  with {} for the layer; `where` names the checkpoint in errors.
  """
  abstract = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  leaves, tree = jax.tree.flatten_with_path(abstract)
  plan = []
  for path, leaf in leaves:
    key = jax.tree_util.keystr(path, simple=True, separator='/')
    stacked = key.startswith('blocks/')
    shape = leaf.shape[1:] if stacked else leaf.shape
    layers = range(cfg.num_layers) if stacked else (0,)
    plan.append(
      (leaf, key, shape, [names[key].format(layer) for layer in layers])
    )
  _check(plan, shapes, where)
  arrays = []
  for leaf, key, shape, sources in plan:
    stacked = len(leaf.shape) > len(shape)
    axes = leaf.sharding.spec if leaf.sharding else ()
    array = None
    if stacked:
      out = mesh.spec(*axes)
      array = jnp.zeros(leaf.shape, leaf.dtype, out_sharding=out)
      axes = axes[1:]
    for layer, name in enumerate(sources):
      value = _to_leaf(key, _finite(read(name), name, where), shape)
      value = _place(np.ascontiguousarray(value, leaf.dtype), axes)
      array = _set(array, value, layer) if stacked else value
    # One tensor at a time: copies to a device go on behind Python's back.
    arrays.append(jax.block_until_ready(array))
  return jax.tree.unflatten(tree, arrays)


@functools.partial(jax.jit, donate_argnums=0)
def _set(array, value, layer):
  return array.at[layer].set(value)


def _check(plan, shapes, where):
  wanted = {
    name: _file_shape(key, shape)
    for _, key, shape, sources in plan
    for name in sources
  }
  if missing := sorted(wanted.keys() - shapes.keys()):
    raise ValueError(
      f'{where} lacks {_some(missing)}: the download is incomplete, or its '
      'config describes another model.'
    )
  if extra := sorted(shapes.keys() - wanted.keys()):
    raise ValueError(
      f'{where} holds {_some(extra)}, for which this decoder has no place: '
      'the model computes something else; use a supported one.'
    )
  wrong = [
    f'{name} is {tuple(shapes[name])} instead of {shape}'
    for name, shape in sorted(wanted.items())
    if tuple(shapes[name]) != shape
  ]
  if wrong:
    raise ValueError(
      f'{where} has other shapes than its config says: {_some(wrong)}; fetch '
      'config and weights of the same model.'
    )


def _file_shape(key, shape):
  inputs = INPUT_AXES.get(key)
  if inputs is None:  # embedding, head and final norm: the same in the file
    return tuple(shape)
  if inputs == 0:
    return (math.prod(shape),)
  return math.prod(shape[inputs:]), math.prod(shape[:inputs])


def _to_leaf(key, value, shape):
  return value.T.reshape(shape) if key in INPUT_AXES else value


def to_file(key: str, leaf: jax.Array) -> np.ndarray:
  """One layer of a leaf, or a leaf without layers, as a checkpoint has it."""
  value = np.asarray(leaf)
  if key in INPUT_AXES:
    value = value.reshape(_file_shape(key, value.shape)[::-1]).T
  return value


def _finite(value, name, where):
  value = np.asarray(value, np.float32)
  if not np.isfinite(value).all():
    raise ValueError(
      f'{name} in {where} holds values that are not finite: the file is '
      'damaged; fetch it again.'
    )
  return value


def _place(array, axes):
  """Each process copies only what its own devices hold."""
  devices = jax.sharding.get_mesh()
  if devices.empty:
    return jnp.asarray(array)
  sharding = jax.NamedSharding(devices, jax.P(*axes))
  return jax.make_array_from_callback(
    array.shape, sharding, lambda index: array[index]
  )


def _some(items, most=4):
  more = f' and {len(items) - most} more' if len(items) > most else ''
  return ', '.join(items[:most]) + more
