"""Units of text into chunks of at most n tokens, and chunks into dialogues.

`pack` fills each chunk with as many whole units as fit; a unit is a sentence, a
paragraph, a dialogue turn or a labelled example. One that is too long for a
chunk of its own is split into sentences, such a sentence into words, such a
word into characters. Nothing is lost and the order is kept.
"""

import dataclasses
import datetime
import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

FIRST_DAY = datetime.datetime(2024, 1, 1)

_BOUNDARY = re.compile(
  r'[.!?]+["\')\]”’]*\s+(?=[^a-z\s])|[。！？]+[”’」』]*\s*|\s*\n\s*'
)
# A full stop after an initial or one of these does not end a sentence.
_ABBREVIATION = re.compile(
  r'\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Gen|Col|Lt|Rev|vs|No|Jr|Sr)\.\Z'
)


@dataclasses.dataclass(frozen=True)
class Unit:
  """A text that is kept whole if it can be."""

  text: str
  owner: int = 0  # which passage, session or example it belongs to
  last: bool = True  # whether it ends its owner
  whole: bool = True  # False for a piece of a unit that was too long


@dataclasses.dataclass(frozen=True)
class Chunk:
  """What one chunk holds: its text as the agent reads it, and its units."""

  text: str
  units: tuple[Unit, ...]
  tokens: int


Render = Callable[[int, Sequence[Unit]], str]  # chunk index, units -> text


def join(index: int, units: Sequence[Unit]) -> str:
  """The texts of units, one after the other."""
  del index
  return ''.join(unit.text for unit in units)


def pack(
  units: Iterable[Unit],
  targets: Iterator[int],
  *,
  limit: int,
  count_tokens: Callable[[str], int],
  size: Callable[[str], int] = len,
  render: Render = join,
  start: int = 0,
) -> Iterator[Chunk]:
  """Yields chunks of consecutive units, taking the next target for each.

  A chunk has as many units as keep its rendered text within the target, but
  one unit at least. No chunk has more than `limit` tokens. Ends when units or
  targets do; `start` is the index of the first chunk. `size` estimates the
  tokens of a unit: where it is about right, two counts per chunk do.
  """
  unread, waiting, ratio = iter(units), [], 1.0  # tokens per size
  for index in itertools.count(start):
    counted = {}

    def tokens(count, index=index, counted=counted):
      if count not in counted:
        counted[count] = count_tokens(render(index, waiting[:count]))
      return counted[count]

    def available(count):
      waiting.extend(itertools.islice(unread, max(0, count - len(waiting))))
      return len(waiting) >= count

    target = next(targets, None) if available(1) else None
    if target is None:
      return
    target, count = min(target, limit), 0
    while not count:
      guess, room = 0, target / ratio
      while available(guess + 1) and room >= size(waiting[guess].text):
        room -= size(waiting[guess].text)
        guess += 1
      count = _most(
        lambda count, target=target: (
          available(count) and tokens(count) <= target
        ),
        max(1, guess),
      )
      if count == 1 and tokens(1) > limit:
        waiting[:1] = _smaller(waiting[0], limit)
        counted.clear()
        count = 0
    taken = waiting[:count]
    yield Chunk(render(index, taken), tuple(taken), tokens(count))
    ratio = tokens(count) / max(1, sum(size(unit.text) for unit in taken))
    del waiting[:count]


def text_units(text: str, owner: int = 0) -> Iterator[Unit]:
  """The sentences of a text as units."""
  parts = list(sentences(text))
  for n, part in enumerate(parts, 1):
    yield Unit(part, owner, last=n == len(parts))


def sentences(text: str) -> Iterator[str]:
  """Yields the sentences of a text, each with the space that follows it."""
  start = 0
  for match in _BOUNDARY.finditer(text):
    if not _ABBREVIATION.search(text[start : match.start() + 1]):
      yield text[start : match.end()]
      start = match.end()
  if start < len(text):
    yield text[start:]


def day(index: int) -> datetime.datetime:
  """The date of a chunk: one day after the one before."""
  return FIRST_DAY + datetime.timedelta(days=index)


def dialogue(text: str, index: int, *, user: str, assistant: str) -> str:
  """A chunk as the day's talk between a user and an assistant."""
  return (
    f'[Dialogue between User and Assistant on {day(index):%Y-%m-%d %H:%M}]\n'
    f'<User> {user}\n{text.strip()}\n<Assistant> {assistant}'
  )


def dialogue_render(
  key: str,
  openings: Sequence[str],
  replies: Sequence[str],
  separator: str = '',
) -> Render:
  """Chunks as dialogues; the wording depends on `key` and the index alone."""

  def render(index: int, units: Sequence[Unit]) -> str:
    rng = random.Random(f'{key}/{index}')
    user, assistant = rng.choice(openings), rng.choice(replies)
    text = joined(units, separator)
    return dialogue(text, index, user=user, assistant=assistant)

  return render


def joined(units: Sequence[Unit], separator: str) -> str:
  """The texts of units; the separator does not part pieces of one unit."""
  text, before = '', None
  for unit in units:
    if before and (unit.whole or unit.owner != before.owner):
      text += separator
    text, before = text + unit.text, unit
  return text


def _smaller(unit: Unit, limit: int) -> list[Unit]:
  """The sentences, the words or the characters of a unit."""
  for pieces in (
    list(sentences(unit.text)),
    re.findall(r'\S+\s*|\s+', unit.text),
    list(unit.text),
  ):
    if len(pieces) > 1:
      return [
        Unit(piece, unit.owner, unit.last and n == len(pieces), whole=False)
        for n, piece in enumerate(pieces, 1)
      ]
  raise ValueError(
    f'A chunk of {limit} tokens has no room for one character of text '
    f'({unit.text!r}): raise the limit of tokens per chunk.'
  )


def _most(fits: Callable[[int], bool], guess: int) -> int:
  """The largest size that fits, at least 1, given that more never helps.

  Looks near the guess, the size of the chunk before, with growing steps, and
  then halves: a few counts do for chunks of similar units.
  """
  low, high, step = 1, guess + 1, 1
  if guess > 1 and not fits(guess):
    high = guess
    while high - step > 1 and not fits(high - step):
      high, step = high - step, 2 * step
    low = max(1, high - step)
  else:
    low = guess
    while fits(low + step):
      low, step = low + step, 2 * step
    high = low + step
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if fits(middle) else (low, middle)
  return low
