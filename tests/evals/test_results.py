"""Gains are paired by instance and question; nothing is left out silently."""

import pytest

from mem_alpha.evals import collect
from mem_alpha.evals import results
from mem_alpha.evals import summary


def evaluation(scores, failed=()):
  """{instance: [score or None, …]}, all of one kind."""
  records = [
    summary.Record(
      name, {'k': [s for s in own if s is not None]}, 1, 1, 1, 1, 9, source='s'
    )
    for name, own in scores.items()
  ]
  predictions = [
    dict(instance_id=name, kind='k', score=s, loss='misread')
    for name, own in scores.items()
    for s in own
  ]
  return collect.Evaluation(records, predictions, dict.fromkeys(failed, 'no'))


def test_a_question_without_a_score_counts_for_neither():
  ours = evaluation({'a': [1.0, 0.0], 'b': [1.0, 1.0]})
  theirs = evaluation({'a': [1.0, None], 'b': [1.0, 1.0]})
  gain = results.gain(ours, theirs, seed=0)
  assert (gain['value'], gain['low'], gain['high']) == (0, 0, 0)
  assert gain['left_out_instances'] == 0


def test_a_failed_instance_counts_for_neither_and_is_counted():
  ours = evaluation({'a': [1.0], 'b': [0.5]})
  theirs = evaluation({'a': [0.0]}, failed=['b'])
  gain = results.gain(ours, theirs, seed=0)
  assert gain['value'] == 1 and gain['left_out_instances'] == 1
  found = results.facts({'x': ours, 'grpo': theirs}, seed=0)
  assert found['comparisons']['grpo_minus_x']['value'] == -1
  assert found['costs']['grpo']['failed_instances'] == 1
  assert found['losses']['x']['misread'] == {'answers': 1, 'points': 0.25}


def test_the_interval_excludes_zero_only_for_what_holds_throughout():
  names = [f'i{n}' for n in range(40)]
  base = evaluation({name: [0.5, 0.5] for name in names})
  better = evaluation({name: [0.6, 0.6] for name in names})
  mixed = evaluation(
    {name: [1.0, 0.0] if n % 2 else [0.0] * 2 for n, name in enumerate(names)}
  )
  gain = results.gain(better, base, seed=0)
  assert gain['low'] == pytest.approx(0.1) and gain['low'] > 0
  noise = results.gain(
    mixed, evaluation({n: [0.25] * 2 for n in names}), seed=0
  )
  assert noise['low'] < 0 < noise['high']


def test_without_grpo_there_is_nothing_to_compare():
  assert not results.comparisons({'x': evaluation({'a': [1.0]})}, seed=0)
