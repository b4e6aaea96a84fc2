"""Sampled turns as JSON lines, for people who want to see what was said."""

import json
import pathlib

from mem_alpha import files
from mem_alpha.rollout import record


def write(
  path: pathlib.Path,
  rollouts,
  turns,
  total_B,
  adv_B,
  credits,
  *,
  per_instance: int,
  shown: int,
) -> None:
  """One line per turn of the first rollout of `shown` instances.

  Of other rollouts, only what the memory refused. There are `per_instance`
  rollouts of an instance, one after the other; `total_B`, `adv_B` and `credits`
  are in the order of the turns.
  """
  whole = [i * per_instance for i in range(shown)]
  lines = []
  for turn, reward, adv, worth in zip(turns, total_B, adv_B, credits):
    line = record.of_turn(turn, whole=turn.row in whole)
    if line is not None:
      lines.append(
        dict(
          instance_id=rollouts.instances[turn.row].instance_id,
          rollout=turn.row % per_instance,
          **line,
          reward=float(reward),
          advantage=float(adv),
          credit=worth,
        )
      )
  files.write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))
