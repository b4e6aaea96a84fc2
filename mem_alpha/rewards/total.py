"""r = r1 + calls r2 + compression r3 + content r4, by `Weights`.

One reward per turn. r1 and r3 belong to a rollout and are the same for all its
turns. All parts are kept, unweighted, for the log.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
  """Weights of r2, r3 (beta) and r4 (gamma); r1 has weight 1."""

  calls: float = 1.0
  compression: float
  content: float

  def __post_init__(self):
    for name, value in dataclasses.asdict(self).items():
      if not math.isfinite(value):
        raise ValueError(f'Reward weight {name} is {value}: must be finite.')


@dataclasses.dataclass(frozen=True)
class Rewards:
  """Rewards of B turns: the sum and its parts, NaN where there is none."""

  total_B: np.ndarray
  answer_B: np.ndarray
  calls_B: np.ndarray
  compression_B: np.ndarray
  content_B: np.ndarray

  @property
  def usable_B(self) -> np.ndarray:
    """False where no question of the rollout could be scored."""
    return np.isfinite(self.total_B)

  def means(self) -> dict[str, float]:
    """Mean of each part over the turns that have it; absent if none has."""
    means = {}
    for name, values_B in vars(self).items():
      present = values_B[np.isfinite(values_B)]
      if present.size:
        means[f'reward/{name.removesuffix("_B")}'] = float(present.mean())
    return means


def combine(
  weights: Weights, *, answer, calls, compression, content
) -> Rewards:
  """Adds the parts, each with a number per turn.

  A turn that stored nothing has no content score (None or NaN): the term is
  left out of its sum and the turn out of the mean.
  """
  parts = [
    np.asarray(part, np.float64)  # None becomes NaN
    for part in (answer, calls, compression, content)
  ]
  if len({part.shape for part in parts}) > 1:
    raise ValueError(
      f'Reward parts differ in shape: {[part.shape for part in parts]}.'
    )
  answer_B, calls_B, compression_B, content_B = parts
  total_B = (
    answer_B
    + weights.calls * calls_B
    + weights.compression * compression_B
    + weights.content * np.nan_to_num(content_B)
  )
  return Rewards(total_B, *parts)
