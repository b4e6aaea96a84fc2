"""Means and intervals of an evaluation, its table and summary.json.

A system (the untrained model, the trained one, a baseline) has one `Record`
per instance. Scores are averaged over all questions of a kind, then over the
kinds, each counting the same. Questions of one instance share a memory and are
no independent draws, so intervals resample whole instances; two systems are
compared on the same resampled instances.
"""

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from mem_alpha import files

_LAST = ('mean', 'valid_calls', 'fidelity', 'memory_tokens')


@dataclasses.dataclass(frozen=True)
class Record:
  """What one system did with one instance.

  `scores` maps a kind of question to the scores of its questions; those that
  could not be scored are left out and counted in `excluded`.
  """

  instance_id: str
  scores: Mapping[str, Sequence[float]]
  calls: int
  valid_calls: int
  contents: int  # accepted inserts and updates
  grounded_contents: int
  memory_tokens: int
  excluded: int = 0


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A figure with its bootstrap interval."""

  value: float
  low: float
  high: float

  def __str__(self) -> str:
    return f'{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]'


def summarise(records: Sequence[Record]) -> dict[str, float]:
  """One row of the result table; NaN where there is nothing to average."""
  kinds, total_IK, count_IK = _sums(records)
  means_K = total_IK.sum(0) / count_IK.sum(0)
  summary = dict(zip(kinds, means_K.tolist()))
  summary['mean'] = float(means_K.mean()) if kinds else math.nan
  summary['valid_calls'] = _share(records, 'valid_calls', 'calls')
  summary['fidelity'] = _share(records, 'grounded_contents', 'contents')
  summary['memory_tokens'] = float(np.mean([r.memory_tokens for r in records]))
  return summary


def interval(
  records: Sequence[Record],
  *,
  seed: int,
  samples: int = 2000,
  level: float = 0.95,
) -> Estimate:
  """The mean over kinds and its interval, clustered by instance."""
  _, total_IK, count_IK = _sums(records)
  draws_SI = _draws(len(records), samples, seed)
  values_S = _mean_over_kinds(draws_SI, total_IK, count_IK)
  value = _mean_over_kinds(np.ones((1, len(records))), total_IK, count_IK)
  return _estimate(value, values_S, level)


def difference(
  records: Sequence[Record],
  others: Sequence[Record],
  *,
  seed: int,
  samples: int = 2000,
  level: float = 0.95,
) -> Estimate:
  """Mean of `records` minus mean of `others`, paired by instance."""
  by_id = {record.instance_id: record for record in others}
  if sorted(by_id) != sorted(record.instance_id for record in records):
    raise ValueError('Two systems can be compared on the same instances only.')
  kinds, *ours = _sums(records)
  their_kinds, *theirs = _sums([by_id[r.instance_id] for r in records])
  if kinds != their_kinds:
    raise ValueError(
      f'Two systems have scores of different kinds: {kinds}, {their_kinds}.'
    )
  draws_SI = _draws(len(records), samples, seed)
  all_1I = np.ones((1, len(records)))
  value, values_S = (
    _mean_over_kinds(draws, *ours) - _mean_over_kinds(draws, *theirs)
    for draws in (all_1I, draws_SI)
  )
  return _estimate(value, values_S, level)


def columns(rows: Mapping[str, Mapping[str, float]]) -> list[str]:
  """Columns of a table: the kinds in order of appearance, then the rest."""
  names = dict.fromkeys(name for row in rows.values() for name in row)
  kinds = [name for name in names if name not in _LAST]
  return kinds + [name for name in _LAST if name in names]


def cell(column: str, value: float | None) -> str:
  """A figure as the tables show it; a dash where there is none."""
  if value is None or not math.isfinite(value):
    return '-'
  return f'{value:.1f}' if column == 'memory_tokens' else f'{value:.3f}'


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
  """Rows of `summarise` by system, as text with aligned columns."""
  names = columns(rows)
  lines = [['', *names]]
  for system, row in rows.items():
    lines.append([system, *(cell(name, row.get(name)) for name in names)])
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join(
    '  '.join(
      [first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]
    ).rstrip()
    for first, *rest in lines
  )


def write(
  path: str | os.PathLike,
  rows: Mapping[str, Mapping[str, float]],
  **facts: object,
) -> None:
  """Writes summary.json: the rows by system, then facts such as the seed."""
  taken = rows.keys() & facts.keys()
  if taken:
    raise ValueError(f'{sorted(taken)} name both a system and a fact.')
  value = {
    system: {key: _finite(figure) for key, figure in row.items()}
    for system, row in rows.items()
  }
  files.write_text(path, json.dumps({**value, **facts}, indent=2) + '\n')


def _sums(
  records: Sequence[Record],
) -> tuple[list[str], np.ndarray, np.ndarray]:
  """Kinds K, and per instance I the sum and the number of their scores."""
  if not records:
    raise ValueError('There is no record to summarise.')
  kinds = sorted({k for r in records for k, s in r.scores.items() if len(s)})
  scores = [[record.scores.get(k, ()) for k in kinds] for record in records]
  total_IK = np.array([[float(sum(s)) for s in row] for row in scores])
  count_IK = np.array([[len(s) for s in row] for row in scores], float)
  return kinds, total_IK, count_IK


def _share(records: Sequence[Record], part: str, whole: str) -> float:
  total = sum(getattr(record, whole) for record in records)
  good = sum(getattr(record, part) for record in records)
  return good / total if total else math.nan


def _draws(instances: int, samples: int, seed: int) -> np.ndarray:
  """How often each instance is drawn in each resample of the same size."""
  rng = np.random.default_rng(seed)
  chances = np.full(instances, 1 / instances)
  return rng.multinomial(instances, chances, size=samples).astype(float)


def _mean_over_kinds(draws_SI, total_IK, count_IK) -> np.ndarray:
  """Per resample: the mean over the kinds that it holds a question of."""
  total_SK, count_SK = draws_SI @ total_IK, draws_SI @ count_IK
  means_SK = total_SK / np.maximum(count_SK, 1)
  present_SK = count_SK > 0
  return np.where(present_SK, means_SK, 0).sum(-1) / np.maximum(
    present_SK.sum(-1), 1
  )


def _estimate(value, values_S: np.ndarray, level: float) -> Estimate:
  tail = (1 - level) / 2
  low, high = np.quantile(values_S, [tail, 1 - tail])
  return Estimate(float(value.item()), float(low), float(high))


def _finite(value: float) -> float | None:
  # JSON has no NaN: a share of nothing is null.
  return value if math.isfinite(value) else None
