"""What the records of several systems show: intervals, losses, costs, gains.

Plain JSON for summary.json and the report. Every gain is a paired comparison
on the same instances and questions; one whose interval holds 0 shows nothing.
Instances that one of two systems failed on are left out of their comparison,
and questions that either could not be scored on count for neither.
"""

import dataclasses
import math
from collections.abc import Mapping

from mem_alpha.evals import collect
from mem_alpha.evals import intervals
from mem_alpha.evals import losses


def facts(
  found: Mapping[str, collect.Evaluation], *, seed: int
) -> dict[str, dict]:
  """By system: `intervals`, `losses`, `costs`; and `comparisons` of pairs."""
  return {
    'intervals': {
      system: _plain(intervals.estimates(own.records, seed=seed))
      for system, own in found.items()
    },
    'losses': {
      system: losses.count(own.predictions) for system, own in found.items()
    },
    'costs': {system: _costs(own) for system, own in found.items()},
    'comparisons': comparisons(found, seed=seed),
  }


def comparisons(
  found: Mapping[str, collect.Evaluation], *, seed: int
) -> dict[str, dict]:
  """GRPO minus each other system, with 95 % intervals, paired by instance.

  The mean over the kinds, and under `by_figure` each figure of intervals.py.
  """
  if 'grpo' not in found:
    return {}
  return {
    f'grpo_minus_{system}': gain(found['grpo'], other, seed=seed)
    for system, other in found.items()
    if system != 'grpo'
  }


def gain(
  ours: collect.Evaluation, theirs: collect.Evaluation, *, seed: int
) -> dict:
  """`ours` minus `theirs`."""
  scores = [_scores(own) for own in (ours, theirs)]
  ids = scores[0].keys() & scores[1].keys()
  pairs = {name: _both(scores[0][name], scores[1][name]) for name in ids}
  records = [
    [
      dataclasses.replace(r, scores=pairs[r.instance_id][side])
      for r in own.records
      if r.instance_id in ids
    ]
    for side, own in enumerate((ours, theirs))
  ]
  gains = _plain(intervals.differences(*records, seed=seed))
  lost = len(ours.failed.keys() | theirs.failed.keys())
  return gains['mean'] | {'by_figure': gains, 'left_out_instances': lost}


def _scores(own: collect.Evaluation) -> dict[str, list[tuple]]:
  """Per instance: kind and score of each question."""
  found = {record.instance_id: [] for record in own.records}
  for p in own.predictions:
    found[p['instance_id']].append((p['kind'], p['score']))
  return found


def _both(ours: list[tuple], theirs: list[tuple]) -> tuple[dict, dict]:
  """Scores by kind, of the questions that both have a score of."""
  found = {}, {}
  for (kind, one), (_, other) in zip(ours, theirs, strict=True):
    if one is not None and other is not None:
      for part, value in zip(found, (one, other)):
        part.setdefault(kind, []).append(value)
  return found


def _costs(own: collect.Evaluation) -> dict[str, int]:
  """Sums over instances, and what could not be scored."""
  records = own.records
  return {
    'response_tokens': sum(r.response_tokens for r in records),
    'reader_calls': sum(r.reader_calls for r in records),
    'chunk_tokens': sum(r.chunk_tokens for r in records),
    'excluded_questions': sum(r.excluded for r in records),
    'failed_instances': len(own.failed),
  }


def _plain(estimates: Mapping[str, intervals.Estimate]) -> dict[str, dict]:
  # JSON has no NaN: what there is nothing of is null.
  return {
    name: {
      key: value if math.isfinite(value) else None
      for key, value in dataclasses.asdict(estimate).items()
    }
    for name, estimate in estimates.items()
  }
