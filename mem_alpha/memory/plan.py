"""Decides what a turn of calls will do to one memory, before any of it is done.

The calls act one after another, but only on small per-row values:

1. What a call alone decides (disabled kind, too long, ...) is decided first.
2. A scan over the calls decides each status from per-row columns, twice: with
   the room that is left now, and as if every closed version were dropped at
   once, which one compaction behind the calls amounts to. Then what a call
   deletes or replaces makes room for that call and for those behind it. The
   pool is only read, where the content of an insert may be there already.

The first check that fails names the status, in the order DISABLED, INVALID,
EMPTY, TOO_LONG, UNKNOWN_ID, DUPLICATE, FULL. What `ops.pack` found no
room for in the buffers of the turn is FULL: that it repeats cannot be seen.
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
  live_M: jax.Array  # rows that are still live after the turn
  live_O: jax.Array  # ... and contents of calls
  next_entry: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Table:
  """What changes from call to call.

  Columns _M are of the rows of the memory, columns _O of the accepted contents
  of the calls, which become rows when the turn is over.
  """

  live_M: jax.Array
  live_O: jax.Array
  entry_O: jax.Array
  uid_O: jax.Array
  created_O: jax.Array
  room_3: jax.Array  # tokens, words and rows
  next_entry: jax.Array


def make(memory: state.Memory, ops, chunk, *, limits) -> tuple[Plan, jax.Array]:
  """The plan for an ops.Ops, and whether the memory must be compacted for it.

  It must be where that lets a call succeed that finds no room as it is.
  """
  verdict_O = _verdict(ops, limits)
  hash_O = content.hashes(ops)

  def decide(drop):
    return _decide(
      memory, ops, verdict_O, hash_O, chunk, drop=drop, limits=limits
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
  return _first(
    (ops.action_O == structs.Action.NONE, structs.Status.NONE),
    (known_O & ~enabled_O, structs.Status.DISABLED),
    (~known_O | ~legal_O | (insert_O & core_O), structs.Status.INVALID),
    (content_O & (ops.length_O == 0) & empty, structs.Status.EMPTY),
    (content_O & too_long_O, structs.Status.TOO_LONG),
  )


def _first(*checks) -> jax.Array:
  """The status of the first check that holds, OK if none does."""
  conditions, statuses = zip(*checks)
  statuses = [jnp.int32(status) for status in statuses]
  return jnp.select(conditions, statuses, jnp.int32(structs.Status.OK))


def _decide(memory, ops, verdict_O, hash_O, chunk, *, drop, limits) -> Plan:
  """Runs the calls in order; `drop`: closed versions take no room."""
  M = memory.kind_M.size
  live_M = state.live(memory)
  said_3 = jnp.stack(
    [
      jnp.where(live_M, memory.length_M, 0).sum(),
      jnp.where(live_M, memory.num_terms_M, 0).sum(),
      live_M.sum(),
    ]
  )
  tails_3 = jnp.stack([memory.token_tail, memory.term_tail, memory.next_row])
  capacity_3 = jnp.array([memory.tokens_P.size, memory.terms_P.size, M])
  none_O = jnp.zeros_like(ops.kind_O)
  table = _Table(
    live_M=live_M,
    live_O=none_O.astype(bool),
    entry_O=none_O,
    uid_O=none_O,
    created_O=none_O,
    room_3=capacity_3 - jnp.where(drop, said_3, tails_3),
    next_entry=memory.next_entry,
  )
  step = functools.partial(
    _step,
    memory=memory,
    ops=ops,
    hash_O=hash_O,
    chunk=chunk,
    drop=drop,
    delete_unknown=limits.delete_unknown,
  )
  calls = (jnp.arange(ops.kind_O.size), verdict_O)
  table, (status_O, entry_O, uid_O, created_O, write_O) = jax.lax.scan(
    step, table, calls
  )
  return Plan(
    status_O=status_O,
    entry_O=entry_O,
    uid_O=uid_O,
    created_O=created_O,
    write_O=write_O & (table.live_O | ~drop),
    live_M=table.live_M,
    live_O=table.live_O,
    next_entry=table.next_entry,
  )


def _step(
  table: _Table, call, *, memory, ops, hash_O, chunk, drop, delete_unknown
):
  """Decides call `o`; its content, if accepted, is live from then on."""
  o, verdict = call
  action, kind = ops.action_O[o], ops.kind_O[o]
  core, insert = kind == _CORE, action == _INSERT
  text = insert | (action == _UPDATE)
  uid = jnp.where(core, structs.NO_ID, ops.uid_O[o])
  old_M = table.live_M & (memory.kind_M == kind) & (memory.uid_M == uid)
  old_O = table.live_O & (ops.kind_O == kind) & (table.uid_O == uid)
  old_M, old_O = old_M & ~insert, old_O & ~insert
  found = old_M.any() | old_O.any()

  def of_old(column_M, column_O):
    stored, new = column_M[old_M.argmax()], column_O[old_O.argmax()]
    return jnp.where(old_M.any(), stored, new)

  sizes = (
    (memory.length_M, ops.length_O),
    (memory.num_terms_M, ops.num_terms_O),
    (jnp.ones_like(memory.kind_M), jnp.ones_like(ops.kind_O)),
  )
  freed_3 = jnp.stack([of_old(*columns) for columns in sizes])
  need_3 = jnp.stack([size_O[o] for _, size_O in sizes])
  room_3 = table.room_3 + jnp.where(found & drop, freed_3, 0)
  room_3 = room_3 - jnp.where(text, need_3, 0)
  spanned = (ops.start_O[o] + ops.length_O[o] <= ops.tokens_T.size) & (
    ops.term_start_O[o] + ops.num_terms_O[o] <= ops.terms_W.size
  )
  ask = insert & spanned & (verdict == structs.Status.OK)
  repeats = content.holds(
    memory, ops, hash_O, o, table.live_M & ask, table.live_O & ask
  )
  creates = insert | (core & text) | (~text & delete_unknown)
  status = _first(
    (verdict != structs.Status.OK, verdict),
    (~found & ~creates, structs.Status.UNKNOWN_ID),
    (repeats, structs.Status.DUPLICATE),
    (text & (~spanned | (room_3 < 0).any()), structs.Status.FULL),
  )
  ok = status == structs.Status.OK
  new = table.next_entry
  old_entry = of_old(memory.entry_M, table.entry_O)
  entry = jnp.where(found, old_entry, state.CORE_ENTRY)
  entry, uid = jnp.where(insert, new, entry), jnp.where(insert, new, uid)
  old_created = of_old(memory.created_M, table.created_O)
  created = jnp.where(found, old_created, chunk)
  write = ok & text
  table = dataclasses.replace(
    table,
    live_M=table.live_M & ~(old_M & ok),
    live_O=(table.live_O & ~(old_O & ok)).at[o].set(write),
    entry_O=table.entry_O.at[o].set(entry),
    uid_O=table.uid_O.at[o].set(uid),
    created_O=table.created_O.at[o].set(created),
    room_3=jnp.where(ok, room_3, table.room_3),
    next_entry=new + (ok & insert),
  )
  acted = ok & (found | text)
  uid = jnp.where(acted, uid, structs.NO_ID)
  return table, (status, entry, uid, created, write)
