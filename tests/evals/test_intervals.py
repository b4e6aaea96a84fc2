"""Figures by kind and source; the interval itself is in test_summary.py."""

import numpy as np
import pytest

from mem_alpha.evals import intervals
from mem_alpha.evals import summary


def record(number, scores, source='a', tokens=100):
  return summary.Record(f'i{number}', scores, 1, 1, 1, 1, tokens, source=source)


RECORDS = [
  record(0, {'x': [1.0, 1.0], 'y': [0.0]}),
  record(1, {'x': [0.0]}, tokens=40),
  record(2, {'y': [0.5, 0.5]}, source='b'),
  record(3, {}, source='b'),
]


def test_each_figure_is_the_mean_that_it_names():
  values = {
    name: estimate.value
    for name, estimate in intervals.estimates(RECORDS, seed=0).items()
  }
  assert values == pytest.approx(
    {
      'kind/x': 2 / 3,
      'kind/y': 1 / 3,
      'mean': 1 / 2,
      'source/a': (2 / 3 + 0) / 2,
      'source/b': 0.5,
      'mean_of_sources': (1 / 3 + 0.5) / 2,
      'mean_of_instances': (2 / 3 + 0 + 0.5) / 3,
      'memory_tokens': 85,
      'valid_calls': 1,
    }
  )
  assert values['mean'] == summary.summarise(RECORDS)['mean']


def test_resamples_equal_instances_drawn_and_averaged_by_hand():
  draws_SI = intervals._draws(4, 50, seed=3)
  figures = intervals._figures(RECORDS, draws_SI)
  for s, draw_I in enumerate(draws_SI.astype(int)):
    drawn = [r for r, n in zip(RECORDS, draw_I) for _ in range(n)]
    for kind in ('x', 'y'):
      scores = [v for r in drawn for v in r.scores.get(kind, ())]
      want = np.mean(scores) if scores else np.nan
      np.testing.assert_allclose(figures[f'kind/{kind}'][s], want)
    own = [
      np.mean([v for row in r.scores.values() for v in row])
      for r in drawn
      if r.scores
    ]
    want = np.mean(own) if own else np.nan
    np.testing.assert_allclose(figures['mean_of_instances'][s], want)


def test_differences_are_zero_against_oneself_and_paired_by_id():
  same = intervals.differences(RECORDS, RECORDS[::-1], seed=0)
  assert all((d.value, d.low, d.high) == (0, 0, 0) for d in same.values())
