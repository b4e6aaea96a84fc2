"""Rollouts of one step that are sampled in several batches.

A wave's questions are answered while the next wave is sampled: so reading is
hidden even where all rollouts end at the same chunk. Long conversations come
first: those that share a wave end at about the same chunk, and what is left to
read after the last wave is short.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.rollout import episode


def split(
  instances: Sequence[structs.Instance], *, rollouts: int, waves: int
) -> list[list[structs.Instance]]:
  """Each instance `rollouts` times, its copies side by side, in equal waves."""
  ordered = sorted(instances, key=lambda instance: -len(instance.chunks))
  group = [i for i in ordered for _ in range(rollouts)]
  size = len(group) // waves
  return [group[start : start + size] for start in range(0, len(group), size)]


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
