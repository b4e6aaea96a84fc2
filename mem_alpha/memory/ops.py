"""One turn of tool calls, applied to every memory of a batch at once.

1. `plan` decides the status of every call, from small per-row values alone.
2. Replaced and deleted versions are closed.
3. Memories that compaction helps are compacted, outside of `vmap`: under it, a
   branch over the state would copy the pools of the whole batch.
4. Accepted contents are appended to the pools by one masked scatter each.

A call that fails changes nothing.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import structs
from mem_alpha.memory import content
from mem_alpha.memory import plan
from mem_alpha.memory import state

# The action of a call whose content no tokens spell: the memory refuses it, as
# any action that it does not know, as INVALID.
UNSPELT = -1


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a run allows. `core` and `entry` count in `limit_O`; None: no limit.

  enabled: for each kind, whether the run has it.
  keep_history: never drop closed versions, even when the memory is full.
  allow_empty: store an empty content as any other (published system).
  delete_unknown: accept the deletion of what is not there (published system).
  """

  core: int | None = 512
  entry: int | None = None
  enabled: tuple[bool, bool, bool] = (True, True, True)
  keep_history: bool = False
  allow_empty: bool = False
  delete_unknown: bool = False

  def __post_init__(self):
    if not isinstance(self.enabled, tuple) or len(self.enabled) != len(
      structs.Kind
    ):
      raise ValueError(
        f'Limits.enabled is {self.enabled!r}: give a tuple with one bool for '
        'core, semantic and episodic memory each.'
      )


@dataclasses.dataclass(frozen=True)
class EncodedCall:
  """A well-formed call after the text seam."""

  action: structs.Action | int  # or UNSPELT
  kind: structs.Kind
  uid: int = structs.NO_ID
  tokens: tuple[int, ...] = ()
  terms: tuple[int, ...] = ()
  limit_count: int = 0  # tokens, in the tokenizer that the limit names


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ops:
  """The calls of one turn; their spans in the two buffers do not overlap.

  The words of a call are sorted: their order means nothing to BM25.
  """

  action_O: jax.Array
  kind_O: jax.Array
  uid_O: jax.Array
  start_O: jax.Array
  length_O: jax.Array
  term_start_O: jax.Array
  num_terms_O: jax.Array
  limit_O: jax.Array
  tokens_T: jax.Array
  terms_W: jax.Array


def pack(
  calls: Sequence[Sequence[EncodedCall]],
  O: int,  # noqa: E741
  T: int,
  W: int,
) -> Ops:
  """A batch of turns as numpy arrays: O calls, T tokens and W words each.

  A content that no longer fits the buffer of its turn keeps its length but
  gets no span; `apply_turn` refuses it as FULL.
  """
  names = [field.name for field in dataclasses.fields(Ops)]
  sizes = {'O': O, 'T': T, 'W': W}
  arrays = {n: np.zeros((len(calls), sizes[n[-1]]), np.int32) for n in names}
  arrays['uid_O'][:] = structs.NO_ID
  for b, turn in enumerate(calls):
    if len(turn) > O:
      raise ValueError(
        f'turn {b} of the batch has {len(turn)} calls but there is room for '
        f'{O}: cut the calls of a turn or raise the number of calls per turn.'
      )
    _pack_turn(turn, {n: array[b] for n, array in arrays.items()})
  return Ops(**arrays)


@jax.jit(static_argnames='limits', donate_argnames='memory_B')
def apply_turn(
  memory_B: state.Memory, ops_B: Ops, chunk, *, limits: Limits
) -> tuple[state.Memory, jax.Array, jax.Array]:
  """Executes one turn per memory; returns memory_B, status_BO and uid_BO.

  `chunk` is the index of the turn, one for all memories or one for each. The
  uid is that of the entry which an accepted call acted on, NO_ID elsewhere.
  Memories do not influence each other. memory_B is donated.
  """
  chunk_B = jnp.broadcast_to(chunk, memory_B.next_row.shape)

  def turn(memory_B, ops_B, chunk_B):
    return _apply_turn(memory_B, ops_B, chunk_B, limits=limits)

  return state.on_shards(turn)(memory_B, ops_B, chunk_B)


def _apply_turn(memory_B, ops_B, chunk_B, *, limits):
  todo_B, full_B = jax.vmap(functools.partial(plan.make, limits=limits))(
    memory_B, ops_B, chunk_B
  )
  memory_B = jax.vmap(_close)(memory_B, todo_B, chunk_B)
  memory_B = _make_room(memory_B, full_B)
  memory_B = jax.vmap(_append)(memory_B, ops_B, todo_B, chunk_B)
  return memory_B, todo_B.status_O, todo_B.uid_O


def _pack_turn(turn: Sequence[EncodedCall], row: dict[str, np.ndarray]):
  token_tail = term_tail = 0
  T, W = row['tokens_T'].size, row['terms_W'].size
  for o, call in enumerate(turn):
    row['action_O'][o] = call.action
    row['kind_O'][o] = call.kind
    row['uid_O'][o] = call.uid
    row['limit_O'][o] = call.limit_count
    row['length_O'][o] = length = len(call.tokens)
    row['num_terms_O'][o] = num_terms = len(call.terms)
    if token_tail + length > T or term_tail + num_terms > W:
      row['start_O'][o], row['term_start_O'][o] = T, W
      continue
    row['start_O'][o], row['term_start_O'][o] = token_tail, term_tail
    row['tokens_T'][token_tail : token_tail + length] = call.tokens
    # Sorted, so that a search finds the distinct words of an entry quickly.
    row['terms_W'][term_tail : term_tail + num_terms] = sorted(call.terms)
    token_tail += length
    term_tail += num_terms


def _make_room(memory_B, full_B):
  """Compacts the memories that need it, one after another and in place.

  Almost always none does. A `cond` over the batch would need room for a second
  batch of pools in every turn.
  """

  def compact_one(carry):
    memory_B, full_B = carry
    b = full_B.argmax()
    memory = state.compact(jax.tree.map(lambda x_B: x_B[b], memory_B))
    memory_B = jax.tree.map(lambda x_B, x: x_B.at[b].set(x), memory_B, memory)
    return memory_B, full_B.at[b].set(False)

  memory_B, _ = jax.lax.while_loop(
    lambda carry: carry[1].any(), compact_one, (memory_B, full_B)
  )
  return memory_B


def _close(memory, todo: plan.Plan, chunk) -> state.Memory:
  ended_M = state.live(memory) & ~todo.live_M
  closed_M = jnp.where(ended_M, chunk, memory.closed_M)
  return dataclasses.replace(memory, closed_M=closed_M)


def _append(memory, ops: Ops, todo: plan.Plan, chunk) -> state.Memory:
  """Writes the accepted contents behind the tails, everything else dropped."""
  M = memory.kind_M.size
  write_O = todo.write_O
  row_O = jnp.where(write_O, memory.next_row + _before(write_O), M)
  tokens_P, start_O, token_tail = _append_spans(
    memory.tokens_P,
    memory.token_tail,
    ops.tokens_T,
    ops.start_O,
    jnp.where(write_O, ops.length_O, 0),
  )
  terms_P, term_start_O, term_tail = _append_spans(
    memory.terms_P,
    memory.term_tail,
    ops.terms_W,
    ops.term_start_O,
    jnp.where(write_O, ops.num_terms_O, 0),
  )
  values = {
    'kind_M': ops.kind_O,
    'entry_M': todo.entry_O,
    'uid_M': todo.uid_O,
    'start_M': start_O,
    'length_M': ops.length_O,
    'term_start_M': term_start_O,
    'num_terms_M': ops.num_terms_O,
    'hash_M': content.hashes(ops),
    'created_M': todo.created_O,
    'updated_M': jnp.broadcast_to(chunk, row_O.shape),
    'closed_M': jnp.where(todo.live_O, state.NEVER, chunk),
  }
  columns = {
    name: getattr(memory, name).at[row_O].set(value_O, mode='drop')
    for name, value_O in values.items()
  }
  return dataclasses.replace(
    memory,
    tokens_P=tokens_P,
    token_tail=token_tail,
    terms_P=terms_P,
    term_tail=term_tail,
    next_row=memory.next_row + write_O.sum(),
    next_entry=todo.next_entry,
    **columns,
  )


def _append_spans(pool_P, tail, buffer_T, start_O, length_O):
  """Returns the pool, the places of the spans in it and the new tail."""
  new_start_O = tail + _before(length_O)
  at_T = jnp.arange(buffer_T.size)
  inside_TO = content.inside(start_O, length_O, size=buffer_T.size)
  shift_T = (inside_TO * (new_start_O - start_O)).sum(-1)
  place_T = jnp.where(inside_TO.any(-1), at_T + shift_T, pool_P.size)
  pool_P = pool_P.at[place_T].set(buffer_T, mode='drop')
  return pool_P, new_start_O, tail + length_O.sum()


def _before(count_O) -> jax.Array:
  """How much lies in front of each call."""
  count_O = count_O.astype(jnp.int32)
  return jnp.cumsum(count_O) - count_O
