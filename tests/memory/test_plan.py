"""What each call of a turn leads to, case by case.

`test_ops.py` covers the same rules with random turns; here each rule can be
read.
"""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
STATUS = structs.Status
SIZES = {'tokens': 20, 'terms': 18, 'rows': 7}
ROOM = {'O': 4, 'T': 12, 'W': 11}
LENIENT = ops.Limits(core=None)


def assert_same(actual, wanted):
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted)):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def turn(memory_B, calls, chunk=0, limits=LENIENT):
  """One turn of a single memory; returns it, the statuses and the uids."""
  memory_B, status_BO, uid_BO = ops.apply_turn(
    memory_B, ops.pack([calls], **ROOM), chunk, limits=limits
  )
  n = len(calls)
  return memory_B, status_BO[0, :n].tolist(), uid_BO[0, :n].tolist()


def insert(*tokens, kind=SEMANTIC, terms=(), limit_count=0):
  return ops.EncodedCall(
    INSERT, kind, tokens=tokens, terms=terms, limit_count=limit_count
  )


def update(uid, *tokens, kind=SEMANTIC, terms=()):
  return ops.EncodedCall(UPDATE, kind, uid, tokens=tokens, terms=terms)


def delete(uid, kind=SEMANTIC):
  return ops.EncodedCall(DELETE, kind, uid)


def empty():
  return state.empty_batch(1, **SIZES)


def test_a_duplicate_within_a_turn():
  calls = [
    insert(1, 2),
    insert(1, 2),
    insert(1, 2, kind=EPISODIC),
    insert(2, 1),
  ]
  _, statuses, uids = turn(empty(), calls)
  assert statuses == [STATUS.OK, STATUS.DUPLICATE, STATUS.OK, STATUS.OK]
  assert uids == [0, structs.NO_ID, 1, 2]
  # The text is free again once the turn has deleted or replaced it.
  calls = [insert(1), delete(0), insert(1), update(1, 2)]
  memory_B, statuses, _ = turn(empty(), calls)
  assert statuses == [STATUS.OK] * 4
  (rows,) = state.snapshot(jax.device_get(memory_B))
  assert [(row.uid, row.tokens) for row in rows] == [(1, (2,))]
  # Only an insert is refused: an update may repeat a text, as published.
  memory_B, _, _ = turn(empty(), [insert(1), insert(2)])
  _, statuses, _ = turn(memory_B, [update(0, 1), update(0, 2), insert(2)])
  assert statuses == [STATUS.OK, STATUS.OK, STATUS.DUPLICATE]


def test_a_failed_call_changes_no_byte():
  calls = [insert(1, 2), insert(3, kind=EPISODIC), update(-1, 9, kind=CORE)]
  memory_B, statuses, _ = turn(empty(), calls)
  assert statuses == [STATUS.OK] * 3
  for call, status in [
    (insert(1, 2), STATUS.DUPLICATE),
    (update(7, 5), STATUS.UNKNOWN_ID),
    (update(1, 5), STATUS.UNKNOWN_ID),  # an id of the other kind
    (delete(-1), STATUS.UNKNOWN_ID),
    (insert(), STATUS.EMPTY),
    (insert(5, terms=tuple(range(12))), STATUS.FULL),
    (insert(*range(13)), STATUS.FULL),  # more than the buffer of a turn
    (update(7, *range(13)), STATUS.UNKNOWN_ID),
    (insert(5, kind=CORE), STATUS.INVALID),
    (insert(5, kind=7), STATUS.INVALID),
    (ops.EncodedCall(structs.Action.NONE, CORE), STATUS.NONE),
  ]:
    before = jax.device_get(memory_B)
    memory_B, statuses, uids = turn(memory_B, [call], chunk=4)
    assert (statuses, uids) == ([status], [structs.NO_ID])
    assert_same(jax.device_get(memory_B), before)


def test_limits_count_what_the_caller_counted():
  limits = ops.Limits(core=3, entry=4)
  core = ops.EncodedCall(UPDATE, CORE, tokens=(1,) * 9, limit_count=3)
  long = dataclasses.replace(core, limit_count=4)
  _, statuses, _ = turn(empty(), [core, long], limits=limits)
  assert statuses == [STATUS.OK, STATUS.TOO_LONG]
  calls = [insert(1, limit_count=4), insert(2, limit_count=5)]
  _, statuses, _ = turn(empty(), calls, limits=limits)
  assert statuses == [STATUS.OK, STATUS.TOO_LONG]
  _, statuses, _ = turn(empty(), [insert(2, limit_count=10**6)])
  assert statuses == [STATUS.OK]


def test_core_is_rewritten_and_cleared():
  rewrite = functools.partial(update, -1, kind=CORE)
  memory_B = empty()
  for chunk, call, wanted in [
    (0, delete(-1, kind=CORE), STATUS.UNKNOWN_ID),
    (1, rewrite(1), STATUS.OK),
    (2, rewrite(2, 3), STATUS.OK),
    (3, delete(5, kind=CORE), STATUS.OK),  # core needs no id, and reads none
    (4, rewrite(4), STATUS.OK),
  ]:
    memory_B, statuses, uids = turn(memory_B, [call], chunk)
    assert (statuses, uids) == ([wanted], [structs.NO_ID])
  host_B = jax.device_get(memory_B)
  assert int(host_B.next_entry[0]) == 0
  past = [state.snapshot(host_B, chunk)[0] for chunk in range(5)]
  assert past == [
    [],
    [state.Row(CORE, structs.NO_ID, (1,), 1, 1, 0)],
    [state.Row(CORE, structs.NO_ID, (2, 3), 1, 2, 1)],
    [],
    [state.Row(CORE, structs.NO_ID, (4,), 4, 4, 2)],
  ]


def test_an_id_is_never_used_again():
  memory_B = empty()
  for n in range(12):  # more than there are rows: compaction must not rewind
    memory_B, statuses, uids = turn(memory_B, [insert(n + 1)], n)
    assert (statuses, uids) == ([STATUS.OK], [n])
    memory_B, statuses, _ = turn(memory_B, [delete(n)], n)
    assert statuses == [STATUS.OK]
  _, statuses, _ = turn(memory_B, [delete(3), update(11, 4)])
  assert statuses == [STATUS.UNKNOWN_ID] * 2


def test_an_update_keeps_its_place_and_its_age():
  memory_B, _, _ = turn(empty(), [insert(1), insert(2)], 0)
  memory_B, _, _ = turn(memory_B, [update(0, 3)], 5)
  (rows,) = state.snapshot(jax.device_get(memory_B))
  assert rows == [
    state.Row(SEMANTIC, 0, (3,), 0, 5, 2),
    state.Row(SEMANTIC, 1, (2,), 0, 0, 1),
  ]


def test_room_that_a_turn_frees_is_its_own():
  """Calls see the room that the calls before them, or they themselves, free."""
  full = [insert(*range(5)), insert(*range(10)), insert(*range(5, 10))]
  memory_B, _, _ = turn(empty(), full[::2])
  memory_B, statuses, _ = turn(memory_B, full[1:2], 1)
  assert statuses == [STATUS.OK] and memory_B.token_tail.tolist() == [20]
  for calls, wanted in [
    ([delete(0), insert(*range(20, 25))], [STATUS.OK] * 2),
    ([insert(*range(20, 25)), delete(0)], [STATUS.FULL, STATUS.OK]),
    ([delete(0), insert(*range(20, 26))], [STATUS.OK, STATUS.FULL]),
    ([update(0, *range(20, 25))], [STATUS.OK]),
    ([update(0, *range(20, 26))], [STATUS.FULL]),
    ([delete(0), insert(9), update(3, *range(20, 25))], [STATUS.OK] * 3),
    ([delete(0), insert(*range(5)), delete(3), insert(7)], [STATUS.OK] * 4),
  ]:
    copy_B = jax.tree.map(jax.numpy.array, memory_B)
    after_B, statuses, _ = turn(copy_B, calls, 2)
    assert statuses == wanted, calls
    if wanted == [STATUS.FULL]:
      assert_same(jax.device_get(after_B), jax.device_get(memory_B))
    kept, _, _ = turn(jax.tree.map(jax.numpy.array, memory_B), [], 2)
    _, statuses, _ = turn(
      kept, calls[:2], 2, ops.Limits(core=None, keep_history=True)
    )
    assert STATUS.FULL in statuses  # what history holds is not free


def test_what_the_published_system_accepts():
  limits = ops.Limits(core=None, allow_empty=True, delete_unknown=True)
  calls = [insert(), insert(), update(0), delete(5)]
  memory_B, statuses, uids = turn(empty(), calls, 0, limits)
  assert statuses == [STATUS.OK, STATUS.DUPLICATE, STATUS.OK, STATUS.OK]
  assert uids == [0, structs.NO_ID, 0, structs.NO_ID]
  (rows,) = state.snapshot(jax.device_get(memory_B))
  assert rows == [state.Row(SEMANTIC, 0, (), 0, 0, 1)]
  before = jax.device_get(memory_B)
  for call in (delete(-1), delete(7, kind=EPISODIC), delete(-1, kind=CORE)):
    memory_B, statuses, uids = turn(memory_B, [call], 1, limits)
    assert (statuses, uids) == ([STATUS.OK], [structs.NO_ID])
    assert_same(jax.device_get(memory_B), before)


def test_history_lasts_until_compaction_makes_room():
  calls = [insert(n, n, n, n, n) for n in (1, 2)]
  for limits, wanted in [
    (LENIENT, STATUS.OK),
    (ops.Limits(core=None, keep_history=True), STATUS.FULL),
  ]:
    memory_B, _, _ = turn(empty(), calls, 0, limits)
    memory_B, _, _ = turn(memory_B, [update(0, 3, 3, 3, 3, 3)], 1, limits)
    before = state.snapshot(jax.device_get(memory_B), 0)[0]
    assert [row.tokens for row in before] == [(1,) * 5, (2,) * 5]
    memory_B, statuses, _ = turn(memory_B, [insert(*range(10))], 2, limits)
    assert statuses == [wanted]
    if wanted == STATUS.FULL:
      assert state.snapshot(jax.device_get(memory_B), 0)[0] == before
    else:
      with pytest.raises(ValueError, match='ask from chunk 1 on'):
        state.snapshot(jax.device_get(memory_B), 0)
      (rows,) = state.snapshot(jax.device_get(memory_B))
      assert [(row.uid, len(row.tokens)) for row in rows] == [
        (0, 5), (1, 5), (2, 10),
      ]  # fmt: skip
