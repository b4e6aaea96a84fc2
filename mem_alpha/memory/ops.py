"""One turn of tool calls, applied to every memory of a batch at once.

The calls of a turn act one after another, but only on small per-row values:

1. What a call alone decides (disabled kind, too long, ...) is decided first.
2. Contents are compared with the live ones and with each other. A hash finds
   the candidates; tokens decide.
3. A scan over the calls decides each status from per-row columns, twice: with
   the room that is left now, and with the room after a compaction.
4. Memories that a compaction helps are compacted, outside of `vmap`: under it,
   a branch over the state would copy the pools of the whole batch.
5. Accepted contents are appended to the pools by one masked scatter each.

The first check that fails names the status, in the order DISABLED, INVALID,
EMPTY, TOO_LONG, UNKNOWN_ID, DUPLICATE, FULL. A call that fails changes nothing.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import structs
from mem_alpha.memory import content
from mem_alpha.memory import state

_INSERT, _UPDATE = structs.Action.INSERT, structs.Action.UPDATE
_CORE = structs.Kind.CORE
_DUPLICATE = structs.Status.DUPLICATE


@dataclasses.dataclass(frozen=True)
class Limits:
  """What a run allows. `core` and `entry` count in `limit_O`; None: no limit.

  enabled: for each kind, whether the run has it.
  keep_history: never drop closed versions, even when the memory is full.
  """

  core: int | None = 512
  entry: int | None = None
  enabled: tuple[bool, bool, bool] = (True, True, True)
  keep_history: bool = False


@dataclasses.dataclass(frozen=True)
class EncodedCall:
  """A well-formed call after the text seam."""

  action: structs.Action
  kind: structs.Kind
  uid: int = structs.NO_ID
  tokens: tuple[int, ...] = ()
  terms: tuple[int, ...] = ()
  limit_count: int = 0  # tokens, in the tokenizer that the limit names


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ops:
  """The calls of one turn; their spans in the two buffers do not overlap."""

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Plan:
  """What a turn will do to one memory; decided before any pool is touched."""

  status_O: jax.Array
  entry_O: jax.Array  # of the entry that the call acts on
  uid_O: jax.Array
  created_O: jax.Array
  write_O: jax.Array  # accepted, with a content
  live_R: jax.Array  # after the turn: the rows, then the contents of the calls
  next_entry: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Table:
  """What the calls of a turn see of a memory.

  Columns _R hold the rows of the table, then one place for each call, where
  an accepted content lives until it is appended.
  """

  live_R: jax.Array
  kind_R: jax.Array
  entry_R: jax.Array
  uid_R: jax.Array
  created_R: jax.Array
  room: jax.Array  # tokens, words and rows
  next_entry: jax.Array


def pack(
  calls: Sequence[Sequence[EncodedCall]], O: int, T: int, W: int
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
  plan_B, full_B = jax.vmap(functools.partial(_plan, limits=limits))(
    memory_B, ops_B, chunk_B
  )
  memory_B = jax.vmap(_close)(memory_B, plan_B, chunk_B)
  memory_B = _make_room(memory_B, full_B)
  memory_B = jax.vmap(_append)(memory_B, ops_B, plan_B, chunk_B)
  return memory_B, plan_B.status_O, plan_B.uid_O


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
    row['terms_W'][term_tail : term_tail + num_terms] = call.terms
    token_tail += length
    term_tail += num_terms


def _plan(memory, ops, chunk, *, limits):
  """Returns the plan, and whether it needs the memory to be compacted."""
  verdict_O = _verdict(ops, limits)
  write_O = (verdict_O == structs.Status.OK) & (
    (ops.action_O == _INSERT) | (ops.action_O == _UPDATE)
  )
  same_OR = content.same(memory, ops, write_O)
  rooms = _rooms(memory, keep_history=limits.keep_history)

  def decide(room):
    return _decide(memory, ops, verdict_O, same_OR, room, chunk)

  plans = jax.vmap(decide)(rooms)  # with the room now, and after compaction
  helps = (plans.status_O[0] != plans.status_O[1]).any()
  plan = jax.tree.map(lambda x: jnp.where(helps, x[1], x[0]), plans)
  return plan, helps


def _verdict(ops: Ops, limits: Limits) -> jax.Array:
  """What each call alone decides; OK where the memory has a say."""
  none = np.iinfo(np.int32).max
  core = none if limits.core is None else limits.core
  entry = none if limits.entry is None else limits.entry
  known_O = (ops.kind_O >= 0) & (ops.kind_O < len(limits.enabled))
  enabled_O = jnp.array(limits.enabled)[jnp.where(known_O, ops.kind_O, 0)]
  core_O = ops.kind_O == _CORE
  insert_O = ops.action_O == _INSERT
  content_O = insert_O | (ops.action_O == _UPDATE)
  legal_O = content_O | (ops.action_O == structs.Action.DELETE)
  too_long_O = ops.limit_O > jnp.where(core_O, core, entry)
  no_span_O = (ops.start_O + ops.length_O > ops.tokens_T.size) | (
    ops.term_start_O + ops.num_terms_O > ops.terms_W.size
  )
  return _first(
    (ops.action_O == structs.Action.NONE, structs.Status.NONE),
    (known_O & ~enabled_O, structs.Status.DISABLED),
    (~known_O | ~legal_O | (insert_O & core_O), structs.Status.INVALID),
    (content_O & (ops.length_O == 0), structs.Status.EMPTY),
    (content_O & too_long_O, structs.Status.TOO_LONG),
    (content_O & no_span_O, structs.Status.FULL),
  )


def _first(*checks) -> jax.Array:
  """The status of the first check that holds, OK if none does."""
  conditions, statuses = zip(*checks)
  statuses = [jnp.int32(status) for status in statuses]
  return jnp.select(conditions, statuses, jnp.int32(structs.Status.OK))


def _rooms(memory, *, keep_history: bool) -> jax.Array:
  """Free tokens, words and rows: now, and if closed versions were dropped."""
  size = jnp.array(
    [memory.tokens_P.size, memory.terms_P.size, memory.kind_M.size]
  )
  used = jnp.stack([memory.token_tail, memory.term_tail, memory.next_row])
  live_M = state.live(memory)
  after = jnp.stack(
    [
      (live_M * memory.length_M).sum(),
      (live_M * memory.num_terms_M).sum(),
      live_M.sum(),
    ]
  )
  return size - jnp.stack([used, used if keep_history else after])


def _decide(memory, ops, verdict_O, same_OR, room, chunk) -> _Plan:
  """Runs the calls in order over per-row columns only."""
  O = ops.action_O.size

  def extend(column_M):
    return jnp.pad(column_M, (0, O))

  table = _Table(
    live_R=extend(state.live(memory)),
    kind_R=jnp.concatenate([memory.kind_M, ops.kind_O]),
    entry_R=extend(memory.entry_M),
    uid_R=extend(memory.uid_M),
    created_R=extend(memory.created_M),
    room=room,
    next_entry=memory.next_entry,
  )
  needs = (ops.length_O, ops.num_terms_O, jnp.ones_like(ops.length_O))
  calls = (
    jnp.arange(O) + memory.kind_M.size,
    ops.action_O,
    ops.kind_O,
    ops.uid_O,
    verdict_O,
    same_OR,
    jnp.stack(needs, -1),
  )
  step = functools.partial(_step, chunk=chunk)
  table, outcome = jax.lax.scan(step, table, calls)
  return _Plan(*outcome, live_R=table.live_R, next_entry=table.next_entry)


def _step(table: _Table, call, *, chunk):
  """Decides one call; its content, if accepted, takes the place `place`."""
  place, action, kind, uid, verdict, same_R, need = call
  core, insert = kind == _CORE, action == _INSERT
  content = insert | (action == _UPDATE)
  uid = jnp.where(core, structs.NO_ID, uid)
  old_R = table.live_R & (table.kind_R == kind) & (table.uid_R == uid)
  old_R &= ~insert
  found = old_R.any()
  status = _first(
    (verdict != structs.Status.OK, verdict),
    (~found & ~insert & ~(core & content), structs.Status.UNKNOWN_ID),
    (content & (same_R & table.live_R & ~old_R).any(), _DUPLICATE),
    (content & (need > table.room).any(), structs.Status.FULL),
  )
  ok = status == structs.Status.OK
  new = table.next_entry
  entry = jnp.where(found, table.entry_R[old_R.argmax()], state.CORE_ENTRY)
  entry, uid = jnp.where(insert, new, entry), jnp.where(insert, new, uid)
  created = jnp.where(found, table.created_R[old_R.argmax()], chunk)
  write = ok & content
  table = dataclasses.replace(
    table,
    live_R=(table.live_R & ~(old_R & ok)).at[place].set(write),
    entry_R=table.entry_R.at[place].set(entry),
    uid_R=table.uid_R.at[place].set(uid),
    created_R=table.created_R.at[place].set(created),
    room=table.room - jnp.where(write, need, 0),
    next_entry=new + (ok & insert),
  )
  uid = jnp.where(ok, uid, structs.NO_ID)
  return table, (status, entry, uid, created, write)


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


def _close(memory, plan: _Plan, chunk) -> state.Memory:
  ended_M = state.live(memory) & ~plan.live_R[: memory.kind_M.size]
  closed_M = jnp.where(ended_M, chunk, memory.closed_M)
  return dataclasses.replace(memory, closed_M=closed_M)


def _append(memory, ops: Ops, plan: _Plan, chunk) -> state.Memory:
  """Writes the accepted contents behind the tails, everything else dropped."""
  M = memory.kind_M.size
  write_O = plan.write_O
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
    'entry_M': plan.entry_O,
    'uid_M': plan.uid_O,
    'start_M': start_O,
    'length_M': ops.length_O,
    'term_start_M': term_start_O,
    'num_terms_M': ops.num_terms_O,
    'hash_M': content.hashes(ops),
    'created_M': plan.created_O,
    'updated_M': jnp.broadcast_to(chunk, row_O.shape),
    'closed_M': jnp.where(plan.live_R[M:], state.NEVER, chunk),
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
    next_entry=plan.next_entry,
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
