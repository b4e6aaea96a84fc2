"""An endless, seeded order of instances, addressed by an integer position.

A checkpoint keeps the position and nothing else: the order of an epoch depends
on (seed, epoch) alone, so reading on from a position gives what an unbroken
run would have read. A batch may reach from one epoch into the next.
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence

from mem_alpha import structs

BANDS = 4  # lengths that a curriculum tells apart


@dataclasses.dataclass(frozen=True)
class Iterator:
  """Instances in a new order each epoch; every epoch has each of them once.

  `weights` changes how often: with 2.5 for its source, an instance comes twice,
  and half of the source, drawn anew each epoch, once more. In the first
  `curriculum` epochs the quarter with the fewest tokens (`lengths`) comes
  first, then the next. `question_share` asks that share of an instance's
  questions (one at least), drawn anew each time that it comes.
  """

  instances: Sequence[structs.Instance]
  seed: int
  weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
  lengths: Sequence[int] = ()
  curriculum: int = 0
  question_share: float = 1.0
  _cache: dict = dataclasses.field(default_factory=dict, repr=False)

  def __post_init__(self):
    if not len(self.instances):
      raise ValueError('The data holds no instance: nothing to iterate over.')
    if self.curriculum and len(self.lengths) != len(self.instances):
      raise ValueError('A curriculum needs the length of each instance.')
    if not self._order(0):
      raise ValueError('All weights are 0: nothing to iterate over.')

  def batch(
    self, position: int, size: int, *, process: int = 0, processes: int = 1
  ) -> list[structs.Instance]:
    """The `size` instances from `position` on, both counted in instances.

    Of several processes each gets its share, in their order; where the size
    does not divide, the first ones get one more.
    """
    if position < 0 or size < 0:
      raise ValueError(
        f'Position {position} and size {size} must not be negative.'
      )
    if not 0 <= process < processes:
      raise ValueError(f'Process {process} is none of {processes}.')
    share, more = divmod(size, processes)
    first = process * share + min(process, more)
    count = share + (process < more)
    return [self._at(position + first + offset) for offset in range(count)]

  def _at(self, position: int) -> structs.Instance:
    epoch, offset = divmod(position, len(self._order(0)))
    instance = self.instances[self._order(epoch)[offset]]
    if self.question_share >= 1:
      return instance
    count = max(1, round(self.question_share * len(instance.questions)))
    rng = random.Random(f'{self.seed}/questions/{position}')
    chosen = sorted(rng.sample(range(len(instance.questions)), count))
    questions = tuple(instance.questions[i] for i in chosen)
    return dataclasses.replace(instance, questions=questions)

  def _order(self, epoch: int) -> tuple[int, ...]:
    """Indices of the instances of an epoch; always as many."""
    if epoch not in self._cache:
      if len(self._cache) >= 8:
        self._cache.clear()
      self._cache[epoch] = self._shuffled(epoch)
    return self._cache[epoch]

  def _shuffled(self, epoch: int) -> tuple[int, ...]:
    order = self._copies(epoch)
    random.Random(f'{self.seed}/{epoch}').shuffle(order)
    if epoch < self.curriculum:
      ranks = {}
      for rank, i in enumerate(sorted(order, key=self.lengths.__getitem__)):
        ranks.setdefault(i, rank * BANDS // len(order))
      order.sort(key=ranks.__getitem__)  # stable: bands stay shuffled
    return tuple(order)

  def _copies(self, epoch: int) -> list[int]:
    """Each index as often as the epoch has it."""
    if not self.weights:
      return list(range(len(self.instances)))
    of_source = {}
    for index, instance in enumerate(self.instances):
      of_source.setdefault(instance.source, []).append(index)
    copies = []
    for source, indices in of_source.items():
      times, part = divmod(self.weights.get(source, 1.0), 1)
      rng = random.Random(f'{self.seed}/{epoch}/{source}')
      copies += indices * int(times)
      copies += sorted(rng.sample(indices, round(part * len(indices))))
    return copies
