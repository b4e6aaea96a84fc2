"""While a run goes on: nothing is compiled again, nothing is copied."""

import jax
import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state

SEMANTIC = structs.Kind.SEMANTIC
INSERT, UPDATE = structs.Action.INSERT, structs.Action.UPDATE
B, ROOM = 2, {'O': 2, 'T': 12, 'W': 6}
LIMITS = ops.Limits()


def turns():
  """Empty, small and full turns, until old versions had to be dropped."""
  first = [ops.EncodedCall(INSERT, SEMANTIC, tokens=(1,), terms=(1,))]
  yield []
  yield first
  for n in range(8):
    yield [ops.EncodedCall(UPDATE, SEMANTIC, 0, tokens=(2, n) * 2, terms=(n,))]
  yield [ops.EncodedCall(INSERT, SEMANTIC, tokens=(7,) * 12)] * 2


def run():
  """(memories before and after each turn, by their leaves)."""
  memory_B = state.empty_batch(B, tokens=23, terms=17, rows=5)
  for chunk, calls in enumerate(turns()):
    before = jax.tree.leaves(memory_B)
    packed = ops.pack([calls] * B, **ROOM)
    memory_B, *_ = ops.apply_turn(memory_B, packed, chunk, limits=LIMITS)
    yield before, memory_B


def test_turns_compile_once_and_give_their_memory_away():
  compiled = ops.apply_turn._cache_size()
  for before, after in run():
    assert all(leaf.is_deleted() for leaf in before)
    assert ops.apply_turn._cache_size() == compiled + 1
    dropped = int(after.complete_from.min())
  assert dropped > 0  # compaction was among them


def test_every_byte_of_the_memories_is_updated_in_place():
  *_, (_, memory_B) = run()
  packed = ops.pack([[]] * B, **ROOM)
  found = (
    ops.apply_turn.lower(memory_B, packed, 0, limits=LIMITS)
    .compile()
    .memory_analysis()
  )
  size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(memory_B))
  assert found.alias_size_in_bytes == size


@pytest.mark.parametrize('idf', retrieval.IDF)
def test_searches_compile_once_and_leave_the_memory_alone(idf):
  compiled = retrieval.top_k._cache_size()
  queries_BQW = np.full((B, 3, 2), -1, np.int32)
  for n, (_, memory_B) in enumerate(run()):
    before = jax.device_get(memory_B)
    queries_BQW[:, :, 0] = n
    retrieval.top_k(memory_B, queries_BQW, kind=SEMANTIC, k=4, idf=idf)
    assert retrieval.top_k._cache_size() == compiled + 1
    jax.tree.map(np.testing.assert_array_equal, before, memory_B)
