"""How sources are mixed: caps, a length filter, and parts of ConfigDict lists.

Caps and weights are written `source=number`, since a config knows no mapping
that a command line could extend.
"""

import collections
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from mem_alpha import structs
from mem_alpha.data import splits


def parse(
  pairs: Sequence[str], *, what: str, known: Iterable[str] | None = None
) -> dict[str, float]:
  """{'squad': 2.0} from ('squad=2',); `known` are the sources there are."""
  found = {}
  for pair in pairs:
    name, equals, number = pair.partition('=')
    try:
      found[name] = float(number)
    except ValueError:
      equals = ''
    if not equals or not name or not found[name] >= 0:
      raise ValueError(
        f'{what} has {pair!r}: write source=number, such as squad=2.'
      )
  wrong = sorted(set(found).difference(known)) if known is not None else ()
  if wrong:
    raise ValueError(
      f'{what} names {", ".join(wrong)}, of which the data has nothing: use '
      f'{", ".join(sorted(known))}.'
    )
  return found


def in_turns(
  instances: Iterable[structs.Instance],
) -> list[structs.Instance]:
  """The first instance of each source, then the second, and so on."""
  of_source = collections.defaultdict(list)
  for instance in instances:
    of_source[instance.source].append(instance)
  rounds = itertools.zip_longest(*of_source.values())
  return [i for one in rounds for i in one if i is not None]


def capped(
  instances: Sequence[structs.Instance], caps: Mapping[str, float], *, seed: int
) -> list[structs.Instance]:
  """At most so many instances of each source, in the order that they had."""
  of_source = collections.defaultdict(list)
  for index, instance in enumerate(instances):
    of_source[instance.source].append(index)
  kept = set()
  for source, indices in of_source.items():
    most = int(caps.get(source, len(indices)))
    kept.update(splits.sample(indices, most, f'cap/{source}/{seed}'))
  return [instance for i, instance in enumerate(instances) if i in kept]


def lengths(
  instances: Sequence[structs.Instance], count_tokens: Callable[[str], int]
) -> list[int]:
  """Tokens of all chunks of each instance."""
  return [sum(map(count_tokens, i.chunks)) for i in instances]


def of_length(
  instances: Sequence[structs.Instance],
  tokens: Sequence[int],
  *,
  low: int | None,
  high: int | None,
) -> list[structs.Instance]:
  """The instances whose length lies between the bounds, both included."""
  return [
    instance
    for instance, length in zip(instances, tokens, strict=True)
    if (low or 0) <= length and (high is None or length <= high)
  ]
