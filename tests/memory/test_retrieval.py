"""BM25 against the package rank_bm25, against numpy, and in its corner cases.

The memories are made by turns of calls, so that the pools hold words of closed
versions and of other kinds, which must not count.
"""

import functools
import math

import jax
import numpy as np
import pytest
import rank_bm25

from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state

SEMANTIC, EPISODIC = structs.Kind.SEMANTIC, structs.Kind.EPISODIC
INSERT, UPDATE, DELETE = list(structs.Action)[1:]
SIZES = {'tokens': 64, 'terms': 160, 'rows': 14}
LIMITS = ops.Limits(core=None)
WORDS = 9  # the words 0..7 occur in entries, 8 never
B, Q, W, K = 12, 5, 4, 14
MANY = 20  # more than there are rows


def apply(memory_B, calls_B, chunk):
  ops_B = ops.pack(calls_B, O=8, T=8, W=80)
  memory_B, status_BO, _ = ops.apply_turn(memory_B, ops_B, chunk, limits=LIMITS)
  for calls, status_O in zip(calls_B, status_BO.tolist()):
    assert status_O[: len(calls)] == [structs.Status.OK] * len(calls)
  return memory_B


def fill(docs_B):
  """Memories whose rows hold these (kind, words) in turn."""
  memory_B = state.empty_batch(len(docs_B), **SIZES)
  for first in (0, 8):
    calls_B = [
      [
        ops.EncodedCall(INSERT, kind, tokens=(n,), terms=words)
        for n, (kind, words) in enumerate(docs)
      ][first : first + 8]
      for docs in docs_B
    ]
    memory_B = apply(memory_B, calls_B, first)
  return memory_B


@functools.cache
def stores():
  """B memories on the host and, for each, its live {row: (kind, words)}."""
  rng = np.random.default_rng(0)

  def doc(kind):
    length = rng.integers(0, 10)
    words = rng.integers(0, WORDS - 1, length)
    if rng.random() < 0.5:
      words = np.minimum(words, 2)  # a few words are in most entries
    return kind, tuple(words.tolist())

  def kind():
    return SEMANTIC if rng.random() < 0.7 else EPISODIC

  docs_B = [[doc(kind()) for _ in range(8)] for _ in range(B)]
  docs_B[0] = [(SEMANTIC, ()), (SEMANTIC, ())]
  docs_B[1] = [(SEMANTIC, (1, 2)), (EPISODIC, (2,))]
  memory_B = fill(docs_B)
  live_B = [dict(enumerate(docs)) for docs in docs_B]
  changes_B = []
  for live in live_B:
    calls = []
    for uid in rng.choice(8, 4, replace=False).tolist():
      if uid not in live:
        continue
      kind_of, _ = live.pop(uid)
      if rng.random() < 0.5:
        calls.append(ops.EncodedCall(DELETE, kind_of, uid))
      else:
        row = 100 + uid
        live[row] = doc(kind_of)
        calls.append(
          ops.EncodedCall(
            UPDATE, kind_of, uid, tokens=(row,), terms=live[row][1]
          )
        )
    changes_B.append(calls)
  memory_B = jax.device_get(apply(memory_B, changes_B, 9))
  # A content names its document; the snapshot says which row holds it.
  docs_by_row_B = [
    {row.order: live[row.tokens[0]] for row in rows}
    for rows, live in zip(state.snapshot(memory_B), live_B)
  ]
  return memory_B, docs_by_row_B


def queries(*shape):
  """Words -1 (unknown or padding) to 8, many of them repeated."""
  return np.random.default_rng(1).integers(-1, WORDS, shape).astype(np.int32)


def own_bm25(docs, query, *, k1=1.5, b=0.75):
  """The formula with the default weight, word by word."""
  mean = sum(map(len, docs)) / len(docs) or 1
  scores = []
  for doc in docs:
    score = 0
    for word in query:
      tf, df = doc.count(word), sum(word in other for other in docs)
      idf = math.log(1 + (len(docs) - df + 0.5) / (df + 0.5))
      norm = k1 * (1 - b + b * len(doc) / mean)
      score += idf * tf * (k1 + 1) / (tf + norm)
    scores.append(score)
  return scores


def reference(docs, query, **constants):
  if not any(docs):  # the package divides by zero
    return [0] * len(docs)
  return rank_bm25.BM25Okapi(docs, **constants).get_scores(query)


def scores_of(memory_B, queries_BQW, kind, idf, **constants):
  """scores_BQM: as many results as there are rows, put back in row order."""
  M = SIZES['rows']
  rows_BQM, found_BQM = jax.device_get(
    retrieval.top_k(memory_B, queries_BQW, kind=kind, k=M, idf=idf, **constants)
  )
  scores_BQM = np.full((*rows_BQM.shape[:2], M + 1), -np.inf)
  np.put_along_axis(scores_BQM, rows_BQM, found_BQM, -1)  # -1: the last
  return scores_BQM[..., :M]


@pytest.mark.parametrize(
  'idf, oracle', [('reference', reference), ('default', own_bm25)]
)
@pytest.mark.parametrize('constants', [{}, {'k1': 0.9, 'b': 0.4}])
def test_scores_agree_with(idf, oracle, constants):
  memory_B, docs_B = stores()
  seen = 0
  queries_BQW = queries(B, 20, W)
  for kind in (SEMANTIC, EPISODIC):
    scores_BQM = scores_of(memory_B, queries_BQW, kind, idf, **constants)
    for b, q in np.ndindex(B, 20):
      wanted_M = np.full(SIZES['rows'], -np.inf)
      mine = [row for row, (of, _) in docs_B[b].items() if of == kind]
      if mine:
        texts = [list(docs_B[b][row][1]) for row in mine]
        query = queries_BQW[b, q].tolist()
        wanted_M[mine] = oracle(texts, query, **constants)
        seen += len(mine)
      np.testing.assert_allclose(
        scores_BQM[b, q], wanted_M, rtol=1e-5, atol=1e-5
      )
  assert seen > 1000


def test_texts_score_as_the_package_scores_their_words():
  """From strings: no two words are merged on the way, whatever their script."""
  rng = np.random.default_rng(3)
  pool = (
    'Oslo oslo ÖSLO Öslo e\u0301 é e tea TEA. tea-cup tea_cup 你好 你 好 7 ٧ '
    'plumless buckeroo codding gnu Aa BB AaAa BBBB ᾳ αι ß ss ﬁ fi I ı i̇'
  ).split()  # among them pairs that well-known hashes and foldings merge

  def texts(count, length):
    return [' '.join(rng.choice(pool, length)) for _ in range(count)]

  docs_B = [texts(8, 6) for _ in range(B)]
  queries_B = [texts(Q, 2) for _ in range(B)]
  terms = text.Terms()
  memory_B = fill([[(SEMANTIC, terms.encode(d)) for d in ds] for ds in docs_B])
  ids_BQW = np.full((B, Q, 8), -1, np.int32)
  for b, q in np.ndindex(B, Q):
    ids = terms.find(queries_B[b][q])
    ids_BQW[b, q, : len(ids)] = ids
  scores_BQM = scores_of(memory_B, ids_BQW, SEMANTIC, 'reference')
  for b, q in np.ndindex(B, Q):
    words = [text.words(doc) for doc in docs_B[b]]
    wanted = reference(words, text.words(queries_B[b][q]))
    np.testing.assert_allclose(scores_BQM[b, q, :8], wanted, atol=1e-5)


@pytest.mark.parametrize('idf', retrieval.IDF)
def test_top_k_is_the_sorted_scores(idf):
  memory_B, _ = stores()
  queries_BQW = queries(B, Q, W)
  rows_BQK, best_BQK = jax.device_get(
    retrieval.top_k(memory_B, queries_BQW, kind=SEMANTIC, k=K, idf=idf)
  )
  every_BQM = scores_of(memory_B, queries_BQW, SEMANTIC, idf)
  for q in range(Q):
    for b, scores_M in enumerate(every_BQM[:, q]):
      found = np.flatnonzero(scores_M > -np.inf)
      entry = memory_B.entry_M[b]
      # Rounding may differ by a bit between the two programs.
      rank = sorted(found, key=lambda m: (-round(scores_M[m], 4), entry[m]))
      pad = K - len(found)
      assert rows_BQK[b, q].tolist() == rank + [-1] * pad
      np.testing.assert_allclose(
        best_BQK[b, q], scores_M[rank].tolist() + [-np.inf] * pad, rtol=1e-5
      )


@pytest.mark.parametrize('idf', retrieval.IDF)
def test_an_empty_store_finds_nothing(idf):
  rows, scores = find(state.empty_batch(1, **SIZES), 1, 2, idf=idf)
  assert rows == [-1] * MANY and scores == [-math.inf] * MANY


def test_words_that_no_entry_has_count_nothing():
  memory_B, docs_B = stores()
  unknown_BQW = np.full((B, Q, W), -1, np.int32)
  unknown_BQW[:, :, 2:] = WORDS - 1
  for idf in retrieval.IDF:
    rows_BQK, scores_BQK = retrieval.top_k(
      memory_B, unknown_BQW, kind=SEMANTIC, k=K, idf=idf
    )
    for b, docs in enumerate(docs_B):
      mine = [row for row, (kind, _) in docs.items() if kind == SEMANTIC]
      mine.sort(key=lambda row: memory_B.entry_M[b, row])
      pad = K - len(mine)
      # Every entry scores 0, hence in the order of their age.
      assert rows_BQK[b, 0].tolist() == mine + [-1] * pad
      assert scores_BQK[b, 0, : len(mine)].tolist() == [0] * len(mine)


def test_a_repeated_word_counts_each_time():
  memory_B = fill([[(SEMANTIC, (1, 2)), (SEMANTIC, (3,)), (SEMANTIC, (4,))]])
  once, twice, thrice = (find(memory_B, *[1] * n)[1][0] for n in (1, 2, 3))
  assert once > 0
  np.testing.assert_allclose([twice, thrice], [2 * once, 3 * once], rtol=1e-6)


def test_ties_go_to_the_older_entry_also_after_an_update():
  docs = [(SEMANTIC, (1,)), (SEMANTIC, (2,)), (SEMANTIC, (1,))]
  change = ops.EncodedCall(UPDATE, SEMANTIC, 0, tokens=(77,), terms=(1,))
  memory_B = apply(fill([docs]), [[change]], 1)
  rows, scores = find(memory_B, 1)
  # Entry 0 lies in row 3 now, behind the others, and is still the oldest.
  assert rows[:4] == [3, 2, 1, -1]
  assert scores[0] == scores[1] > scores[2]


def test_the_default_weight_does_not_turn_a_tiny_store_upside_down():
  memory_B = fill([[(SEMANTIC, (1, 1)), (SEMANTIC, (1, 2))]])
  assert find(memory_B, 1)[0][:2] == [0, 1]
  assert find(memory_B, 1, idf='reference')[0][:2] == [1, 0]


def test_more_asked_than_rows_in_the_table():
  memory_B = fill([[(EPISODIC, (1,))]])
  rows, scores = find(memory_B, 1, kind=EPISODIC)
  assert rows == [0] + [-1] * (MANY - 1)
  assert scores[0] > 0 and scores[1:] == [-math.inf] * (MANY - 1)


def test_each_memory_alone_is_searched_the_same():
  memory_B, _ = stores()
  queries_BQW = queries(B, Q, W)
  search = functools.partial(retrieval.top_k, kind=SEMANTIC, k=K)
  wanted = jax.device_get(search(memory_B, queries_BQW))
  for b in range(B):
    alone = search(take(memory_B, b), queries_BQW[b : b + 1])
    assert_close(alone, take(wanted, b))


def test_queries_in_blocks_score_the_same(monkeypatch):
  memory_B, _ = stores()
  queries_BQW = queries(B, Q, W)
  search = functools.partial(retrieval.top_k, kind=SEMANTIC, k=K)
  wanted = jax.device_get(search(memory_B, queries_BQW))
  # Room for the counts of two queries only: 5 queries take three blocks.
  monkeypatch.setattr(retrieval, '_MAX_COUNTS', 2 * W * SIZES['rows'] + 1)
  blocks = jax.jit(
    lambda *args: retrieval.top_k.__wrapped__(*args, kind=SEMANTIC, k=K)
  )
  assert_close(blocks(memory_B, queries_BQW), wanted)


def test_without_jit_the_scores_are_the_same():
  memory_B, _ = stores()
  queries_BQW = queries(2, 2, W)
  some = jax.tree.map(lambda x: jax.numpy.array(x[2:4]), memory_B)
  for idf in retrieval.IDF:
    search = functools.partial(retrieval.top_k, kind=SEMANTIC, k=K, idf=idf)
    wanted = jax.device_get(search(some, queries_BQW))
    with jax.disable_jit():
      found = search(some, jax.numpy.array(queries_BQW))
    assert_close(found, wanted)


def test_on_a_mesh_the_same_is_found():
  memory_B, _ = stores()
  queries_BQW = queries(B, Q, W)
  search = functools.partial(retrieval.top_k, kind=SEMANTIC, k=K)
  wanted = jax.device_get(search(memory_B, queries_BQW))
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    found = search(mesh.put_batch(memory_B), mesh.put_batch(queries_BQW))
    assert found[0].sharding.spec[0] == 'fsdp'
    assert_close(found, wanted)


def test_an_unknown_weight_is_refused():
  memory_B = state.empty_batch(1, **SIZES)
  with pytest.raises(ValueError, match="not 'okapi'"):
    retrieval.top_k(memory_B, queries(1, 1, 1), kind=1, k=1, idf='okapi')


def find(memory_B, *words, kind=SEMANTIC, idf='default'):
  """Rows and scores of one query to one memory, as lists."""
  query_W = np.array([*words] + [-1] * (W - len(words)), np.int32)
  found = retrieval.top_k(
    memory_B, query_W[None, None], kind=kind, k=MANY, idf=idf
  )
  return [x[0, 0].tolist() for x in found]


def take(tree, b):
  return jax.tree.map(lambda x: x[b : b + 1], tree)


def assert_close(found, wanted):
  rows, scores = jax.device_get(found)
  np.testing.assert_array_equal(rows, wanted[0])
  np.testing.assert_allclose(scores, wanted[1], rtol=1e-5)
