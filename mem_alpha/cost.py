"""What a compiled program costs: bytes, arithmetic, exchanges, chips.

Bytes and exchanges are the compiler's own. Arithmetic is counted from the
traced program, matrix products only, because the compiler counts the body of a
loop once: a scan over layers would look as cheap as one layer.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

import jax
import numpy as np

GIB = 2**30

_COLLECTIVE = re.compile(
  r'= (?P<shape>.*?) (?P<name>all-gather|all-reduce|reduce-scatter|all-to-all'
  r'|collective-permute)(?:-start)?\('
)


@dataclasses.dataclass(frozen=True)
class Chip:
  """One device: memory that programs can use, and its published rates."""

  memory: float  # bytes
  flops: float  # per second, bfloat16 without sparsity
  bandwidth: float  # bytes of memory per second


# Memory as the compiler and the driver give it out; rates from the vendors'
# data sheets (cloud.google.com/tpu/docs, nvidia.com).
CHIPS: Mapping[str, Chip] = {
  'TPU v4': Chip(30.75 * GIB, 275e12, 1228e9),
  'TPU v5 lite': Chip(15.75 * GIB, 197e12, 819e9),
  'TPU v5': Chip(95.74 * GIB, 459e12, 2765e9),
  'TPU v6 lite': Chip(31.25 * GIB, 918e12, 1640e9),
  'NVIDIA A100-SXM4-80GB': Chip(79 * GIB, 312e12, 2039e9),
  'NVIDIA H100 80GB HBM3': Chip(79 * GIB, 989e12, 3350e9),
  'NVIDIA H200': Chip(139 * GIB, 989e12, 4800e9),
}


@dataclasses.dataclass(frozen=True)
class Cost:
  """Of one run of a program on one device."""

  arguments: int  # bytes, like those that follow
  outputs: int  # those that are not written over an argument
  temporary: int
  code: int
  collectives: dict[str, int]  # name -> occurrences in the program text

  @property
  def peak(self) -> int:
    """Bytes that must be free for it, its arguments included."""
    return self.arguments + self.outputs + self.temporary + self.code


def of(compiled) -> Cost:
  """The cost of a compiled program."""
  memory = compiled.memory_analysis()
  found = _COLLECTIVE.finditer(compiled.as_text())
  names = [match['name'] for match in found]
  return Cost(
    arguments=memory.argument_size_in_bytes,
    outputs=memory.output_size_in_bytes - memory.alias_size_in_bytes,
    temporary=memory.temp_size_in_bytes,
    code=memory.generated_code_size_in_bytes,
    collectives={name: names.count(name) for name in sorted(set(names))},
  )


def flops(jaxpr) -> float:
  """Arithmetic of all matrix products, on all devices together.

  A scan counts as often as it runs, and of the branches of a condition the
  dearest. The body of a while loop counts once.
  """
  total = 0.0
  for equation in jaxpr.eqns:
    inner = [
      flops(getattr(part, 'jaxpr', part))
      for value in equation.params.values()
      for part in (value if isinstance(value, tuple | list) else [value])
      if hasattr(getattr(part, 'jaxpr', part), 'eqns')
    ]
    name = equation.primitive.name
    if name == 'dot_general':
      total += _product(equation)
    elif name == 'scan':
      total += equation.params['length'] * sum(inner)
    elif name == 'cond':
      total += max(inner)
    elif name == 'shard_map':  # its shapes are those of one device
      total += equation.params['mesh'].size * sum(inner)
    else:
      total += sum(inner)
  return total


def _product(equation) -> float:
  """Two operations per multiplication of a product of two arrays."""
  (contracted, _), _ = equation.params['dimension_numbers']
  left = equation.invars[0].aval.shape
  (out,) = equation.outvars
  return (
    2.0 * math.prod(out.aval.shape) * math.prod(left[i] for i in contracted)
  )


def bytes_per_device(tree) -> int:
  """Bytes of a tree of placed arrays, or of their shapes, on one device."""
  return sum(
    math.prod(leaf.sharding.shard_shape(leaf.shape)) * _width(leaf.dtype)
    for leaf in jax.tree.leaves(tree)
  )


def _width(dtype) -> int:
  if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
    return 8  # two words of a threefry key
  return np.dtype(dtype).itemsize
