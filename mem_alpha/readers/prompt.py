"""The prompt of a reader that is a language model.

    Answer the question from the memory below. …
    core_memory: the text of core
    semantic_memory:
    1. one entry per line

is the system turn, the question alone the user turn. So all questions of a
memory that is small enough to be shown whole, in the order of its entries,
have one system turn, and a model reads it once.

A prompt over its budget gives up the lowest-ranked entries first, then the end
of core, then the end of the question, which keeps to half of it; it never
fails. What fits is estimated line by line, and then counted on the finished
prompt, whatever the tokenizer.
Each entry stands on one line, so no content can pass for another entry or for a
section.
"""

import collections
import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha.readers import base

ORDERS = ('rank', 'insertion')

_INSTRUCTION = (
  'Answer the question from the memory below, in as few words as possible. '
  f'Write the answer alone. If the memory does not tell, write: {base.UNKNOWN}.'
)
_SEARCH_HINT = (
  'If something is missing that the memory may hold elsewhere, write only '
  '"SEARCH: " and the words to look for.'
)
_KINDS = (structs.Kind.SEMANTIC, structs.Kind.EPISODIC)
_ORDER = operator.attrgetter('order')
_CORE = 'core_memory: '
_MOST = 1 << 10  # memories that are remembered as they were shown
_HEADERS = '\nsemantic_memory:\nepisodic_memory:'  # if there are both


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a memory is shown to a model, within `tokens` of `count`."""

  count: Callable[[str], int]  # tokens of a text
  tokens: int  # limit of the whole prompt
  order: str = 'insertion'  # of the shown entries, or by rank
  markup: int = 0  # tokens of the limit that turns and headers take
  question_tokens: int | None = None  # limit of the question
  _seen: dict = dataclasses.field(
    default_factory=dict, init=False, repr=False, compare=False
  )

  def __post_init__(self):
    if self.order not in ORDERS:
      raise ValueError(
        f'Entries cannot be shown in the order {self.order!r}: use one of '
        f'{", ".join(ORDERS)}.'
      )
    lead = f'{_INSTRUCTION} {_SEARCH_HINT}'
    least = 2 * (self.markup + self.count(_system(lead, '', ())))
    if self.tokens < least:
      raise ValueError(
        f'reader.prompt_tokens={self.tokens} leaves no room for a memory: use '
        f'{least} or more.'
      )

  def fit(
    self,
    question: str,
    core: str,
    found: Sequence[structs.Entry],
    *,
    may_search: bool = False,
  ) -> tuple[base.Prompt, list[structs.Entry]]:
    """A prompt within the limit, and the entries that it shows.

    `found` holds the entries of each kind, best first.
    """
    lead = _INSTRUCTION + (f' {_SEARCH_HINT}' if may_search else '')
    limit = self.tokens - self.markup
    room = limit - self._tokens(lead)
    question = self._cut(_line(question), room // 2)
    if self.question_tokens is not None:
      question = self._cut(question, self.question_tokens)
    asked = self._tokens(question)
    core = self._cut(_line(core), room - asked - self._tokens(_CORE))
    room -= asked + self._tokens(_CORE) + self._tokens(core)
    room -= self._tokens(_HEADERS)
    # All questions about a small memory find all of it, and most fit beside it:
    # those get what they would get without this, sooner.
    ordered, given = self._ordered(found), core
    key = (lead, core, *map(id, ordered))
    seen = self._seen.get(key)
    if seen and seen.cost <= room and seen.tokens + asked <= limit:
      return base.Prompt(seen.system, question), seen.shown
    costs = self._costs(found)
    kept = self._first(costs, found, room)
    while True:
      shown = self._ordered([e for e, keep in zip(found, kept) if keep])
      system = _system(lead, core, shown)
      tokens = _whole(self.count, system)
      over = tokens + self._tokens(question) - limit
      if over <= 0:
        if core == given and len(shown) == len(ordered):
          self._keep(key, _Seen(system, tokens, sum(costs), shown))
        return base.Prompt(system, question), shown
      # The parts together cost more than one by one: give up some more.
      if shown:
        kept = self._without(costs, found, kept, over)
      elif core:
        core = self._shorter(core, over)
      elif question:
        question = self._shorter(question, over)
      else:
        raise ValueError(f'{self.tokens} tokens hold no prompt at all.')

  def _ordered(self, entries) -> list[structs.Entry]:
    if self.order == 'insertion':
      return sorted(entries, key=_ORDER)
    return list(entries)

  def _keep(self, key, seen: '_Seen') -> None:
    if len(self._seen) >= _MOST:
      self._seen.clear()
    self._seen[key] = seen

  def _tokens(self, text: str) -> int:
    return _count(self.count, text)

  def _costs(self, found: Sequence[structs.Entry]) -> list[int]:
    number = self._tokens(f'\n{len(found)}. ')
    return [_count_line(self.count, e.text) + number for e in found]

  def _first(self, costs, found, room: int) -> list[bool]:
    """Which entries fit; those that do not rank lower than those that do."""
    if sum(costs) <= room:
      return [True] * len(found)
    kept = [False] * len(found)
    for place in _by_rank(found):
      room -= costs[place]
      if room < 0:
        break
      kept[place] = True
    return kept

  def _without(self, costs, found, kept, over: int) -> list[bool]:
    """Those kept without their lowest ranks, by estimate enough of them."""
    kept = list(kept)
    for place in reversed(_by_rank(found)):
      if kept[place] and over > 0:
        kept[place] = False
        over -= costs[place]
    return kept

  def _shorter(self, text: str, over: int) -> str:
    tokens = self._tokens(text)
    return self._cut(text, min(tokens - over, tokens - 1))

  def _cut(self, text: str, tokens: int) -> str:
    """The longest beginning, in words, of at most so many tokens."""
    if self._tokens(text) <= tokens:
      return text
    words = text.split(' ')
    low, high = 0, len(words) - 1
    while low < high:
      middle = (low + high + 1) // 2
      fits = self.count(' '.join(words[:middle])) <= tokens
      low, high = (middle, high) if fits else (low, middle - 1)
    return ' '.join(words[:low])


@dataclasses.dataclass(frozen=True)
class _Seen:
  """A memory that was shown whole; keeps its entries, whose ids are the key."""

  system: str
  tokens: int
  cost: int  # of the entries, by estimate
  shown: list[structs.Entry]


def _by_rank(found: Sequence[structs.Entry]) -> list[int]:
  """Places of all kinds together: the best of each, the second of each, …"""
  ranked, ranks = [], collections.Counter()
  for place, entry in enumerate(found):
    ranked.append((ranks[entry.kind], entry.kind, place))
    ranks[entry.kind] += 1
  return [place for *_, place in sorted(ranked)]


def _system(lead: str, core: str, shown: Sequence[structs.Entry]) -> str:
  lines = [lead]
  if core:
    lines.append(f'{_CORE}{core}')
  for kind in _KINDS:
    texts = [_line(entry.text) for entry in shown if entry.kind == kind]
    if texts:
      lines.append(f'{kind.name.lower()}_memory:')
      lines += [f'{i + 1}. {text}' for i, text in enumerate(texts)]
  if len(lines) == 1:
    lines.append('The memory is empty.')
  return '\n'.join(lines)


@functools.lru_cache(1 << 16)
def _line(text: str) -> str:
  """The text on one line."""
  return ' '.join(text.split())


@functools.lru_cache(1 << 14)
def _count(count: Callable[[str], int], text: str) -> int:
  return count(text)


@functools.lru_cache(1 << 16)  # entries are shown for question after question
def _count_line(count: Callable[[str], int], text: str) -> int:
  return count(_line(text))


@functools.lru_cache(1 << 10)  # as many as of the texts themselves
def _whole(count: Callable[[str], int], system: str) -> int:
  return count(system)
