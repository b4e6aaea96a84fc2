"""Turns of calls against a memory kept as a plain list of dictionaries.

The oracle below states the rules in Python, one call after another. Hundreds of
random sequences run as one batch of memories so small that every status and
many compactions occur; after each turn every array must agree with the oracle.
"""

import collections
import dataclasses
import functools

import jax
import numpy as np
import pytest

from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.memory import content
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
NONE, INSERT, UPDATE, DELETE = structs.Action
STATUS = structs.Status
SIZES = {'tokens': 20, 'terms': 18, 'rows': 7}
ROOM = {'O': 4, 'T': 12, 'W': 11}
TURNS = 14
LIMITED = ops.Limits(core=3, entry=4)
HISTORY = ops.Limits(core=None, enabled=(True, False, True), keep_history=True)
LENIENT = ops.Limits(core=None)
PUBLISHED = ops.Limits(core=None, allow_empty=True, delete_unknown=True)


class Oracle:
  """One memory: its versions in the order in which they were written."""

  def __init__(self):
    self.versions = []
    self.next_entry = 0
    self.compactions = 0

  def apply(self, calls, chunk, limits):
    tight = self._try(calls, chunk, limits, drop=False)
    roomy = self._try(calls, chunk, limits, drop=not limits.keep_history)
    compacted = tight[0] != roomy[0]
    statuses, uids, versions, self.next_entry = roomy if compacted else tight
    self.versions = versions
    self.compactions += compacted
    return statuses, uids

  def _try(self, calls, chunk, limits, *, drop):
    versions = [dict(version) for version in self.versions]
    statuses, uids, number = [], [], self.next_entry
    for call, fits in zip(calls, fits_buffers(calls)):
      if drop:
        versions = live(versions)
      peers = [v for v in live(versions) if v['kind'] == call.kind]
      uid = structs.NO_ID if call.kind == CORE else call.uid
      found = [v for v in peers if v['uid'] == uid and call.action != INSERT]
      stay = [v for v in versions if not (drop and v in found)]
      status = verdict(call, limits)
      if status == STATUS.OK:
        status = second_verdict(call, peers, found, stay, fits, limits)
      statuses.append(status)
      uids.append(structs.NO_ID)
      if status != STATUS.OK:
        continue
      for version in found:
        version['closed'] = chunk
      created = found[0]['created'] if found else chunk
      entry = found[0]['entry'] if found else state.CORE_ENTRY
      if call.action == INSERT:
        entry = uid = number
        number += 1
      if found or call.action != DELETE:
        uids[-1] = uid
      if call.action != DELETE:
        versions.append({
          'kind': call.kind, 'entry': entry, 'uid': uid,
          'tokens': call.tokens, 'terms': tuple(sorted(call.terms)),
          'created': created, 'updated': chunk, 'closed': state.NEVER,
        })  # fmt: skip
    return statuses, uids, live(versions) if drop else versions, number

  def snapshot(self, after=state.NEVER - 1):
    rows = [
      state.Row(
        v['kind'], v['uid'], v['tokens'], v['created'], v['updated'], row
      )
      for row, v in enumerate(self.versions)
      if v['updated'] <= after < v['closed']
    ]
    return sorted(rows, key=lambda row: self.versions[row.order]['entry'])

  def arrays(self):
    """Every array of the memory but the hashes."""
    rows = range(SIZES['rows'])
    columns = collections.defaultdict(lambda: [0 for _ in rows])
    pools = {'tokens': [], 'terms': []}
    for row, version in enumerate(self.versions):
      for name in ('kind', 'entry', 'uid', 'created', 'updated', 'closed'):
        columns[name + '_M'][row] = version[name]
      for name, pool, start, length in (
        ('tokens', pools['tokens'], 'start_M', 'length_M'),
        ('terms', pools['terms'], 'term_start_M', 'num_terms_M'),
      ):
        columns[start][row] = len(pool)
        columns[length][row] = len(version[name])
        pool.extend(version[name])
    arrays = {name: columns[name] for name in state.COLUMNS}
    del arrays['hash_M']
    for name, pool in pools.items():
      arrays[name + '_P'] = pool + [0] * (SIZES[name] - len(pool))
      arrays[name[:-1] + '_tail'] = len(pool)
    return arrays | {
      'next_row': len(self.versions),
      'next_entry': self.next_entry,
    }


def live(versions):
  return [v for v in versions if v['closed'] == state.NEVER]


def used(versions):
  tokens = sum(len(v['tokens']) for v in versions)
  terms = sum(len(v['terms']) for v in versions)
  return tokens, terms, len(versions)


def fits_buffers(calls):
  tokens = terms = 0
  for call in calls:
    more = tokens + len(call.tokens), terms + len(call.terms)
    fits = more[0] <= ROOM['T'] and more[1] <= ROOM['W']
    tokens, terms = more if fits else (tokens, terms)
    yield fits


def second_verdict(call, peers, found, stay, fits, limits):
  """What the memory says; `stay`: the versions that take room beside it."""
  creates = call.action == INSERT or (call.action, call.kind) == (UPDATE, CORE)
  creates |= call.action == DELETE and limits.delete_unknown
  if not found and not creates:
    return STATUS.UNKNOWN_ID
  if call.action == DELETE:
    return STATUS.OK
  if not fits:
    return STATUS.FULL
  if call.action == INSERT and call.tokens in [v['tokens'] for v in peers]:
    return STATUS.DUPLICATE
  need = len(call.tokens), len(call.terms), 1
  sums = [n + m for n, m in zip(used(stay), need)]
  full = any(n > size for n, size in zip(sums, SIZES.values()))
  return STATUS.FULL if full else STATUS.OK


def verdict(call, limits):
  """What can be said of a call without looking at the memory."""
  if call.action == NONE:
    return STATUS.NONE
  if call.kind in list(structs.Kind) and not limits.enabled[call.kind]:
    return STATUS.DISABLED
  if call.kind not in list(structs.Kind) or call.action not in list(
    structs.Action
  ):
    return STATUS.INVALID
  if call.kind == CORE and call.action == INSERT:
    return STATUS.INVALID
  if call.action == DELETE:
    return STATUS.OK
  if not call.tokens and not limits.allow_empty:
    return STATUS.EMPTY
  limit = limits.core if call.kind == CORE else limits.entry
  if limit is not None and call.limit_count > limit:
    return STATUS.TOO_LONG
  return STATUS.OK


def random_turns(rng):
  """A writer with its own habits: long or short texts, few or many deletes."""
  longest = rng.integers(1, 7)
  words = rng.integers(2, 9)
  deletes = rng.choice([0.1, 0.3])
  actions = np.array([1, 11 - 20 * deletes, 8, 20 * deletes, 1])  # 4: unknown
  actions /= actions.sum()

  def call(chunk):
    action = int(rng.choice(5, p=actions))
    length, terms = rng.integers(0, longest + 1), rng.integers(0, longest + 1)
    length = max(length, int(rng.random() < 0.8))
    text = action != DELETE
    tokens = tuple(rng.integers(1, words, length).tolist()) if text else ()
    return ops.EncodedCall(
      action=action,
      kind=int(rng.choice(4, p=[0.2, 0.5, 0.28, 0.02])),
      uid=int(rng.integers(-1, 2 + chunk // 2)),
      tokens=tokens,
      terms=tuple(rng.integers(0, 5, terms).tolist()) if text else (),
      limit_count=int(rng.choice([len(tokens), 0, 9], p=[0.6, 0.35, 0.05])),
    )

  return [
    [call(chunk) for _ in range(rng.integers(0, ROOM['O'] + 1))]
    for chunk in range(TURNS)
  ]


@functools.cache
def sequences(batch, seed=0):
  rng = np.random.default_rng(seed)
  return [random_turns(rng) for _ in range(batch)]


def run(turns_B, limits, *, apply=ops.apply_turn, put=lambda x: x):
  """Applies the turns to empty memories; yields what each turn leads to."""
  memory_B = put(jax.device_get(state.empty_batch(len(turns_B), **SIZES)))
  for chunk in range(TURNS):
    ops_B = put(ops.pack([turns[chunk] for turns in turns_B], **ROOM))
    memory_B, *outcome = apply(memory_B, ops_B, chunk, limits=limits)
    yield jax.device_get((memory_B, *outcome))


def assert_same(actual, wanted):
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted)):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def take(tree, rows):
  return jax.tree.map(lambda x: x[rows], tree)


def insert(*tokens, kind=SEMANTIC, terms=(), limit_count=0):
  return ops.EncodedCall(
    INSERT, kind, tokens=tokens, terms=terms, limit_count=limit_count
  )


def update(uid, *tokens, kind=SEMANTIC, terms=()):
  return ops.EncodedCall(UPDATE, kind, uid, tokens=tokens, terms=terms)


def delete(uid, kind=SEMANTIC):
  return ops.EncodedCall(DELETE, kind, uid)


@pytest.mark.parametrize(
  'limits',
  [LIMITED, HISTORY, PUBLISHED],
  ids=['tight', 'history', 'published'],
)
def test_random_turns_agree_with_the_oracle(limits):
  turns_B = sequences(200)
  oracles = [Oracle() for _ in turns_B]
  past_B, seen = [[] for _ in turns_B], collections.Counter()
  before = jax.device_get(state.empty_batch(len(turns_B), **SIZES))
  for chunk, (memory_B, status_BO, uid_BO) in enumerate(run(turns_B, limits)):
    shown_B = state.snapshot(memory_B)
    from_B = memory_B.complete_from
    all_B = dataclasses.replace(memory_B, complete_from=np.zeros_like(from_B))
    then_B = [state.snapshot(all_B, c) for c in range(chunk + 1)]
    for b, oracle in enumerate(oracles):
      calls = turns_B[b][chunk]
      statuses, uids = oracle.apply(calls, chunk, limits)
      pad = ROOM['O'] - len(calls)
      assert status_BO[b].tolist() == statuses + [STATUS.NONE] * pad
      assert uid_BO[b].tolist() == uids + [structs.NO_ID] * pad
      for name, wanted in oracle.arrays().items():
        assert getattr(memory_B, name)[b].tolist() == wanted, (name, b, chunk)
      if STATUS.OK not in statuses:
        assert_same(take(memory_B, b), take(before, b))
      past_B[b].append(oracle.snapshot())
      assert shown_B[b] == past_B[b][-1]
      for c in range(chunk + 1):
        assert then_B[c][b] == oracle.snapshot(c)
        if c >= from_B[b]:
          assert [r[:5] for r in then_B[c][b]] == [r[:5] for r in past_B[b][c]]
      seen.update(statuses)
    before = memory_B
  compactions = sum(oracle.compactions for oracle in oracles)
  reached = set(STATUS) - {STATUS.TRUNCATED, STATUS.EXCESS}
  if limits is HISTORY:
    assert compactions == 0
  else:
    assert compactions > 100
    reached -= {STATUS.DISABLED}
  if limits is not LIMITED:
    reached -= {STATUS.TOO_LONG}
  if limits is PUBLISHED:
    reached -= {STATUS.EMPTY}
  assert all(seen[status] > 15 for status in reached), seen


def test_equal_hashes_are_not_equal_contents(monkeypatch):
  turns_B = sequences(200)
  wanted = list(run(turns_B, LIMITED))

  def constant(ops_O):
    return jax.numpy.zeros(ops_O.length_O.shape, jax.numpy.uint32)

  monkeypatch.setattr(content, 'hashes', constant)

  @functools.partial(jax.jit, static_argnames='limits')
  def apply(memory_B, ops_B, chunk, *, limits):
    return ops.apply_turn.__wrapped__(memory_B, ops_B, chunk, limits=limits)

  for actual, (memory_B, *outcome) in zip(
    run(turns_B, LIMITED, apply=apply), wanted
  ):
    assert not actual[0].hash_M.any()
    no_hash_BM = np.zeros_like(memory_B.hash_M)
    memory_B = dataclasses.replace(memory_B, hash_M=no_hash_BM)
    assert_same(actual, (memory_B, *outcome))


def test_each_memory_alone_comes_out_the_same():
  turns_B = sequences(200)
  wanted = list(run(turns_B, LIMITED))
  for b in range(0, 200, 20):
    alone = run(turns_B[b : b + 1], LIMITED)
    for actual, together in zip(alone, wanted):
      assert_same(take(actual, 0), take(together, b))


def test_without_jit_the_bits_are_the_same():
  turns_B = sequences(200)
  together = list(run(turns_B, LIMITED))
  chunk, rows = TURNS - 3, slice(0, 200, 67)
  memory_B = take(together[chunk - 1][0], rows)
  ops_B = ops.pack([turns[chunk] for turns in turns_B[rows]], **ROOM)
  memory_B = jax.tree.map(jax.numpy.asarray, memory_B)
  unjitted = ops.apply_turn.__wrapped__
  actual = unjitted(memory_B, ops_B, chunk, limits=LIMITED)
  assert_same(jax.device_get(actual), take(together[chunk], rows))


def test_on_a_mesh_the_bits_are_the_same():
  turns_B = sequences(200)
  wanted = list(run(turns_B, LIMITED))
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    memory_B = mesh.put_batch(wanted[3][0])
    ops_B = mesh.put_batch(ops.pack([t[4] for t in turns_B], **ROOM))
    actual = ops.apply_turn(memory_B, ops_B, 4, limits=LIMITED)
    for x in jax.tree.leaves(actual):
      assert x.sharding.spec[0] == 'fsdp'
    assert_same(jax.device_get(actual), wanted[4])
    for made, one in zip(run(turns_B, LIMITED, put=mesh.put_batch), wanted):
      assert_same(made, one)


def test_each_memory_may_have_its_own_chunk():
  ops_B = ops.pack([[insert(1)], [insert(1)]], **ROOM)
  memory_B, _, _ = ops.apply_turn(
    state.empty_batch(2, **SIZES), ops_B, np.array([3, 8]), limits=LENIENT
  )
  assert memory_B.created_M[:, 0].tolist() == [3, 8]
  assert memory_B.updated_M[:, 0].tolist() == [3, 8]


def test_only_memories_that_gain_by_it_are_compacted():
  hole = [[insert(1), insert(2)], [delete(0)]]
  full = [[insert(*range(8))], [update(0, *range(9))]]
  memory_B = state.empty_batch(2, **SIZES)
  for chunk, calls in enumerate(zip(hole, full)):
    ops_B = ops.pack(list(calls), **ROOM)
    memory_B, status_BO, _ = ops.apply_turn(
      memory_B, ops_B, np.array([chunk] * 2), limits=LENIENT
    )
  ops_B = ops.pack([[insert(5)], [insert(5, 5, 5, 5)]], **ROOM)
  memory_B, status_BO, _ = ops.apply_turn(
    memory_B, ops_B, np.array([2, 2]), limits=LENIENT
  )
  assert status_BO[:, 0].tolist() == [STATUS.OK, STATUS.OK]
  assert memory_B.next_row.tolist() == [3, 2]
  assert memory_B.token_tail.tolist() == [3, 13]


def test_pack_lays_contents_out_one_after_another():
  calls = [insert(1, 2, terms=(7,)), delete(3), insert(4, terms=(8, 9))]
  packed = ops.pack([calls, []], **ROOM)
  assert packed.action_O.tolist() == [[INSERT, DELETE, INSERT, NONE], [0] * 4]
  assert packed.uid_O.tolist() == [[-1, 3, -1, -1], [-1] * 4]
  assert packed.start_O[0].tolist() == [0, 2, 2, 0]
  assert packed.length_O[0].tolist() == [2, 0, 1, 0]
  assert packed.term_start_O[0].tolist() == [0, 1, 1, 0]
  assert packed.num_terms_O[0].tolist() == [1, 0, 2, 0]
  assert packed.tokens_T[0, :4].tolist() == [1, 2, 4, 0]
  assert packed.terms_W[0, :4].tolist() == [7, 8, 9, 0]


def test_bad_arguments_say_what_to_do():
  with pytest.raises(ValueError, match='turn 1 .* has 5 calls .* room for 4'):
    ops.pack([[], [insert(1)] * 5], **ROOM)
  with pytest.raises(ValueError, match='give a tuple with one bool'):
    ops.Limits(enabled=(True, True))
  with pytest.raises(ValueError, match='give a tuple with one bool'):
    ops.Limits(enabled=[True, True, True])
