"""Rollouts of one step that were sampled in several batches.

A wave's questions are answered while the next wave is sampled: so reading is
hidden even where all rollouts end at the same chunk.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from mem_alpha.readers import base
from mem_alpha.rollout import episode


def join(parts: Sequence[episode.Rollouts]) -> episode.Rollouts:
  """The rollouts of several batches, without history, as those of one."""
  if len(parts) == 1:
    return parts[0]
  starts = [0, *itertools.accumulate(len(part.instances) for part in parts)]
  for part, start in zip(parts, starts):
    for turn in itertools.chain(*part.turns):
      turn.row += start

  def search(queries: base.Queries) -> base.Hits:
    found = []
    for part, start, end in zip(parts, starts, starts[1:]):
      found += part.memories.search(queries[start:end])
    return found

  def all_of(name):
    return list(itertools.chain(*(getattr(part, name) for part in parts)))

  names = [field.name for field in dataclasses.fields(episode.Rollouts)]
  joined = {name: all_of(name) for name in names if name != 'memories'}
  memories = base.Memories(joined['cores'], search)
  return episode.Rollouts(memories=memories, **joined)
