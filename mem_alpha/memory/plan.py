"""Decides what a turn of calls will do to one memory, before any of it is done.

The calls act one after another, but only on small per-row values:

1. What a call alone decides (disabled kind, too long, ...) is decided first.
2. Contents are compared with the live ones and with each other.
3. A scan over the calls decides each status from per-row columns, twice: with
   the room that is left now, and as if every closed version were dropped at
   once, which one compaction behind the calls amounts to. Then what a call
   deletes or replaces makes room for that call and for those behind it.

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Plan:
  """What a turn will do to one memory; decided before any pool is touched."""

  status_O: jax.Array
  entry_O: jax.Array  # of the entry that the call acts on
  uid_O: jax.Array
  created_O: jax.Array
  write_O: jax.Array  # accepted, with a content that is to be stored
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
  size_R3: jax.Array  # tokens, words and rows
  room_3: jax.Array
  next_entry: jax.Array


def make(memory: state.Memory, ops, chunk, *, limits) -> tuple[Plan, jax.Array]:
  """The plan for an ops.Ops, and whether the memory must be compacted for it.

  It must be where that lets a call succeed that finds no room as it is.
  """
  verdict_O = _verdict(ops, limits)
  insert_O = (verdict_O == structs.Status.OK) & (ops.action_O == _INSERT)
  text_O = (verdict_O == structs.Status.OK) & (
    (ops.action_O == _INSERT) | (ops.action_O == _UPDATE)
  )
  same_OR = content.same(memory, ops, insert_O, text_O)

  def decide(drop):
    return _decide(
      memory, ops, verdict_O, same_OR, chunk, drop=drop, limits=limits
    )

  # As the memory is, and with compaction, if that may drop anything.
  plans = jax.vmap(decide)(jnp.array([False, not limits.keep_history]))
  helps = (plans.status_O[0] != plans.status_O[1]).any()
  plan = jax.tree.map(lambda x: jnp.where(helps, x[1], x[0]), plans)
  return plan, helps


def _verdict(ops, limits) -> jax.Array:
  """What each call alone decides; OK where the memory has a say."""
  none, empty = np.iinfo(np.int32).max, not limits.allow_empty
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
    (content_O & (ops.length_O == 0) & empty, structs.Status.EMPTY),
    (content_O & too_long_O, structs.Status.TOO_LONG),
    (content_O & no_span_O, structs.Status.FULL),
  )


def _first(*checks) -> jax.Array:
  """The status of the first check that holds, OK if none does."""
  conditions, statuses = zip(*checks)
  statuses = [jnp.int32(status) for status in statuses]
  return jnp.select(conditions, statuses, jnp.int32(structs.Status.OK))


def _decide(memory, ops, verdict_O, same_OR, chunk, *, drop, limits) -> Plan:
  """Runs the calls in order; `drop`: closed versions take no room."""
  M, O = memory.kind_M.size, ops.action_O.size  # noqa: E741

  def extend(column_M):
    return jnp.pad(column_M, (0, O))

  size_M3 = jnp.stack(
    [memory.length_M, memory.num_terms_M, jnp.ones_like(memory.kind_M)], -1
  )
  need_O3 = jnp.stack(
    [ops.length_O, ops.num_terms_O, jnp.ones_like(ops.kind_O)], -1
  )
  used_M = jnp.arange(M) < memory.next_row
  used_M &= state.live(memory) | ~drop
  capacity_3 = jnp.array([memory.tokens_P.size, memory.terms_P.size, M])
  table = _Table(
    live_R=extend(state.live(memory)),
    kind_R=jnp.concatenate([memory.kind_M, ops.kind_O]),
    entry_R=extend(memory.entry_M),
    uid_R=extend(memory.uid_M),
    created_R=extend(memory.created_M),
    size_R3=jnp.concatenate([size_M3, need_O3]),
    room_3=capacity_3 - (size_M3 * used_M[:, None]).sum(0),
    next_entry=memory.next_entry,
  )
  calls = (
    jnp.arange(O) + M,
    ops.action_O,
    ops.kind_O,
    ops.uid_O,
    verdict_O,
    same_OR,
  )
  step = functools.partial(
    _step, chunk=chunk, drop=drop, delete_unknown=limits.delete_unknown
  )
  table, (status_O, entry_O, uid_O, created_O, write_O) = jax.lax.scan(
    step, table, calls
  )
  return Plan(
    status_O=status_O,
    entry_O=entry_O,
    uid_O=uid_O,
    created_O=created_O,
    write_O=write_O & (table.live_R[M:] | ~drop),
    live_R=table.live_R,
    next_entry=table.next_entry,
  )


def _step(table: _Table, call, *, chunk, drop, delete_unknown):
  """Decides one call; its content, if accepted, takes the place `place`."""
  place, action, kind, uid, verdict, same_R = call
  core, insert = kind == _CORE, action == _INSERT
  text = insert | (action == _UPDATE)
  uid = jnp.where(core, structs.NO_ID, uid)
  old_R = table.live_R & (table.kind_R == kind) & (table.uid_R == uid)
  old_R &= ~insert
  found, old = old_R.any(), old_R.argmax()
  creates = insert | (core & text) | (~text & delete_unknown)
  freed_3 = jnp.where(found & drop, table.size_R3[old], 0)
  need_3 = jnp.where(text, table.size_R3[place], 0)
  room_3 = table.room_3 + freed_3 - need_3
  status = _first(
    (verdict != structs.Status.OK, verdict),
    (~found & ~creates, structs.Status.UNKNOWN_ID),
    (insert & (same_R & table.live_R).any(), structs.Status.DUPLICATE),
    (text & (room_3 < 0).any(), structs.Status.FULL),
  )
  ok = status == structs.Status.OK
  new = table.next_entry
  entry = jnp.where(found, table.entry_R[old], state.CORE_ENTRY)
  entry, uid = jnp.where(insert, new, entry), jnp.where(insert, new, uid)
  created = jnp.where(found, table.created_R[old], chunk)
  write = ok & text
  table = dataclasses.replace(
    table,
    live_R=(table.live_R & ~(old_R & ok)).at[place].set(write),
    entry_R=table.entry_R.at[place].set(entry),
    uid_R=table.uid_R.at[place].set(uid),
    created_R=table.created_R.at[place].set(created),
    room_3=jnp.where(ok, room_3, table.room_3),
    next_entry=new + (ok & insert),
  )
  acted = ok & (found | text)
  uid = jnp.where(acted, uid, structs.NO_ID)
  return table, (status, entry, uid, created, write)
