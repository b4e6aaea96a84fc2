"""Bootstrap intervals of an evaluation, and of the difference of two.

Questions of one instance share a memory and are no independent draws, so
intervals resample whole instances; two systems are compared on the same
resampled instances. Every figure of one call uses the same resamples:

  kind/NAME          all questions of a kind
  mean               plain mean over the kinds
  source/NAME        mean over questions of an instance, then over instances
  mean_of_sources    plain mean over the sources
  mean_of_instances  plain mean over all instances
  memory_tokens      plain mean over all instances
  valid_calls        share of all calls
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mem_alpha.evals import summary


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A figure with its bootstrap interval."""

  value: float
  low: float
  high: float

  def __str__(self) -> str:
    return f'{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]'


def estimates(
  records: Sequence[summary.Record],
  *,
  seed: int,
  samples: int = 2000,
  level: float = 0.95,
) -> dict[str, Estimate]:
  """Every figure of a system with its interval, clustered by instance."""
  values, draws = _both(records, _draws(len(records), samples, seed))
  return {n: _estimate(values[n], draws[n], level) for n in values}


def differences(
  records: Sequence[summary.Record],
  others: Sequence[summary.Record],
  *,
  seed: int,
  samples: int = 2000,
  level: float = 0.95,
) -> dict[str, Estimate]:
  """Every figure of `records` minus that of `others`, paired by instance."""
  by_id = {record.instance_id: record for record in others}
  if sorted(by_id) != sorted(record.instance_id for record in records):
    raise ValueError('Two systems can be compared on the same instances only.')
  draws_SI = _draws(len(records), samples, seed)
  values, draws = _both(records, draws_SI)
  their_values, their_draws = _both(
    [by_id[r.instance_id] for r in records], draws_SI
  )
  if values.keys() != their_values.keys():
    names = [sorted(v) for v in (values, their_values)]
    raise ValueError(
      f'Two systems have scores of different kinds: {names[0]}, {names[1]}.'
    )
  return {
    n: _estimate(values[n] - their_values[n], draws[n] - their_draws[n], level)
    for n in values
  }


def _both(records, draws_SI):
  """Every figure of the instances as they are, and of each resample."""
  once_1I = np.ones((1, len(records)))
  return _figures(records, once_1I), _figures(records, draws_SI)


def _figures(records, draws_SI: np.ndarray) -> dict[str, np.ndarray]:
  """Every figure, per resample S; NaN where a resample has none of a kind."""
  kinds, total_IK, count_IK = summary.sums(records)
  by_kind_SK = _ratio(draws_SI @ total_IK, draws_SI @ count_IK)
  found = {f'kind/{k}': by_kind_SK[:, n] for n, k in enumerate(kinds)}
  found['mean'] = _plain_mean(by_kind_SK)
  asked_I = count_IK.sum(-1)
  own_I = total_IK.sum(-1) / np.maximum(asked_I, 1)
  sources = sorted({r.source for r, n in zip(records, asked_I) if n})
  member_IG = np.array(
    [
      [r.source == s and n > 0 for s in sources]
      for r, n in zip(records, asked_I)
    ]
  ).reshape(len(records), len(sources))
  by_source_SG = _ratio(
    draws_SI @ (own_I[:, None] * member_IG), draws_SI @ member_IG
  )
  found |= {f'source/{s}': by_source_SG[:, n] for n, s in enumerate(sources)}
  found['mean_of_sources'] = _plain_mean(by_source_SG)
  scored_I = asked_I > 0
  found['mean_of_instances'] = _ratio(
    draws_SI @ (own_I * scored_I), draws_SI @ scored_I
  )
  tokens_I = np.array([r.memory_tokens for r in records], float)
  found['memory_tokens'] = (draws_SI @ tokens_I) / draws_SI.sum(-1)
  calls_2I = np.array([[r.valid_calls, r.calls] for r in records], float).T
  found['valid_calls'] = _ratio(*(draws_SI @ calls_I for calls_I in calls_2I))
  return found


def _ratio(total, count) -> np.ndarray:
  return np.where(count > 0, total / np.maximum(count, 1e-9), np.nan)


def _plain_mean(values_SG: np.ndarray) -> np.ndarray:
  """Over the groups that a resample has anything of."""
  present_SG = ~np.isnan(values_SG)
  count_S = present_SG.sum(-1)
  return _ratio(np.where(present_SG, values_SG, 0).sum(-1), count_S)


def _draws(instances: int, samples: int, seed: int) -> np.ndarray:
  """How often each instance is drawn in each resample of the same size."""
  rng = np.random.default_rng(seed)
  chances = np.full(instances, 1 / instances)
  return rng.multinomial(instances, chances, size=samples).astype(float)


def _estimate(value_1, values_S: np.ndarray, level: float) -> Estimate:
  tail = (1 - level) / 2
  known_S = values_S[~np.isnan(values_S)]
  low, high = (
    np.quantile(known_S, [tail, 1 - tail]) if known_S.size else (np.nan, np.nan)
  )
  return Estimate(float(value_1.item()), float(low), float(high))
