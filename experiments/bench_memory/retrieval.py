"""Search of 100 questions over 500 entries of 40 words, 8 memories, no index.

Ours counts from the pools in every call. The published procedure builds
`rank_bm25` anew for every question. `bm25s` builds an index for each memory
and asks it all questions; of its three ways to take tokens the fastest counts.
Words are ids, or strings, before any clock starts. Before the clocks, the
results are compared: ours in both weights, against both packages.
"""

import statistics
import time

import bm25s
import jax
import numpy as np
import rank_bm25
from bm25s import tokenization

from mem_alpha import structs
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state

MEMORIES, ENTRIES, WORDS = 8, 500, 40
QUESTIONS, QUERY_WORDS, TOP = 100, 10, 20
VOCABULARY = 8000  # drawn by Zipf's law, as words of texts are
PER_TURN = 100


class Texts:
  """Random documents and queries: ids, and the same as strings."""

  def __init__(self):
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, VOCABULARY + 1)
    share /= share.sum()
    shape = (MEMORIES, ENTRIES, WORDS)
    self.docs = rng.choice(VOCABULARY, shape, p=share).astype(np.int32)
    shape = (MEMORIES, QUESTIONS, QUERY_WORDS)
    self.queries = rng.choice(VOCABULARY, shape, p=share).astype(np.int32)
    names = [f'w{i}' for i in range(VOCABULARY)]
    self.vocab = {name: i for i, name in enumerate(names)}

    def spell(ids):
      return [[[names[i] for i in text] for text in texts] for texts in ids]

    self.doc_words, self.query_words = spell(self.docs), spell(self.queries)
    self.doc_lists = [texts.tolist() for texts in self.docs]
    self.query_lists = [texts.tolist() for texts in self.queries]


def fill(texts: Texts, pool: int) -> state.Memory:
  """Memories that hold the documents, written by calls."""
  memory_B = state.empty_batch(
    MEMORIES, tokens=pool, terms=pool, rows=ENTRIES + 12
  )
  for first in range(0, ENTRIES, PER_TURN):
    calls = [
      [
        ops.EncodedCall(
          structs.Action.INSERT,
          structs.Kind.SEMANTIC,
          tokens=(n,),
          terms=tuple(docs[n].tolist()),
        )
        for n in range(first, first + PER_TURN)
      ]
      for docs in texts.docs
    ]
    packed = ops.pack(calls, O=PER_TURN, T=PER_TURN, W=PER_TURN * WORDS)
    memory_B, status_BO, _ = ops.apply_turn(
      memory_B, packed, first // PER_TURN, limits=ops.Limits()
    )
    assert not status_BO.any()
  return memory_B


def measure(pool: int, *, runs: int) -> dict[str, float]:
  """Median seconds of each way at a pool size, in turns."""
  texts = Texts()
  memory_B = fill(texts, pool)
  queries_BQW = jax.numpy.asarray(texts.queries)

  def ours(idf='default'):
    return jax.block_until_ready(
      retrieval.top_k(
        memory_B, queries_BQW, kind=structs.Kind.SEMANTIC, k=TOP, idf=idf
      )
    )

  _check(texts, ours)
  ways = {
    'ours': ours,
    'ours_reference': lambda: ours('reference'),
    'bm25s_strings': lambda: _bm25s(texts.doc_words, texts.query_words),
    'bm25s_ids': lambda: _bm25s(
      [(docs, texts.vocab) for docs in texts.doc_lists], texts.query_lists
    ),
    'bm25s_tokenized': lambda: _bm25s(
      [tokenization.Tokenized(docs, texts.vocab) for docs in texts.doc_lists],
      [tokenization.Tokenized(q, texts.vocab) for q in texts.query_lists],
    ),
  }
  times = {name: [] for name in ways}
  for _ in range(runs):
    for name, way in ways.items():
      times[name].append(_seconds(way))
  found = {name: statistics.median(ts) for name, ts in times.items()}
  found['bm25s'] = min(found[name] for name in found if 'bm25s_' in name)
  return found


def published(*, runs: int) -> float:
  """Median seconds of an index per question."""
  texts = Texts()

  def way():
    for docs, queries in zip(texts.doc_words, texts.query_words):
      for query in queries:
        _published(docs, query)

  return statistics.median(_seconds(way) for _ in range(runs))


def _seconds(way) -> float:
  start = time.perf_counter()
  way()
  return time.perf_counter() - start


def _published(docs, query) -> tuple[np.ndarray, np.ndarray]:
  scores = rank_bm25.BM25Okapi(docs).get_scores(query)
  order = np.argsort(-scores, kind='stable')[:TOP]
  return order, scores[order]


def _bm25s(docs, queries):
  found = []
  for memory_docs, memory_queries in zip(docs, queries):
    index = bm25s.BM25(k1=1.5, b=0.75, method='lucene')
    index.index(memory_docs, show_progress=False)
    found.append(
      index.retrieve(memory_queries, k=TOP, show_progress=False).scores
    )
  return np.stack(found)


def _check(texts: Texts, ours) -> None:
  """Raises where the packages score otherwise."""
  scores_BQK = ours()[1]
  theirs = _bm25s(texts.doc_words, texts.query_words) * 2.5  # without k1 + 1
  np.testing.assert_allclose(scores_BQK, theirs, rtol=1e-4, atol=1e-4)
  rows_BQK, scores_BQK = jax.device_get(ours('reference'))
  for b in range(MEMORIES):
    _, wanted = _published(texts.doc_words[b], texts.query_words[b][0])
    np.testing.assert_allclose(scores_BQK[b, 0], wanted, rtol=1e-5, atol=1e-5)
