"""An endless, seeded order of instances, addressed by an integer position.

A checkpoint keeps the position and nothing else: the order of an epoch depends
on (seed, epoch) alone, so reading on from a position gives what an unbroken
run would have read. A batch may reach from one epoch into the next.
"""

import dataclasses
import functools
import random
from collections.abc import Sequence

from mem_alpha import structs


@dataclasses.dataclass(frozen=True)
class Iterator:
  """Instances in a new order each epoch; every epoch has each of them once."""

  instances: Sequence[structs.Instance]
  seed: int

  def __post_init__(self):
    if not len(self.instances):
      raise ValueError('The data holds no instance: nothing to iterate over.')

  def batch(self, position: int, size: int) -> list[structs.Instance]:
    """The `size` instances from `position` on, both counted in instances."""
    if position < 0 or size < 0:
      raise ValueError(
        f'Position {position} and size {size} must not be negative.'
      )
    return [self._at(position + offset) for offset in range(size)]

  def _at(self, position: int) -> structs.Instance:
    epoch, offset = divmod(position, len(self.instances))
    order = _order(len(self.instances), self.seed, epoch)
    return self.instances[order[offset]]


@functools.lru_cache(maxsize=8)
def _order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
  order = list(range(count))
  random.Random(f'{seed}/{epoch}').shuffle(order)
  return tuple(order)
