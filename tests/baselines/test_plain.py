"""Baselines without a model: what they hold, and what a question finds."""

import hypothesis
import numpy as np
import pytest
import rank_bm25
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.baselines import base
from mem_alpha.baselines import index
from mem_alpha.baselines import plain
from mem_alpha.readers import lexical
from mem_alpha.rollout import reading

TEXTS = strategies.lists(
  strategies.text('abc ', max_size=12), min_size=1, max_size=8
)


def count(words):
  return len(words.split())


def last(words, n):
  return ' '.join(words.split()[-n:])


def instance(*chunks, number=0):
  question = structs.Question('Where does Mira live?', ('Oslo',), 'k', 'exact')
  return structs.Instance(f'i{number}', 'source', chunks, (question,))


def shown(baseline, *instances, query='Where does Mira live?'):
  kept = baseline(instances)
  hits = kept.search([[query]] * len(instances))
  return [[e.text for e in row[0]] for row in hits]


class Okapi(rank_bm25.BM25Okapi):
  """The package's scores under the idf that agents use."""

  def _calc_idf(self, nd):
    for word, df in nd.items():
      self.idf[word] = np.log1p((self.corpus_size - df + 0.5) / (df + 0.5))


@hypothesis.given(TEXTS, strategies.text('abc ', max_size=10))
def test_scores_are_those_of_rank_bm25(texts, query):
  words = [text.words(t) for t in texts]
  hypothesis.assume(any(words))
  want = Okapi(words).get_scores(text.words(query))
  found = index.Index(texts)
  np.testing.assert_allclose(found.scores(query), want, atol=1e-12)
  assert (
    found.top(query, 3)
    == sorted(range(len(texts)), key=lambda d: (-found.scores(query)[d], d))[:3]
  )


def test_no_word_at_all_scores_nothing():
  assert index.Index(['', ' ']).top('a', 5) == [0, 1]
  assert index.Index([]).top('a', 5) == []


@hypothesis.given(
  strategies.lists(strategies.integers(0, 9), min_size=1, max_size=6),
  strategies.integers(1, 30),
)
def test_full_context_is_the_last_n_tokens(sizes, tokens):
  words = iter(range(100))
  chunks = [' '.join(str(next(words)) for _ in range(n)) for n in sizes]
  baseline = plain.full_context(tokens=tokens, count=count, cut=last)
  (entries,) = baseline([instance(*chunks)]).entries
  want = ' '.join(chunks).split()[-tokens:]
  assert ' '.join(e.text for e in entries).split() == want
  assert sum(e.tokens for e in entries) == len(want) <= tokens


def test_rag_shows_the_best_chunks_of_its_own_instance():
  baseline = plain.rag(k=2, count=count)
  first = instance('Tom sings.', 'Mira does live in Oslo.', 'Mira sings.')
  second = instance('It rains.', number=1)
  assert shown(baseline, first, second) == [
    ['Mira does live in Oslo.', 'Mira sings.'],
    ['It rains.'],
  ]


def test_verbatim_gives_up_the_oldest_sentences_first():
  baseline = plain.verbatim(tokens=5, k=9, count=count)
  kept = baseline([instance('One two. Three four.', 'Five six seven.')])
  assert [e.text for e in kept.entries[0]] == ['Three four.', 'Five six seven.']
  assert [e.order for e in kept.entries[0]] == [0, 1]
  assert [e.created for e in kept.entries[0]] == [0, 1]


@pytest.mark.parametrize(
  'baseline, score, tokens',
  [
    (plain.floor, 0.0, 0),
    (plain.rag(k=1, count=count), 1.0, 7),
    (plain.verbatim(tokens=5, k=1, count=count), 1.0, 5),
    (plain.full_context(tokens=2, count=count, cut=last), 0.0, 2),
  ],
)
def test_every_baseline_is_read_and_scored_like_an_agent(
  baseline, score, tokens
):
  """One reader and one scorer: only what is held differs."""
  panel = reading.Panel(lexical.Lexical())
  instances = [instance('Tom sings.', 'Mira does live in Oslo.')]
  rollouts = base.start(baseline, instances, panel, count=count)()
  assert rollouts.scores == [[score]]
  assert rollouts.memory_tokens == [tokens]
  assert rollouts.chunk_tokens == [7]
