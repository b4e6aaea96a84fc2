"""Each published defect, and that the default does not have it."""

import pytest

from mem_alpha.rewards import published
from mem_alpha.rewards import scores


def both(metric, prediction, golds, profile='reference'):
  return (
    scores.score(metric, prediction, golds),
    scores.score(metric, prediction, golds, profile=profile),
  )


@pytest.mark.parametrize(
  'metric, prediction, golds, default, reference',
  [
    # Only the first gold counts; punctuation counts.
    ('contains', 'in Oslo', ['Rome', 'Oslo'], 1, 0),
    ('contains', 'the U.S. Army', ['US army'], 1, 0),
    ('contains', 'In OSLO.', ['oslo'], 1, 1),
    # The case bug: several keywords, an answer with capitals.
    ('phrases', 'Rome and tea', ['Rome; Tea'], 1, 0.5),
    ('phrases', 'ROME', ['rome'], 1, 1),
    # Inside words.
    ('keywords', 'seaside wars', ['sea, war'], 0, 1),
    ('keywords', 'sea', ['sea,'], 1, 1),  # the empty keyword is everywhere
    # Digits only, and the print of a list.
    ('boxed', '\\boxed{tea}', ['tea'], 1, 0),
    ('boxed', '\\boxed{7}', ['7', '8'], 1, 0),
    ('boxed', '"7"', ['7'], 1, 1),
    # An empty gold occurs everywhere.
    ('substring', 'anything', ['The'], 0, 1),
    ('substring', 'Well. ANSWER: the Big dog\nno', ['big dog'], 1, 1),
    ('substring', '', ['dog'], 0, 0),
    # Only what follows the thoughts.
    ('contains', '<think>Oslo</think>Rome', ['Oslo'], 0, 0),
    # A metric that the published system does not have.
    ('token_f1', 'the red old house', ['red house'], 0.8, 0.8),
  ],
)
def test_published_beside_fixed(metric, prediction, golds, default, reference):
  found = both(metric, prediction, golds)
  assert found == pytest.approx((default, reference))


def test_the_evaluator_parts_keywords_and_lists_otherwise():
  golds = ['sea,war, love']
  text = 'sea war'
  assert scores.score('keywords', text, golds, profile='reference') == 2 / 3
  assert scores.score('keywords', text, golds, profile='reference_eval') == 0
  golds = ['7', '8']
  assert scores.score('boxed', '7', golds, profile='reference') == 0
  assert scores.score('boxed', '7', golds, profile='reference_eval') == 1
  # What was printed as a list is found by its print alone.
  text = "\\boxed{['7', '8']}"
  assert scores.score('boxed', text, golds, profile='reference') == 0


@pytest.mark.parametrize(
  'reply, expected',
  [
    ('Yes.', True),
    ('no', False),
    ('Yes, as far as I know', False),  # the letters of no
    ('<think>no</think>yes', True),
    ('maybe', False),
  ],
)
def test_yes_of_the_published_judge(reply, expected):
  assert published.yes(reply) == expected
