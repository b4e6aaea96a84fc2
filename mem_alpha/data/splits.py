"""Train, validation and test: which group of rows belongs where.

What must stay together (a title, a document, a conversation) is one group, and
the hash of its name decides. So a group keeps its split whatever else a file
holds, on every machine, and the seed moves no row from one split to another.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence

NAMES = ('train', 'validation', 'test')


def of(name: str, *, validation: int = 10, test: int = 10) -> str:
  """The split of a group; `validation` and `test` are per cent of groups."""
  share = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 100
  if share < test:
    return 'test'
  return 'validation' if share < test + validation else 'train'


def check(split: str) -> None:
  """Raises ValueError for an unknown name of a split."""
  if split not in NAMES:
    raise ValueError(f'No split {split!r}: choose one of {", ".join(NAMES)}.')


def shuffled(items: Iterable, key: str) -> list:
  """The items in an order that depends on `key` alone."""
  items = list(items)
  random.Random(key).shuffle(items)
  return items


def sample(items: Sequence, count: int, key: str) -> list:
  """`count` items, all if there are fewer, in the order that they had."""
  if len(items) <= count:
    return list(items)
  chosen = random.Random(key).sample(range(len(items)), count)
  return [items[i] for i in sorted(chosen)]
