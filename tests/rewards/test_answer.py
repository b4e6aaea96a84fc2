"""r1: mean over the questions that could be scored."""

import math

from mem_alpha.rewards import answer


def test_a_failed_reader_is_counted_not_punished():
  assert answer.reward([1.0, None, 0.0, None]) == (0.5, 2)
  assert answer.reward([0.25]) == (0.25, 0)


def test_without_any_score_there_is_no_reward():
  mean, excluded = answer.reward([None, None])
  assert math.isnan(mean) and excluded == 2
