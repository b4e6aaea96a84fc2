"""r2: the share of a turn's calls that succeeded.

A duplicate counts as failed: it changes nothing. A response without a call
that ends with `Done` is a valid, neutral action and earns 1; any other without
a call, empty or unparsable, earns 0.
"""

from collections.abc import Iterable, Sequence

from mem_alpha import structs


def reward(statuses: Sequence[structs.Status], *, done: bool) -> float:
  """Reward of one turn; padding (`Status.NONE`) is no call."""
  valid, calls = count([statuses])
  if not calls:
    return float(done)
  return valid / calls


def count(turns: Iterable[Sequence[structs.Status]]) -> tuple[int, int]:
  """How many calls of some turns succeeded, and how many there were."""
  made = [
    status
    for statuses in turns
    for status in statuses
    if status != structs.Status.NONE
  ]
  return sum(status == structs.Status.OK for status in made), len(made)
