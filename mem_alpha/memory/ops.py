"""One turn of tool calls, applied to every memory of a batch at once.

The calls of a turn act one after another, but only on small per-row values:

1. What a call alone decides (disabled kind, too long, ...) is decided first.
2. Contents are compared with the live ones and with each other. A hash finds
   the candidates; tokens decide.
3. A scan over the calls decides each status from per-row columns, twice: with
   the room that is left now, and with the room after a compaction.
4. Memories that compaction would help are compacted, outside of `vmap`: under
   it, a branch over the state would copy the pools of the whole batch.
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
from mem_alpha.memory import state

_INSERT, _UPDATE = structs.Action.INSERT, structs.Action.UPDATE
_CORE = structs.Kind.CORE
_BASE = 0x01000193  # of the polynomial hash; odd, so it has an inverse


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
  keep_BM = jax.vmap(_keep)(memory_B, full_B)
  memory_B = jax.vmap(_close)(memory_B, plan_B, chunk_B)
  memory_B = jax.lax.cond(
    full_B.any(),
    jax.vmap(state.compact),
    lambda memory_B, _: memory_B,
    memory_B,
    keep_BM,
  )
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
  inside_TO = _inside(ops)
  verdict_O = _verdict(ops, limits)
  write_O = (verdict_O == structs.Status.OK) & (
    (ops.action_O == _INSERT) | (ops.action_O == _UPDATE)
  )
  same_OR = _same_content(memory, ops, write_O, inside_TO)
  rooms = _rooms(memory, keep_history=limits.keep_history)

  def decide(room):
    return _decide(memory, ops, verdict_O, same_OR, room, chunk)

  plans = jax.vmap(decide)(rooms)  # with the room now, and after compaction
  helps = (plans.status_O[0] != plans.status_O[1]).any()
  plan = jax.tree.map(lambda x: jnp.where(helps, x[1], x[0]), plans)
  return plan, helps


def _inside(ops: Ops) -> jax.Array:
  """Which call the positions of the turn's tokens belong to."""
  at_T1 = jnp.arange(ops.tokens_T.size)[:, None]
  return (at_T1 >= ops.start_O) & (at_T1 < ops.start_O + ops.length_O)


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


def _same_content(memory, ops, write_O, inside_TO) -> jax.Array:
  """Which rows, then which earlier calls, hold the content of each call.

  All calls check one candidate per round: a row of the right kind, length and
  hash. More than a round or two needs repeated calls or colliding hashes.
  """
  O, M = ops.action_O.size, memory.kind_M.size
  hash_O = _hash(ops, inside_TO)
  earlier_OO = jnp.tri(O, k=-1, dtype=bool) & write_O
  exists_OR = jnp.concatenate(
    [jnp.broadcast_to(state.live(memory), (O, M)), earlier_OO], -1
  )
  todo_OR = exists_OR & write_O[:, None]
  for column_M, column_O in (
    (memory.kind_M, ops.kind_O),
    (memory.length_M, ops.length_O),
    (memory.hash_M, hash_O),
  ):
    column_R = jnp.concatenate([column_M, column_O])
    todo_OR &= column_O[:, None] == column_R
  start_R = jnp.concatenate([memory.start_M, ops.start_O])
  owner_T = inside_TO.argmax(-1)
  offset_T = jnp.arange(owner_T.size) - ops.start_O[owner_T]

  def check(carry):
    todo_OR, same_OR = carry
    pick_O = todo_OR.argmax(-1)
    row_T = pick_O[owner_T]
    at_T = start_R[row_T] + offset_T
    stored_T = jnp.where(row_T < M, memory.tokens_P[at_T], ops.tokens_T[at_T])
    differs_O = (inside_TO & (stored_T != ops.tokens_T)[:, None]).any(0)
    picked_OR = todo_OR & (jnp.arange(M + O) == pick_O[:, None])
    same_OR |= picked_OR & ~differs_O[:, None]
    return todo_OR & ~picked_OR, same_OR

  _, same_OR = jax.lax.while_loop(
    lambda carry: carry[0].any(), check, (todo_OR, jnp.zeros_like(todo_OR))
  )
  return same_OR


def _hash(ops: Ops, inside_TO) -> jax.Array:
  """Sum of token x _BASE^place modulo 2^32 over each content."""
  T = ops.tokens_T.size
  power_T = np.multiply.accumulate(np.full(T, _BASE, np.uint32))
  inverse = np.uint32(pow(_BASE, -1, 2**32))
  shift_T = np.multiply.accumulate(np.full(T, inverse, np.uint32))
  weighted_T = ops.tokens_T.astype(jnp.uint32) * power_T
  sum_O = jnp.where(inside_TO, weighted_T[:, None], jnp.uint32(0)).sum(0)
  return sum_O * jnp.asarray(shift_T)[ops.start_O]


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
  """Runs the calls in order over per-row columns only.

  Columns _R hold the rows of the table, then one place for each call, where
  an accepted content lives until it is appended to the table.
  """
  O, M = ops.action_O.size, memory.kind_M.size
  zeros_O = jnp.zeros_like(ops.kind_O)

  def extend(column_M, column_O=zeros_O):
    return jnp.concatenate([column_M, column_O.astype(column_M.dtype)])

  kind_R = extend(memory.kind_M, ops.kind_O)
  need_O3 = jnp.stack(
    [ops.length_O, ops.num_terms_O, jnp.ones_like(zeros_O)], -1
  )

  def step(carry, call):
    live_R, entry_R, uid_R, created_R, room, next_entry = carry
    o, action, kind, uid, verdict, same_R, need = call
    uid = jnp.where(kind == _CORE, structs.NO_ID, uid)
    insert = action == _INSERT
    target_R = live_R & (kind_R == kind) & (uid_R == uid) & ~insert
    found = target_R.any()
    content = insert | (action == _UPDATE)
    lost = ~found & ~insert & ~((kind == _CORE) & content)
    again = (same_R & live_R & ~target_R).any()
    status = _first(
      (verdict != structs.Status.OK, verdict),
      (lost, structs.Status.UNKNOWN_ID),
      (content & again, structs.Status.DUPLICATE),
      (content & (need > room).any(), structs.Status.FULL),
    )
    ok = status == structs.Status.OK
    old = target_R.argmax()
    entry = jnp.where(found, entry_R[old], state.CORE_ENTRY)
    entry = jnp.where(insert, next_entry, entry)
    uid = jnp.where(insert, next_entry, uid)
    created = jnp.where(found, created_R[old], chunk)
    write = ok & content
    carry = (
      (live_R & ~(target_R & ok)).at[M + o].set(write),
      entry_R.at[M + o].set(entry),
      uid_R.at[M + o].set(uid),
      created_R.at[M + o].set(created),
      room - jnp.where(write, need, 0),
      next_entry + (ok & insert),
    )
    uid = jnp.where(ok, uid, structs.NO_ID)
    return carry, (status, entry, uid, created, write)

  carry = (
    extend(state.live(memory)),
    extend(memory.entry_M),
    extend(memory.uid_M),
    extend(memory.created_M),
    room,
    memory.next_entry,
  )
  calls = (
    jnp.arange(O),
    ops.action_O,
    ops.kind_O,
    ops.uid_O,
    verdict_O,
    same_OR,
    need_O3,
  )
  carry, outcome = jax.lax.scan(step, carry, calls)
  return _Plan(*outcome, live_R=carry[0], next_entry=carry[-1])


def _keep(memory, full) -> jax.Array:
  """Rows that stay: all of them, or the live ones if the memory is full."""
  used_M = jnp.arange(memory.kind_M.size) < memory.next_row
  return used_M & (state.live(memory) | ~full)


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
    'hash_M': _hash(ops, _inside(ops)),
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
  inside_TO = (at_T[:, None] >= start_O) & (
    at_T[:, None] < start_O + length_O
  )
  shift_T = (inside_TO * (new_start_O - start_O)).sum(-1)
  place_T = jnp.where(inside_TO.any(-1), at_T + shift_T, pool_P.size)
  pool_P = pool_P.at[place_T].set(buffer_T, mode='drop')
  return pool_P, new_start_O, tail + length_O.sum()


def _before(count_O) -> jax.Array:
  """How much lies in front of each call."""
  count_O = count_O.astype(jnp.int32)
  return jnp.cumsum(count_O) - count_O
