"""r1: how well a reader answers from the final memory.

A question whose reader or judge failed has no score (None). It is left out and
counted, never taken for a wrong answer.
"""

import math
from collections.abc import Sequence


def reward(scores: Sequence[float | None]) -> tuple[float, int]:
  """Mean over the scored questions, and how many were left out.

  NaN if no question has a score: such a rollout teaches nothing, and its
  turns get no weight (see `total.Rewards.usable_B`).
  """
  scored = [score for score in scores if score is not None]
  mean = sum(scored) / len(scored) if scored else math.nan
  return mean, len(scores) - len(scored)
