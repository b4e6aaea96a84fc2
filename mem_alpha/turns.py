"""Sampled turns as JSON lines, for people who want to see what was said."""

import json
import pathlib

from mem_alpha import files


def write(
  path: pathlib.Path, rollouts, turns, total_B, adv_B, credits, *, shown
) -> None:
  """One line per turn of the rows in `shown`, which maps them to a number.

  That number is the rollout's among those of its instance. Prompts stay out:
  they quote the source. `total_B`, `adv_B` and `credits` are in the order of
  the turns.
  """
  lines = [
    dict(
      instance_id=rollouts.instances[turn.row].instance_id,
      rollout=shown[turn.row],
      chunk=turn.chunk,
      prompt_tokens=len(turn.prompt),
      response=turn.text,
      response_ids=list(turn.response.tokens),
      finished=turn.response.finished,
      statuses=[status.name for status in turn.statuses],
      reward=float(reward),
      advantage=float(adv),
      credit=worth,
    )
    for turn, reward, adv, worth in zip(turns, total_B, adv_B, credits)
    if turn.row in shown
  ]
  files.write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))
