"""Means, intervals, table and summary.json."""

import json
import math

import numpy as np
import pytest

from mem_alpha.evals import intervals
from mem_alpha.evals import summary


def record(number, scores, **options):
  values = {
    'calls': 4,
    'valid_calls': 3,
    'contents': 2,
    'grounded_contents': 1,
    'memory_tokens': 100,
    **options,
  }
  return summary.Record(f'instance {number}', scores, **values)


def noisy(count, seed, gain=0.0, per_instance=8):
  """Scores that vary from instance to instance, not within."""
  rng = np.random.default_rng(seed)
  return [
    record(i, {'a': [level + gain] * per_instance})
    for i, level in enumerate(rng.uniform(0.2, 0.6, count))
  ]


def test_questions_are_averaged_by_kind_and_kinds_count_the_same():
  records = [
    record(0, {'a': [1.0, 0.0, 1.0], 'b': [0.0]}),
    record(1, {'a': [1.0], 'b': []}, memory_tokens=50, calls=0, valid_calls=0),
    record(2, {'b': [0.5]}, contents=0, grounded_contents=0),
  ]
  assert summary.summarise(records) == pytest.approx(
    {
      'a': 0.75,
      'b': 0.25,
      'mean': 0.5,
      'valid_calls': 6 / 8,
      'fidelity': 2 / 4,
      'memory_tokens': 250 / 3,
    }
  )


def test_shares_of_nothing_are_nan():
  idle = {'calls': 0, 'valid_calls': 0, 'contents': 0, 'grounded_contents': 0}
  row = summary.summarise([record(0, {'a': [0.0]}, **idle)])
  assert math.isnan(row['valid_calls']) and math.isnan(row['fidelity'])
  assert math.isnan(summary.summarise([record(0, {})])['mean'])


def test_the_interval_is_as_wide_as_theory_says():
  records = noisy(100, seed=0)
  estimate = intervals.estimates(records, seed=1)['mean']
  levels = [r.scores['a'][0] for r in records]
  error = np.std(levels) / np.sqrt(len(levels))
  assert estimate.value == pytest.approx(np.mean(levels))
  assert estimate.low == pytest.approx(np.mean(levels) - 1.96 * error, abs=5e-3)
  assert estimate.high == pytest.approx(
    np.mean(levels) + 1.96 * error, abs=5e-3
  )


def test_more_questions_per_instance_do_not_narrow_the_interval():
  few, many = noisy(50, 0, per_instance=1), noisy(50, 0, per_instance=100)
  few, many = (
    intervals.estimates(records, seed=0)['mean'] for records in (few, many)
  )
  assert (few.low, few.high) == pytest.approx((many.low, many.high))


def test_a_paired_difference_is_sharper_than_two_intervals():
  before, after = noisy(50, seed=0), noisy(50, seed=0, gain=0.03)
  gain = intervals.differences(after, before[::-1], seed=0)['mean']
  assert gain.value == pytest.approx(0.03)
  assert gain.low == pytest.approx(0.03) and gain.high == pytest.approx(0.03)
  assert intervals.estimates(after, seed=0)['mean'].low < np.mean(
    [r.scores['a'][0] for r in before]
  )
  assert str(gain) == '0.030 [0.030, 0.030]'


def test_an_interval_depends_on_its_seed_alone():
  records = noisy(20, seed=0)
  first, again = (
    intervals.estimates(records, seed=3)['mean'] for _ in range(2)
  )
  assert first == again != intervals.estimates(records, seed=4)['mean']


def test_a_kind_in_one_instance_only_may_be_missing_from_a_resample():
  records = [record(i, {'a': [0.5]}) for i in range(9)]
  records.append(record(9, {'a': [0.5], 'rare': [0.5]}))
  estimate = intervals.estimates(records, seed=0)['mean']
  assert (estimate.low, estimate.value, estimate.high) == (0.5, 0.5, 0.5)


def test_unlike_systems_are_not_compared():
  one, two = [record(0, {'a': [1.0]})], [record(1, {'a': [1.0]})]
  with pytest.raises(ValueError, match='same instances'):
    intervals.differences(one, two, seed=0)
  with pytest.raises(ValueError, match='different kinds'):
    intervals.differences(one, [record(0, {'b': [1.0]})], seed=0)
  with pytest.raises(ValueError, match='no record'):
    summary.summarise([])


ROWS = {
  'no_memory': {'a': 0.0, 'mean': 0.0, 'fidelity': math.nan},
  'grpo': {'a': 0.75, 'b': 0.5, 'mean': 0.625, 'memory_tokens': 98.24},
}


def test_the_table_is_aligned():
  assert summary.table(ROWS) == (
    '               a      b   mean  fidelity  memory_tokens\n'
    'no_memory  0.000      -  0.000         -              -\n'
    'grpo       0.750  0.500  0.625         -           98.2'
  )


def test_summary_json_is_strict(tmp_path):
  path = tmp_path / 'summary.json'
  summary.write(path, ROWS, seed=0, seconds=12.5)

  def refuse(constant):
    raise AssertionError(constant)

  value = json.loads(path.read_text(), parse_constant=refuse)
  assert value['seed'] == 0 and value['seconds'] == 12.5
  assert value['grpo'] == ROWS['grpo']
  assert value['no_memory']['fidelity'] is None
  with pytest.raises(ValueError, match=r"\['grpo'\] name both"):
    summary.write(path, ROWS, grpo=1)
