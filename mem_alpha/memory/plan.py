"""Decides what a turn of calls will do to one memory, before any of it is done.

The calls act one after another, but only on small per-row values:

1. What a call alone decides (disabled kind, too long, ...) is decided first.
2. Contents are compared with the live ones and with each other.
3. A scan over the calls decides each status from per-row columns, twice: with
   the room that is left now, and with the room after a compaction.

The first check that fails names the status, in the order DISABLED, INVALID,
EMPTY, TOO_LONG, UNKNOWN_ID, DUPLICATE, FULL.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import structs
from mem_alpha.memory import content
from mem_alpha.memory import state

_INSERT, _UPDATE = structs.Action.INSERT, structs.Action.UPDATE
_CORE = structs.Kind.CORE
_DUPLICATE = structs.Status.DUPLICATE


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Plan:
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


def make(memory: state.Memory, ops, chunk, *, limits) -> tuple[Plan, jax.Array]:
  """The plan for an ops.Ops, and whether the memory must be compacted for it.

  It must be where that lets a call succeed that finds no room as it is.
  """
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


def _verdict(ops, limits) -> jax.Array:
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


def _decide(memory, ops, verdict_O, same_OR, room, chunk) -> Plan:
  """Runs the calls in order over per-row columns only."""
  num_calls = ops.action_O.size

  def extend(column_M):
    return jnp.pad(column_M, (0, num_calls))

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
    jnp.arange(num_calls) + memory.kind_M.size,
    ops.action_O,
    ops.kind_O,
    ops.uid_O,
    verdict_O,
    same_OR,
    jnp.stack(needs, -1),
  )
  step = functools.partial(_step, chunk=chunk)
  table, outcome = jax.lax.scan(step, table, calls)
  return Plan(*outcome, live_R=table.live_R, next_entry=table.next_entry)


def _step(table: _Table, call, *, chunk):
  """Decides one call; its content, if accepted, takes the place `place`."""
  place, action, kind, uid, verdict, same_R, need = call
  core, insert = kind == _CORE, action == _INSERT
  text = insert | (action == _UPDATE)
  uid = jnp.where(core, structs.NO_ID, uid)
  old_R = table.live_R & (table.kind_R == kind) & (table.uid_R == uid)
  old_R &= ~insert
  found = old_R.any()
  status = _first(
    (verdict != structs.Status.OK, verdict),
    (~found & ~insert & ~(core & text), structs.Status.UNKNOWN_ID),
    (text & (same_R & table.live_R & ~old_R).any(), _DUPLICATE),
    (text & (need > table.room).any(), structs.Status.FULL),
  )
  ok = status == structs.Status.OK
  new = table.next_entry
  entry = jnp.where(found, table.entry_R[old_R.argmax()], state.CORE_ENTRY)
  entry, uid = jnp.where(insert, new, entry), jnp.where(insert, new, uid)
  created = jnp.where(found, table.created_R[old_R.argmax()], chunk)
  write = ok & text
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
