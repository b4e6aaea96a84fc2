"""Every wrong answer is in one class, and the classes are what they say."""

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha.baselines import base
from mem_alpha.baselines import plain
from mem_alpha.evals import collect
from mem_alpha.evals import losses
from mem_alpha.readers import lexical
from mem_alpha.rollout import reading

FACT, OTHER = 'Mira does live in Oslo.', 'Tom sings.'


def question(gold='Oslo', metric='exact'):
  return structs.Question('Where does Mira live?', (gold,), 'k', metric)


@pytest.mark.parametrize(
  'chunks, stored, shown, want',
  [
    ([OTHER], [FACT], [FACT], 'not_in_text'),
    ([FACT], [OTHER], [], 'not_stored'),
    ([FACT], [OTHER, FACT], [OTHER], 'not_retrieved'),
    ([FACT], [OTHER, FACT], [FACT], 'misread'),
  ],
)
def test_the_first_step_without_the_answer_is_the_class(
  chunks, stored, shown, want
):
  found = losses.classify(question(), chunks=chunks, stored=stored, shown=shown)
  assert found == want


@pytest.mark.parametrize(
  'gold, metric, texts, held',
  [
    ('Oslo Bay', 'exact', ['Oslo', 'the Bay'], False),
    ('Oslo Bay', 'exact', ['in OSLO Bay!'], True),
    ('Oslo Bay', 'token_f1', ['Bay', 'the Oslo'], True),
    ('red; green', 'keywords', ['green', 'a red'], True),
    ('May 1, 2020; red', 'phrases', ['red on May 1, 2020'], True),
    ('art', 'exact', ['a party'], False),
  ],
)
def test_parts_may_stand_apart_only_where_parts_are_scored(
  gold, metric, texts, held
):
  found = losses.classify(
    question(gold, metric), chunks=texts, stored=[], shown=[]
  )
  assert found == ('not_stored' if held else 'not_in_text')


WORDS = strategies.lists(
  strategies.sampled_from(['Mira', 'live', 'Oslo', 'Rome', 'Tom', 'sings']),
  min_size=1,
  max_size=6,
)


@hypothesis.given(
  strategies.lists(WORDS, min_size=1, max_size=4),
  strategies.sampled_from(['Oslo', 'Rome', 'Tom sings']),
  strategies.sampled_from(['exact', 'token_f1']),
  strategies.integers(0, 8),
)
def test_lost_points_and_the_score_sum_to_one(chunks, gold, metric, tokens):
  """100 % of what is wrong is accounted for, whatever system it was."""
  instance = structs.Instance(
    'i', 's', tuple(' '.join(c) for c in chunks), (question(gold, metric),) * 3
  )

  def count(words):
    return len(words.split())

  baseline = plain.verbatim(tokens=max(1, tokens), k=1, count=count)
  panel = reading.Panel(lexical.Lexical())
  rollouts = base.start(baseline, [instance], panel, count=count)()
  lines = collect.lines(rollouts, None, explain=True)
  predictions = lines[0]['predictions']
  lost = losses.count(predictions)
  mean = sum(p['score'] for p in predictions) / 3
  total = sum(own['points'] for own in lost.values())
  assert mean + total == pytest.approx(1)
  wrong = sum(p['score'] < 1 for p in predictions)
  assert wrong == sum(own['answers'] for own in lost.values())
