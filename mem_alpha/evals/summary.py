"""Means of an evaluation, its table and summary.json.

A system (the untrained model, the trained one, a baseline) has one `Record`
per instance. Scores are averaged over all questions of a kind, then over the
kinds, each counting the same. Their intervals are made in intervals.py.
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
  source: str = ''
  chunk_tokens: int = 0  # of what was read
  response_tokens: int = 0  # sampled, or written by a script
  reader_calls: int = 0  # questions asked, searches of a model included


def summarise(records: Sequence[Record]) -> dict[str, float]:
  """One row of the result table; NaN where there is nothing to average."""
  kinds, total_IK, count_IK = sums(records)
  means_K = total_IK.sum(0) / count_IK.sum(0)
  summary = dict(zip(kinds, means_K.tolist()))
  summary['mean'] = float(means_K.mean()) if kinds else math.nan
  summary['valid_calls'] = _share(records, 'valid_calls', 'calls')
  summary['fidelity'] = _share(records, 'grounded_contents', 'contents')
  summary['memory_tokens'] = float(np.mean([r.memory_tokens for r in records]))
  return summary


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


def sums(
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


def _finite(value: float) -> float | None:
  # JSON has no NaN: a share of nothing is null.
  return value if math.isfinite(value) else None
