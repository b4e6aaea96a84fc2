"""r2: the share of a turn's calls that succeeded, by structured status.

`Rules` says what counts. `DEFAULT`: every status but OK is a failure, and a
response without a call that ends with `Done` is a valid, neutral action that
earns 1; any other without a call, empty or unparsable, earns 0. `PUBLISHED` is
the published system's treatment: deleting what is not there and a call that
the length limit cut off count as successes, `Done` earns nothing, and whether
a call was skipped is read from a print of its result, which a content can
forge.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from mem_alpha import structs

SKIPPED = ('failed', 'left_out', 'published')
_SKIP_MARK = "'status': 'skipped'"


@dataclasses.dataclass(frozen=True)
class Rules:
  """What counts as a success in r2."""

  skipped: str = 'failed'  # duplicates: failed, left_out, or as published
  unknown_delete: bool = False  # a delete of what is not there succeeds
  truncated: bool = False  # a call cut off by the length limit succeeds
  done: float = 1.0  # of a turn that stores nothing on purpose

  def __post_init__(self):
    if self.skipped not in SKIPPED:
      raise ValueError(
        f'Skipped calls cannot be {self.skipped!r}: use one of {SKIPPED}.'
      )


DEFAULT = Rules()
PUBLISHED = Rules('published', unknown_delete=True, truncated=True, done=0.0)


def reward(
  calls: Sequence[structs.Call],
  statuses: Sequence[structs.Status],
  *,
  done: bool,
  rules: Rules = DEFAULT,
) -> float:
  """Reward of one turn; padding (`Status.NONE`) is no call."""
  made = [
    (call, status)
    for call, status in zip(calls, statuses, strict=True)
    if status != structs.Status.NONE
  ]
  if rules.skipped == 'left_out':
    skips = [pair for pair in made if pair[1] == structs.Status.DUPLICATE]
    made = [pair for pair in made if pair[1] != structs.Status.DUPLICATE]
    # A turn of nothing but skipped calls did no more than one that said so.
    done = done or bool(skips)
  if not made:
    return rules.done if done else 0.0
  return sum(_succeeded(*pair, rules) for pair in made) / len(made)


def _succeeded(
  call: structs.Call, status: structs.Status, rules: Rules
) -> bool:
  if status == structs.Status.OK:
    # The published test looks into the printed result, content and all.
    return rules.skipped != 'published' or _SKIP_MARK not in repr(call.content)
  if status == structs.Status.UNKNOWN_ID:
    return rules.unknown_delete and call.action == structs.Action.DELETE
  return rules.truncated and status == structs.Status.TRUNCATED


def count(turns: Iterable[Sequence[structs.Status]]) -> tuple[int, int]:
  """How many calls of some turns succeeded, and how many there were."""
  made = [
    status
    for statuses in turns
    for status in statuses
    if status != structs.Status.NONE
  ]
  return sum(status == structs.Status.OK for status in made), len(made)
