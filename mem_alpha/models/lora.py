"""Low-rank adapters: W + A B in place of W (LoRA, arXiv 2106.09685).

Every matrix of a layer gets a pair. The policy that samples, and the one that
learns, is the merged one: decoder and sampler know nothing of adapters, and
what is exported is what was trained. Adapters are float32; the base may be
kept in bfloat16, and a merged matrix is rounded to it, as master weights are
for computing.

    adapters = lora.init(base, key, rank=16, scale=2.0)
    params = lora.merge(base, adapters)
"""

import math

import jax
import jax.numpy as jnp

from mem_alpha import mesh
from mem_alpha.models import weights


def init(base, key: jax.Array, *, rank: int, scale: float):
  """Adapters that change nothing yet: A is random, B is 0.

  `scale` multiplies A B; it is kept in A, and so is part of what is trained:
  A begins with deviation scale / sqrt(inputs).
  """

  @jax.jit
  def make():
    adapters = {}
    for name, (leaf, inputs) in sorted(_matrices(base).items()):
      L, shape = leaf.shape[0], leaf.shape[1:]
      size = math.prod(shape[:inputs]), math.prod(shape[inputs:])
      if not 1 <= rank <= min(size):
        raise ValueError(
          f'lora.rank={rank} must be 1 to {min(size)}: {name} is '
          f'{size[0]} x {size[1]}'
        )
      of_input, of_output = _axes(leaf, inputs)
      own = jax.random.fold_in(key, len(adapters))
      a_LIR = jax.random.normal(own, (L, size[0], rank))
      a_LIR *= scale * size[0] ** -0.5
      adapters[name] = dict(
        a_LIR=mesh.place(a_LIR, None, of_input, None),
        b_LRO=mesh.place(jnp.zeros((L, rank, size[1])), None, None, of_output),
      )
    return adapters

  return make()


def merge(base, adapters):
  """The parameters of the adapted model, of the base's dtypes."""
  blocks = dict(base['blocks'])
  for name, pair in adapters.items():
    leaf = blocks[name]
    of_input, of_output = _axes(leaf, weights.INPUT_AXES[f'blocks/{name}'])
    change_LIO = jnp.einsum(
      'LIR,LRO->LIO',
      pair['a_LIR'],
      pair['b_LRO'],
      out_sharding=mesh.spec(None, of_input, of_output),
    )
    axes = () if mesh.spec() is None else _spec(leaf)
    change = mesh.reshape(change_LIO, leaf.shape, *axes)
    blocks[name] = (leaf.astype(jnp.float32) + change).astype(leaf.dtype)
  return {**base, 'blocks': blocks}


def _matrices(base) -> dict:
  """(leaf, how many of its axes are inputs) of each matrix of a layer."""
  return {
    name: (leaf, weights.INPUT_AXES[f'blocks/{name}'])
    for name, leaf in base['blocks'].items()
    if weights.INPUT_AXES.get(f'blocks/{name}')
  }


def _axes(leaf, inputs: int):
  """Mesh axes of the inputs and of the outputs of a stacked matrix."""
  if mesh.spec() is None:
    return None, None
  spec = _spec(leaf)
  return spec[1], spec[1 + inputs]


def _spec(leaf) -> tuple:
  """Mesh axis of each axis of a leaf."""
  spec = tuple(jax.typeof(leaf).sharding.spec)
  return spec + (None,) * (leaf.ndim - len(spec))
