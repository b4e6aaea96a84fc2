"""Dense retrieval and reciprocal ranks, against numpy."""

import jax
import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.memory import fusion
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state

SEMANTIC, EPISODIC = structs.Kind.SEMANTIC, structs.Kind.EPISODIC
INSERT, UPDATE = structs.Action.INSERT, structs.Action.UPDATE
B, M, Q, W, E = 3, 12, 6, 3, 4
SIZES = {'tokens': 32, 'terms': 64, 'rows': M}


def make(seed):
  """Random memories, queries, and vectors of which some are zero."""
  rng = np.random.default_rng(seed)

  def call(n):
    kind = SEMANTIC if rng.random() < 0.7 else EPISODIC
    words = tuple(rng.integers(0, 5, rng.integers(0, 5)).tolist())
    return ops.EncodedCall(INSERT, kind, tokens=(n,), terms=words)

  memory_B = state.empty_batch(B, **SIZES)
  turns = [
    [[call(n) for n in range(i, i + 4)] for _ in range(B)] for i in (0, 4)
  ]
  change = ops.EncodedCall(UPDATE, SEMANTIC, 0, tokens=(99,), terms=(1, 1))
  for chunk, calls in enumerate([*turns, [[change]] * B]):
    packed = ops.pack(calls, O=4, T=8, W=32)
    memory_B, *_ = ops.apply_turn(memory_B, packed, chunk, limits=ops.Limits())
  queries = rng.integers(-1, 6, (B, Q, W)).astype(np.int32)
  rows, asked = rng.normal(size=(B, M, E)), rng.normal(size=(B, Q, E))
  asked[:, 0], rows[:, ::4] = 0, 0
  return memory_B, queries, rows.astype(np.float32), asked.astype(np.float32)


def cosine(a, b):
  norm = np.linalg.norm(a) * np.linalg.norm(b)
  return float(a @ b) / norm if norm else 0.0


def ranks(scores, entry):
  """{row: rank from 1} of what has a score, the older of equals first."""
  rated = [m for m in scores if round(scores[m], 5) != 0]
  rated.sort(key=lambda m: (-round(scores[m], 5), entry[m]))
  return {m: place for place, m in enumerate(rated, start=1)}


def search(memory_B, queries, vectors=None):
  return jax.device_get(
    retrieval.top_k(memory_B, queries, kind=SEMANTIC, k=M, vectors=vectors)
  )


@pytest.mark.parametrize('seed', range(5))
def test_fused_scores_are_sums_of_reciprocal_ranks(seed):
  memory_B, queries, rows, asked = make(seed)
  bm25 = search(memory_B, queries)
  found = search(memory_B, queries, fusion.Vectors(rows, asked))
  alone = search(memory_B, queries, fusion.Vectors(rows, asked, alone=True))
  entry_BM = np.asarray(memory_B.entry_M)
  for b, q in np.ndindex(B, Q):
    mine = [m for m in bm25[0][b, q].tolist() if m >= 0]
    words = dict(zip(mine, bm25[1][b, q].tolist()))
    dense = {m: cosine(rows[b, m], asked[b, q]) for m in mine}
    votes = [ranks(words, entry_BM[b]), ranks(dense, entry_BM[b])]
    wanted = {
      m: sum(1 / (60 + vote[m]) for vote in votes if m in vote) for m in mine
    }
    for result, scores, digits in ((found, wanted, 8), (alone, dense, 5)):

      def place(m, scores=scores, digits=digits, b=b):
        return -round(scores[m], digits), entry_BM[b, m]

      order = sorted(mine, key=place)
      assert result[0][b, q].tolist() == order + [-1] * (M - len(mine))
      np.testing.assert_allclose(
        result[1][b, q, : len(mine)], [scores[m] for m in order], atol=1e-6
      )


def test_each_ranking_stands_in_for_the_other():
  memory_B, queries, rows, asked = make(0)
  nothing = np.full_like(queries, -1)
  fused = search(memory_B, nothing, fusion.Vectors(rows, asked))
  order = search(memory_B, nothing, fusion.Vectors(rows, asked, alone=True))
  for b, q in np.ndindex(B, Q):
    rated = order[1][b, q] != 0
    rated &= np.isfinite(order[1][b, q])
    n = rated.sum()
    # Dissimilar entries have a vote too, hence compare what both rank first.
    first = order[0][b, q][: int((order[1][b, q] > 0).sum())]
    assert fused[0][b, q, : len(first)].tolist() == first.tolist()
    assert (fused[1][b, q] > 0).sum() == n
  words = search(memory_B, queries)
  fused = search(memory_B, queries, fusion.Vectors(rows * 0, asked))
  np.testing.assert_array_equal(fused[0], words[0])


@pytest.mark.parametrize('alone', [True, False])
@pytest.mark.parametrize('size', [3, 7, 64, 257])
def test_equal_directions_are_ties_and_the_older_comes_first(alone, size):
  """Scaled and scattered copies of two directions, cosines off by rounding."""
  rng = np.random.default_rng(size)
  calls = [
    [ops.EncodedCall(INSERT, SEMANTIC, tokens=(n,)) for n in range(i, i + 4)]
    for i in range(0, M, 4)
  ]
  memory_B = state.empty_batch(1, **SIZES)
  for chunk, turn in enumerate(calls):
    packed = ops.pack([turn], O=4, T=8, W=1)
    memory_B, *_ = ops.apply_turn(memory_B, packed, chunk, limits=ops.Limits())
  near, far = rng.normal(size=(2, size))
  kinds = rng.permutation([0] * 5 + [1] * 5 + [2] * 2)
  rows = np.stack([(near, far, 0 * near)[k] for k in kinds])
  rows *= 10 ** rng.uniform(-3, 3, (M, 1))
  asked = np.stack([near + 0.1 * far, far])
  queries = np.full((1, 2, 1), -1, np.int32)
  vectors = fusion.Vectors(
    rows[None].astype(np.float32), asked[None].astype(np.float32), alone=alone
  )
  found, scores = search(memory_B, queries, vectors)
  for q in range(2):
    value = [cosine(r.astype(np.float64), asked[q]) for r in rows]
    digits = 4 if alone else 6
    order = sorted(range(M), key=lambda m: (-round(value[m], digits), m))
    if not alone:  # who has no similarity has no vote, and comes last
      order = sorted(order, key=lambda m: value[m] == 0)
    assert found[0, q].tolist() == order
    if alone:
      assert len(set(scores[0, q].tolist())) == 3


def test_opposite_rounding_of_nothing_is_no_similarity():
  memory_B = state.empty_batch(1, **SIZES)
  calls = [ops.EncodedCall(INSERT, SEMANTIC, tokens=(n,)) for n in range(3)]
  packed = ops.pack([calls], O=4, T=8, W=1)
  memory_B, *_ = ops.apply_turn(memory_B, packed, 0, limits=ops.Limits())
  rows = np.zeros((1, M, 2), np.float32)
  rows[0, 1], rows[0, 2] = [0.7, -0.7], [-0.3, 0.3]
  asked = np.array([[[-1.0, -1.0]]], np.float32)
  queries = np.full((1, 1, 1), -1, np.int32)
  for alone in (True, False):
    vectors = fusion.Vectors(rows, asked, alone=alone)
    found, scores = search(memory_B, queries, vectors)
    assert found[0, 0, :3].tolist() == [0, 1, 2]
    assert scores[0, 0, :3].tolist() == [0, 0, 0]
