"""The memory itself: compaction, spans, counts and what may be read back."""

import dataclasses

import jax
import numpy as np
import pytest

from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
P, Q, M = 24, 20, 8  # tokens, words and rows


def build(versions):
  """A memory as numpy arrays from (entry, tokens, terms, closed) tuples."""
  host = jax.device_get(state.empty(P, Q, M))
  arrays = {
    f.name: getattr(host, f.name).copy() for f in dataclasses.fields(host)
  }
  tokens = [token for version in versions for token in version[1]]
  terms = [term for version in versions for term in version[2]]
  token_tail = term_tail = 0
  for row, (entry, content, words, closed) in enumerate(versions):
    values = {
      'kind': CORE if entry < 0 else SEMANTIC, 'entry': entry, 'uid': entry,
      'start': token_tail, 'length': len(content),
      'term_start': term_tail, 'num_terms': len(words), 'hash': hash(content),
      'created': entry + 1, 'updated': row, 'closed': closed,
    }  # fmt: skip
    for name, value in values.items():
      column_M = arrays[name + '_M']
      column_M[row] = np.int64(value).astype(column_M.dtype)
    token_tail, term_tail = token_tail + len(content), term_tail + len(words)
  arrays['tokens_P'][:token_tail], arrays['terms_P'][:term_tail] = tokens, terms
  arrays['token_tail'] = np.int32(token_tail)
  arrays['term_tail'] = np.int32(term_tail)
  arrays['next_row'] = np.int32(len(versions))
  arrays['next_entry'] = np.int32(9)
  arrays['complete_from'] = np.int32(0)
  return state.Memory(**arrays)


def random_versions(rng):
  """Up to a full table, with spans that may be empty or fill the pools."""
  most = rng.integers(1, 4)
  versions = []
  for row in range(rng.integers(0, M + 1)):
    content = tuple(rng.integers(1, 99, rng.integers(1, most + 1)).tolist())
    words = tuple(rng.integers(0, 99, rng.integers(0, most)).tolist())
    closed = state.NEVER if rng.random() < 0.6 else row + 3
    versions.append((row - 1, content, words, closed))
  return versions


def stack(memories):
  return jax.tree.map(lambda *x: np.stack(x), *memories)


def assert_same(actual, wanted):
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted)):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def test_compaction_keeps_what_is_live_and_nothing_else():
  rng = np.random.default_rng(1)
  versions_B = [random_versions(rng) for _ in range(200)]
  versions_B += [[(0, (1,) * P, (2,) * Q, state.NEVER)]]  # full to the brim
  versions_B += [[(0, (1,) * P, (2,) * Q, 5)], []]
  wanted_B = []
  for versions in versions_B:
    live = [(v, row) for row, v in enumerate(versions) if v[-1] == state.NEVER]
    memory = build([version for version, _ in live])
    memory.updated_M[: len(live)] = [row for _, row in live]
    lost = [v[-1] for v in versions if v[-1] != state.NEVER]
    memory = dataclasses.replace(
      memory, complete_from=np.int32(max(lost, default=0))
    )
    wanted_B.append(memory)
  memory_B = stack([build(versions) for versions in versions_B])
  once = jax.jit(jax.vmap(state.compact))(memory_B)
  assert_same(jax.device_get(once), stack(wanted_B))
  assert_same(jax.jit(jax.vmap(state.compact))(once), once)
  np.testing.assert_array_equal(
    state.memory_tokens(memory_B), state.memory_tokens(once)
  )
  alone = state.compact(jax.tree.map(lambda x: jax.numpy.array(x[0]), memory_B))
  assert_same(alone, jax.tree.map(lambda x: x[0], once))


def test_span_owner_is_the_row_that_holds_a_position():
  start_M = np.array([0, 2, 2, 2, 5, 6, 0, 0])
  used_M = np.arange(8) < 6
  owner_P = state.span_owner(start_M, used_M, size=6)
  assert owner_P.tolist() == [0, 0, 3, 3, 3, 4]  # row 5 lies behind the pool
  assert state.span_owner(start_M, used_M & False, size=3).tolist() == [0] * 3


def test_counts_of_live_entries():
  memory = build(
    [
      (-1, (1, 2), (), state.NEVER),
      (0, (3, 4, 5), (), 2),
      (0, (6,), (), state.NEVER),
    ]
  )
  assert state.live(memory).tolist() == [True, False, True] + [False] * 5
  assert int(state.memory_tokens(memory)) == 3
  assert state.memory_tokens(stack([memory, build([])])).tolist() == [3, 0]


def test_snapshot_lists_entries_in_order_with_core_first():
  memory_B = stack(
    [
      build(
        [
          (0, (1, 2), (), state.NEVER),
          (1, (3,), (), 3),
          (-1, (5,), (), state.NEVER),
          (1, (4, 4), (), state.NEVER),
        ]
      ),
      build([]),
    ]
  )
  core = state.Row(CORE, -1, (5,), 0, 2, 2)
  first = state.Row(SEMANTIC, 0, (1, 2), 1, 0, 0)
  assert state.snapshot(memory_B) == [
    [core, first, state.Row(SEMANTIC, 1, (4, 4), 2, 3, 3)],
    [],
  ]
  assert state.snapshot(memory_B, 2) == [
    [core, first, state.Row(SEMANTIC, 1, (3,), 2, 1, 1)],
    [],
  ]
  assert state.snapshot(memory_B, 0) == [[first], []]
  kind = state.snapshot(memory_B)[0][0].kind
  assert isinstance(kind, structs.Kind)


def test_what_compaction_dropped_is_not_told():
  versions = [
    (0, (1,), (), 2),  # said after chunk 0 and 1
    (1, (2,), (), 1),  # replaced in the chunk that wrote it: never said
    (1, (3,), (), state.NEVER),
  ]
  whole_B = stack([build(versions), build(versions[2:])])
  compact = jax.jit(jax.vmap(state.compact))
  compacted_B = jax.device_get(compact(whole_B))
  assert whole_B.complete_from.tolist() == [0, 0]
  assert compacted_B.complete_from.tolist() == [2, 0]
  for chunk in (0, 1):
    state.snapshot(whole_B, chunk)
    with pytest.raises(ValueError, match=r'memories .0. .* ask from chunk 2'):
      state.snapshot(compacted_B, chunk)
  for chunk in (2, 3, None):
    tokens = [r.tokens for r in state.snapshot(compacted_B, chunk)[0]]
    assert tokens == [r.tokens for r in state.snapshot(whole_B, chunk)[0]]
  again_B = jax.device_get(compact(compacted_B))
  assert again_B.complete_from.tolist() == [2, 0]
  never_said = stack([build([(1, (2,), (), 0)])])  # by row 0, in chunk 0
  assert compact(never_said).complete_from.tolist() == [0]


def test_an_empty_memory():
  memory = state.empty(P, Q, M)
  batch = state.empty_batch(3, P, Q, M)
  assert_same(memory, jax.tree.map(lambda x: x[2], batch))
  assert not any(x.any() for x in jax.tree.leaves(batch))
  assert memory.tokens_P.shape == (P,) and memory.terms_P.shape == (Q,)
  assert {getattr(memory, name).shape for name in state.COLUMNS} == {(M,)}
  assert not state.live(memory).any()
  assert state.snapshot(jax.device_get(batch)) == [[], [], []]
  with pytest.raises(ValueError, match="at least 1: .*'terms': 0"):
    state.empty(P, 0, M)


def test_on_shards_splits_a_batch_and_nothing_without_a_mesh():
  seen = []

  def rows(memory_B, extra_B):
    seen.append(memory_B.next_row.shape[0])
    return memory_B.next_row + extra_B

  memory_B = state.empty_batch(4, P, Q, M)
  extra_B = np.arange(4, dtype=np.int32)
  run = jax.jit(lambda *args: state.on_shards(rows)(*args))
  assert run(memory_B, extra_B).tolist() == [0, 1, 2, 3]
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    placed_B = mesh.put_batch(jax.device_get(memory_B))
    out_B = run(placed_B, mesh.place(jax.numpy.asarray(extra_B), None))
    assert out_B.sharding.spec == jax.P('fsdp')
    assert out_B.tolist() == [0, 1, 2, 3]
  assert seen == [4, 2]
