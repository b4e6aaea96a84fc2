"""r1 per chunk: sums are kept, and credit goes where the evidence is."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rewards import dense

CHUNKS = ('Ann lives in Oslo.', 'Nothing new.', 'Ann now lives in Rome; tea.')
SEMANTIC = structs.Kind.SEMANTIC


def question(*answers):
  return structs.Question('?', answers, 'a', 'exact')


@pytest.mark.parametrize(
  'answers, expected',
  [
    (('oslo',), (0,)),
    (('Ann',), (0, 2)),
    (('Oslo', 'Rome'), (0, 2)),
    (('tea',), (2,)),
    (('os',), ()),  # whole words
    (('Bern',), ()),
  ],
)
def test_what_a_question_is_about(answers, expected):
  assert dense.about(question(*answers), CHUNKS) == expected


def test_per_chunk_by_hand():
  values = dense.per_chunk(
    [1.0, 0.0, None, 0.5], [(0,), (0, 2), (1,), ()], num_chunks=3
  )
  assert values == [0.5, 0.5, 0.0]  # chunk 1 gets the mean of all
  assert all(map(math.isnan, dense.per_chunk([None], [(0,)], 2)))


def test_evidence_by_hand():
  chunk_of = {(SEMANTIC, 0): 0, (SEMANTIC, 1): 2}
  answers = [
    structs.Answer('a', ((SEMANTIC, 0), (SEMANTIC, 1))),
    structs.Answer('b', ((SEMANTIC, 1),)),
    structs.Answer('c'),  # from nowhere
    structs.Answer('d', ((SEMANTIC, 0),)),
  ]
  values = dense.by_evidence([1.0, 0.5, 0.75, None], answers, chunk_of, 3)
  np.testing.assert_allclose(
    values, [0.5 + 0.25, 0.25, 0.5 + 0.5 + 0.25], atol=1e-12
  )


@hypothesis.given(
  strategies.lists(
    strategies.tuples(
      strategies.one_of(strategies.none(), strategies.floats(0, 1)),
      strategies.lists(strategies.integers(0, 5), max_size=4),
    ),
    min_size=1,
  ),
  strategies.integers(1, 6),
)
def test_evidence_sums_to_the_reward_of_the_episode(questions, chunks):
  scores = [score for score, _ in questions]
  answers = [
    structs.Answer('x', tuple((SEMANTIC, uid) for uid in uids))
    for _, uids in questions
  ]
  chunk_of = {(SEMANTIC, uid): uid for uid in range(chunks)}
  values = dense.by_evidence(scores, answers, chunk_of, chunks)
  r1, _ = answer_reward.reward(scores)
  np.testing.assert_allclose(np.mean(values), r1, atol=1e-12)
