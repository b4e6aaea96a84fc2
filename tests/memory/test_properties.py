"""Thousands of random sequences of calls against one dictionary per memory.

The oracle keeps what a reader of the issue would: {id: text} for each kind, and
how much room the versions take that are no longer said. Memories are as small
as one entry or as large as none ever fills; between any two turns a compaction
may come, which must change nothing but the room.
"""

import collections
import functools
import itertools

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
NONE, INSERT, UPDATE, DELETE = structs.Action
STATUS = structs.Status
# The buffers hold any turn drawn: what they refuse is test_plan's business.
B, ROOM = 4, {'O': 4, 'T': 24, 'W': 16}
SIZES = {'tiny': (5, 4, 2), 'small': (12, 10, 4), 'large': (400, 400, 90)}
LIMITS = ops.Limits(core=4, entry=5)
KEEPING = ops.Limits(core=4, entry=5, keep_history=True)

CALL = st.tuples(
  st.sampled_from([INSERT, INSERT, INSERT, UPDATE, UPDATE, DELETE, NONE]),
  st.sampled_from([SEMANTIC, SEMANTIC, EPISODIC, CORE]),
  st.integers(-1, 3),  # id
  st.lists(st.integers(1, 2), max_size=6).map(tuple),  # text
  st.integers(0, 4),  # words
)
TURN = st.tuples(st.booleans(), st.lists(CALL, min_size=2, max_size=ROOM['O']))
BATCH = st.lists(st.lists(TURN, min_size=3, max_size=8), min_size=B, max_size=B)


class Plain:
  """What one memory says, and the room that closed versions take."""

  def __init__(self, sizes, limits):
    self.sizes, self.limits = np.array(sizes), limits
    self.said = {kind: {} for kind in structs.Kind}
    self.closed = np.zeros(3, int)
    self.next = 0

  def turn(self, calls, chunk):
    now = self._play(calls, chunk, drop=False)
    compacted = self._play(calls, chunk, drop=not self.limits.keep_history)
    outcome = compacted if now[0] != compacted[0] else now
    statuses, uids, self.said, self.closed, self.next = outcome
    return statuses, uids

  def compact(self):
    self.closed = np.zeros(3, int)

  def _play(self, calls, chunk, *, drop):
    said = {kind: dict(texts) for kind, texts in self.said.items()}
    closed = np.zeros(3, int) if drop else self.closed
    number, statuses, uids = self.next, [], []
    for action, kind, uid, text, words in calls:
      uid = structs.NO_ID if kind == CORE else uid
      texts, old = said[kind], said[kind].get(uid)
      size = np.array([len(text), words, 1])
      left = [t[1] for k in said for u, t in said[k].items()]
      room = self.sizes - closed - sum(left, np.zeros(3, int))
      if drop and old and action == UPDATE:
        room = room + old[1]
      limit = self.limits.core if kind == CORE else self.limits.entry
      if action == NONE:
        status = STATUS.NONE
      elif action == INSERT and kind == CORE:
        status = STATUS.INVALID
      elif action != DELETE and not text:
        status = STATUS.EMPTY
      elif action != DELETE and len(text) > limit:
        status = STATUS.TOO_LONG
      elif not old and (
        action == DELETE or (action, kind != CORE) == (UPDATE, 1)
      ):
        status = STATUS.UNKNOWN_ID
      elif action == INSERT and text in [t[0] for t in texts.values()]:
        status = STATUS.DUPLICATE
      elif action != DELETE and (size > room).any():
        status = STATUS.FULL
      else:
        status = STATUS.OK
      statuses.append(status)
      if status == STATUS.OK:
        if action == INSERT:
          uid, number = number, number + 1
        elif old and not drop:
          closed = closed + old[1]
        created = old[2] if old and action == UPDATE else chunk
        if action == DELETE:
          del texts[uid]
        else:
          texts[uid] = (text, size, created, chunk)
      uids.append(uid if status == STATUS.OK else structs.NO_ID)
    return statuses, uids, said, closed, number

  def rows(self):
    """(kind, id, text, created, updated) in the order of the entries."""
    rows = [
      (kind, uid, text, created, updated)
      for kind, texts in self.said.items()
      for uid, (text, _, created, updated) in texts.items()
    ]
    return sorted(rows, key=lambda row: row[1])


def encode(call):
  action, kind, uid, text, words = call
  if action in (NONE, DELETE):
    text, words = (), 0
  return ops.EncodedCall(action, kind, uid, text, (7,) * words, len(text))


@functools.partial(jax.jit, donate_argnums=0)
def compact_some(memory_B, now_B):
  def choose(new, old):
    return jax.numpy.where(now_B.reshape(-1, *[1] * (old.ndim - 1)), new, old)

  return jax.tree.map(choose, jax.vmap(state.compact)(memory_B), memory_B)


def check(batch, sizes, limits, seen):
  tokens, terms, rows = sizes
  memory_B = state.empty_batch(B, tokens=tokens, terms=terms, rows=rows)
  oracles = [Plain(sizes, limits) for _ in batch]
  for chunk in range(max(map(len, batch))):
    turns = [t[chunk] if chunk < len(t) else (False, []) for t in batch]
    now_B = np.array([compact for compact, _ in turns])
    if not limits.keep_history:
      memory_B = compact_some(memory_B, now_B)
    calls_B = [[encode(call) for call in calls] for _, calls in turns]
    memory_B, status_BO, uid_BO = ops.apply_turn(
      memory_B, ops.pack(calls_B, **ROOM), chunk, limits=limits
    )
    shown_B = state.snapshot(jax.device_get(memory_B))
    for b, (oracle, (compact, calls)) in enumerate(zip(oracles, turns)):
      if compact and not limits.keep_history:
        oracle.compact()
      statuses, uids = oracle.turn(calls, chunk)
      n = len(calls)
      assert status_BO[b, :n].tolist() == statuses
      assert uid_BO[b, :n].tolist() == uids
      assert [tuple(row[:5]) for row in shown_B[b]] == oracle.rows()
      seen.update(statuses)


def check_all(sizes, limits, *, examples, wanted):
  """Random batches against the oracle; each status in `wanted` must occur."""
  seen = collections.Counter()

  @hypothesis.given(BATCH)
  @hypothesis.settings(
    max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck)
  )
  def run(batch):
    check(batch, sizes, limits, seen)

  run()
  assert all(seen[status] > 10 for status in wanted), seen


ALWAYS = {
  STATUS.OK, STATUS.DUPLICATE, STATUS.UNKNOWN_ID, STATUS.TOO_LONG,
  STATUS.INVALID, STATUS.EMPTY, STATUS.NONE,
}  # fmt: skip


@pytest.mark.parametrize('size', SIZES)
def test_a_dictionary_says_the_same(size):
  full = set() if size == 'large' else {STATUS.FULL}
  check_all(SIZES[size], LIMITS, examples=180, wanted=ALWAYS | full)


def test_a_dictionary_that_forgets_nothing_says_the_same():
  wanted = ALWAYS | {STATUS.FULL}
  check_all(SIZES['small'], KEEPING, examples=90, wanted=wanted)


def sequence(turns):
  """Turns that insert, update and delete in all kinds, some in vain."""

  def text(n):
    return (1 + n % 3, 1 + n % 2, 1)[: 1 + n % 3]

  made = []
  for n in range(turns):
    made.append([
      (INSERT, (SEMANTIC, EPISODIC)[n % 2], -1, (9, n), 1 + n % 2),
      (UPDATE, CORE, -1, text(n), 1),
      (UPDATE, (SEMANTIC, EPISODIC)[n // 2 % 2], n // 2, (8, n), 1),
      (DELETE, SEMANTIC, n - 3, (), 0) if n % 3 == 2 else
      (INSERT, EPISODIC, -1, text(n), 2),
    ])  # fmt: skip
  return made


def every_point(turns):
  """Points of compaction: each alone, each pair, all subsets of the first."""
  few = range(turns)
  subsets = itertools.chain(
    *(itertools.combinations(few, n) for n in (0, 1, 2, turns)),
    *(itertools.combinations(range(6), n) for n in range(7)),
  )
  return sorted({frozenset(points) for points in subsets}, key=sorted)


@pytest.mark.parametrize('size', ['small', 'large'])
def test_a_compaction_before_any_turn_changes_nothing_but_the_room(size):
  """Exhaustive, and what is said of the past is what was said then."""
  turns = sequence(12)
  points_B = every_point(len(turns))
  batch = len(points_B)
  assert batch == 1 + 12 + 66 + 1 + (64 - 1 - 6 - 15)
  tokens, terms, rows = {'small': (22, 20, 9), 'large': SIZES['large']}[size]
  memory_B = state.empty_batch(batch, tokens=tokens, terms=terms, rows=rows)
  limits = ops.Limits(core=4, entry=5)
  oracles = [Plain((tokens, terms, rows), limits) for _ in range(batch)]
  said, statuses_seen = [[] for _ in range(batch)], collections.Counter()
  dropped = set()
  for chunk, calls in enumerate(turns):
    now_B = np.array([chunk in points for points in points_B])
    memory_B = compact_some(memory_B, now_B)
    packed = ops.pack([[encode(call) for call in calls]] * batch, **ROOM)
    memory_B, status_BO, uid_BO = ops.apply_turn(
      memory_B, packed, chunk, limits=limits
    )
    host_B = jax.device_get(memory_B)
    shown_B = state.snapshot(host_B)
    for b, oracle in enumerate(oracles):
      if now_B[b]:
        oracle.compact()
      statuses, uids = oracle.turn(calls, chunk)
      assert status_BO[b].tolist() == statuses
      assert uid_BO[b].tolist() == uids
      assert [tuple(row[:5]) for row in shown_B[b]] == oracle.rows()
      said[b].append(oracle.rows())
      statuses_seen.update(statuses)
    check_history(host_B, said)
    dropped.update(host_B.complete_from.tolist())
  assert statuses_seen[STATUS.OK] and statuses_seen[STATUS.UNKNOWN_ID]
  assert bool(statuses_seen[STATUS.FULL]) == (size == 'small')
  never = points_B.index(frozenset())
  assert (host_B.complete_from[never] > 0) == (size == 'small')
  assert len(dropped) > 3


def check_history(host_B, said):
  """Each memory tells its past right, or says that it cannot."""
  for b, past in enumerate(said):
    one_B = jax.tree.map(lambda x, b=b: x[b : b + 1], host_B)
    for chunk, rows in enumerate(past):
      if chunk < one_B.complete_from[0]:
        with pytest.raises(ValueError, match='dropped by compaction'):
          state.snapshot(one_B, chunk)
      else:
        told = state.snapshot(one_B, chunk)[0]
        assert [tuple(row[:5]) for row in told] == rows
