"""Text into chunks of at most n tokens, and chunks into dated dialogues.

`pack` fills each chunk with as many whole sentences as fit. A sentence that is
too long for a chunk of its own is packed by words, such a word by characters.
Joining the chunks gives the text back exactly.
"""

import datetime
import itertools
import random
import re
from collections.abc import Callable, Iterator

Wrap = Callable[[int, str], str]  # chunk index, text -> what the agent reads

FIRST_DAY = datetime.datetime(2024, 1, 1)

_BOUNDARY = re.compile(
  r'[.!?]+["\')\]”’]*\s+(?=[^a-z\s])|[。！？]+[”’」』]*\s*|\s*\n\s*'
)
# A full stop after an initial or one of these does not end a sentence.
_ABBREVIATION = re.compile(
  r'\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Mt|Gen|Col|Lt|Rev|vs|No|Jr|Sr)\.\Z'
)
_USER = (
  'Please keep in mind what I read today.',
  'Here is something I would like you to remember.',
  'I have some notes for you to hold on to.',
  'Could you remember the following for me?',
  'I will ask you about this text later.',
  'Take in this passage, it will matter some day.',
  'Another piece of reading for your memory.',
  'This is what I came across today.',
)
_ASSISTANT = (
  'I will remember it.',
  'Noted, ask me whenever you like.',
  'Thank you, I have taken it in.',
  'Understood, I am keeping it in mind.',
  'Good, I will have it ready for your questions.',
  'I read all of it and will not forget it.',
)


def pack(
  text: str,
  limit: int,
  *,
  count_tokens: Callable[[str], int],
  wrap: Wrap = lambda index, text: text,
) -> Iterator[str]:
  """Yields consecutive pieces of `text`, each of at most `limit` tokens.

  Tokens are counted after `wrap`, which itself is not applied to what is
  yielded.
  """
  unread, waiting = sentences(text), []
  for index in itertools.count():

    def fits(size, index=index):
      waiting.extend(itertools.islice(unread, max(0, size - len(waiting))))
      return count_tokens(wrap(index, ''.join(waiting[:size]))) <= limit

    if not waiting:
      waiting.extend(itertools.islice(unread, 1))
    if not waiting:
      return
    while not fits(1):
      waiting[:1] = _smaller_pieces(waiting[0], limit)
    size = _most(fits, lambda: len(waiting))
    yield ''.join(waiting[:size])
    del waiting[:size]


def sentences(text: str) -> Iterator[str]:
  """Yields the sentences of a text, each with the space that follows it."""
  start = 0
  for match in _BOUNDARY.finditer(text):
    if not _ABBREVIATION.search(text[start : match.start() + 1]):
      yield text[start : match.end()]
      start = match.end()
  if start < len(text):
    yield text[start:]


def dialogue(text: str, index: int, *, user: str, assistant: str) -> str:
  """A chunk as the day's talk between a user and an assistant."""
  day = FIRST_DAY + datetime.timedelta(days=index)
  return (
    f'[Dialogue between User and Assistant on {day:%Y-%m-%d %H:%M}]\n'
    f'<User> {user}\n{text.strip()}\n<Assistant> {assistant}'
  )


def dialogue_wrap(key: str) -> Wrap:
  """A wrap whose wording depends on nothing but `key` and the chunk index."""

  def wrap(index: int, text: str) -> str:
    rng = random.Random(f'{key}/{index}')
    user, assistant = rng.choice(_USER), rng.choice(_ASSISTANT)
    return dialogue(text, index, user=user, assistant=assistant)

  return wrap


def _smaller_pieces(piece: str, limit: int) -> list[str]:
  words = re.findall(r'\S+\s*|\s+', piece)
  if len(words) > 1:
    return words
  if len(piece) > 1:
    return list(piece)
  raise ValueError(
    f'A chunk of {limit} tokens has no room for one character of text '
    f'({piece!r}): raise the limit of tokens per chunk.'
  )


def _most(fits: Callable[[int], bool], available: Callable[[], int]) -> int:
  """The largest size that fits, given that 1 does and that more never helps.

  Doubles, then halves: a chunk of n sentences is counted about 2 log n times.
  """
  low, high = 1, 2
  while fits(high):
    if available() < high:
      return available()
    low, high = high, 2 * high
  high = min(high, available())
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if fits(middle) else (low, middle)
  return low
