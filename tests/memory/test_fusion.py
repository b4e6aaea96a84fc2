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
