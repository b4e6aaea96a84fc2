"""Which contents are equal: a hash finds candidates, the tokens decide."""

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


def same(memory: state.Memory, ops, write_O) -> jax.Array:
  """same_OR: which live rows, then earlier calls, hold the content of a call.

  Only among contents of one kind, and only for the calls in write_O. All calls
  check one candidate per round; more than a round or two takes a content that
  is repeated within the turn, or hashes that collide.
  """
  M = memory.kind_M.size
  start_R = jnp.concatenate([memory.start_M, ops.start_O])
  inside_TO = inside(ops.start_O, ops.length_O, size=ops.tokens_T.size)
  owner_T = inside_TO.argmax(-1)
  offset_T = jnp.arange(owner_T.size) - ops.start_O[owner_T]

  def check(carry):
    todo_OR, same_OR = carry
    pick_O = todo_OR.argmax(-1)
    row_T = pick_O[owner_T]
    at_T = start_R[row_T] + offset_T
    stored_T = jnp.where(row_T < M, memory.tokens_P[at_T], ops.tokens_T[at_T])
    differs_O = (inside_TO & (stored_T != ops.tokens_T)[:, None]).any(0)
    picked_OR = jnp.arange(start_R.size) == pick_O[:, None]
    same_OR |= todo_OR & picked_OR & ~differs_O[:, None]
    return todo_OR & ~picked_OR, same_OR

  todo_OR = _candidates(memory, ops, write_O)
  _, same_OR = jax.lax.while_loop(
    lambda carry: carry[0].any(), check, (todo_OR, jnp.zeros_like(todo_OR))
  )
  return same_OR


def _candidates(memory: state.Memory, ops, write_O) -> jax.Array:
  earlier_OO = jnp.tri(write_O.size, k=-1, dtype=bool) & write_O
  live_M = state.live(memory)
  live_OM = jnp.broadcast_to(live_M, (write_O.size, live_M.size))
  todo_OR = jnp.concatenate([live_OM, earlier_OO], -1) & write_O[:, None]
  for column_M, column_O in (
    (memory.kind_M, ops.kind_O),
    (memory.length_M, ops.length_O),
    (memory.hash_M, hashes(ops)),
  ):
    column_R = jnp.concatenate([column_M, column_O])
    todo_OR &= column_O[:, None] == column_R
  return todo_OR
