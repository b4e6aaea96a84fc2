"""Which contents are equal: a hash finds candidates, the tokens decide."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha.memory import state

_BASE = 0x01000193  # odd, so that it has an inverse modulo 2^32


def inside(start_O, length_O, *, size: int) -> jax.Array:
  """inside_TO: whether a position of a buffer belongs to the span of a call."""
  at_T1 = jnp.arange(size)[:, None]
  return (at_T1 >= start_O) & (at_T1 < start_O + length_O)


def hashes(ops) -> jax.Array:
  """hash_O: sum of token x _BASE^place modulo 2^32 over each content."""
  T = ops.tokens_T.size
  power_T = np.multiply.accumulate(np.full(T, _BASE, np.uint32))
  inverse = np.uint32(pow(_BASE, -1, 2**32))
  shift_T = np.multiply.accumulate(np.full(T, inverse, np.uint32))
  inside_TO = inside(ops.start_O, ops.length_O, size=T)
  weighted_T = ops.tokens_T.astype(jnp.uint32) * power_T
  sum_O = jnp.where(inside_TO, weighted_T[:, None], jnp.uint32(0)).sum(0)
  return sum_O * jnp.asarray(shift_T)[ops.start_O]


def hash_of(tokens: Sequence[int]) -> int:
  """The hash of one content, on the host."""
  value = 0
  for token in reversed(tokens):
    value = (value * _BASE + token) % 2**32
  return value


def holds(memory: state.Memory, ops, hash_O, o, live_M, live_O) -> jax.Array:
  """Whether one of these rows, or of these calls, has the content of call `o`.

  Only contents of its kind count. One row and one call are compared per round;
  more than a round takes a hash that two contents share.
  """
  for column_M, column_O in (
    (memory.kind_M, ops.kind_O),
    (memory.length_M, ops.length_O),
    (memory.hash_M, hash_O),
  ):
    live_M = live_M & (column_M == column_O[o])
    live_O = live_O & (column_O == column_O[o])
  at_T = jnp.arange(ops.tokens_T.size)
  beyond_T = at_T >= ops.length_O[o]
  own_T = ops.tokens_T[ops.start_O[o] + at_T]

  def check(carry):
    todo_M, todo_O, _ = carry
    m, c = todo_M.argmax(), todo_O.argmax()
    stored_T = memory.tokens_P[memory.start_M[m] + at_T]
    earlier_T = ops.tokens_T[ops.start_O[c] + at_T]
    found = todo_M[m] & ((stored_T == own_T) | beyond_T).all()
    found |= todo_O[c] & ((earlier_T == own_T) | beyond_T).all()
    return todo_M.at[m].set(False), todo_O.at[c].set(False), found

  def unsure(carry):
    todo_M, todo_O, found = carry
    return ~found & (todo_M.any() | todo_O.any())

  return jax.lax.while_loop(unsure, check, (live_M, live_O, jnp.bool(False)))[2]
