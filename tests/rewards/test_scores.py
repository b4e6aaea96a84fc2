"""Scores against examples by hand and simple properties."""

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha.rewards import scores


@pytest.mark.parametrize(
  'metric, prediction, golds, expected',
  [
    ('exact', 'The  Eiffel Tower!', ['eiffel tower'], 1),
    ('exact', 'Eiffel Tower in Paris', ['Eiffel Tower'], 0),
    ('exact', 'Paris', ['London', 'paris.'], 1),
    ('exact', 'A', ['A'], 1),  # a label, not an article
    ('exact', 'A', ['The'], 0),
    ('exact', 'theatre', ['atre'], 0),  # articles are whole words
    ('token_f1', 'the red old house', ['red house'], 0.8),
    ('token_f1', 'red red', ['red house red'], 0.8),
    ('token_f1', 'blue', ['red house'], 0),
    ('token_f1', 'red', ['blue', 'red house', 'red'], 1),
    ('substring', 'It was the U.S. Army.', ['US army'], 1),
    ('substring', 'army', ['US army'], 0),
    ('keywords', 'A tale of the sea, and War', ['war, sea,love; tale'], 0.75),
    ('keywords', 'seaside', ['sea'], 0),
    ('keywords', 'anything', [', ;'], 0),
  ],
)
def test_scores_by_hand(metric, prediction, golds, expected):
  assert scores.score(metric, prediction, golds) == pytest.approx(expected)


@pytest.mark.parametrize('metric', ['exact', 'token_f1', 'substring'])
@pytest.mark.parametrize('empty', ['', '  \n'])
def test_an_empty_prediction_scores_nothing(metric, empty):
  assert scores.score(metric, empty, ['', 'a']) == 0


@hypothesis.settings(deadline=None)
@hypothesis.given(
  strategies.sampled_from(['exact', 'token_f1', 'substring', 'keywords']),
  strategies.text(max_size=20),
  strategies.lists(strategies.text(max_size=20), min_size=1, max_size=3),
)
def test_scores_are_shares_and_the_best_gold_counts(metric, prediction, golds):
  whole = scores.score(metric, prediction, golds)
  assert 0 <= whole <= 1
  assert whole == max(scores.score(metric, prediction, [g]) for g in golds)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.text(min_size=1, max_size=20))
def test_the_gold_itself_is_right(gold):
  hypothesis.assume(gold.strip())
  for metric in ('exact', 'token_f1', 'substring'):
    assert scores.score(metric, gold, [gold]) == 1


def test_pasting_more_text_does_not_pay():
  gold = ['Lisbon']
  pasted = 'Lisbon and a whole lot of other text'
  assert scores.score('exact', pasted, gold) == 0
  assert scores.score('token_f1', pasted, gold) < 0.4


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match="No metric 'f1'.*token_f1"):
    scores.score('f1', 'a', ['a'])
  for golds in ([], 'a text'):
    with pytest.raises(ValueError, match='no list of accepted answers'):
      scores.score('exact', 'a', golds)
