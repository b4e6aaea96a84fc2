"""The prompt of a reader that is a language model.

    Answer the question from the memory below. …
    core_memory: the text of core
    semantic_memory:
    1. one entry per line

is the system turn, the question alone the user turn. So all questions of a
memory that is small enough to be shown whole, in the order of its entries,
have one system turn, and a model reads it once.

A prompt over its budget gives up the lowest-ranked entries first, then the end
of core, then the end of the question; it never fails. Each entry stands on one
line, so no content can pass for another entry or for a section.
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
  'Write the answer alone. If the memory does not tell, write: unknown.'
)
_SEARCH_HINT = (
  'If something is missing that the memory may hold elsewhere, write only '
  '"SEARCH: " and the words to look for.'
)
_KINDS = (structs.Kind.SEMANTIC, structs.Kind.EPISODIC)
_LINE_TOKENS = 4  # number and line break of an entry, at most
_FORMAT_TOKENS = 24  # chat template, headers and line breaks, at most


@dataclasses.dataclass(frozen=True)
class Layout:
  """How a memory is shown to a model, within `tokens` of `count`."""

  count: Callable[[str], int]  # tokens of a text
  tokens: int  # limit of the whole prompt
  order: str = 'insertion'  # of the shown entries, or by rank

  def __post_init__(self):
    if self.order not in ORDERS:
      raise ValueError(
        f'Entries cannot be shown in the order {self.order!r}: use one of '
        f'{", ".join(ORDERS)}.'
      )
    least = 2 * (_FORMAT_TOKENS + self.count(_INSTRUCTION + _SEARCH_HINT))
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
    room = self.tokens - _FORMAT_TOKENS - self.count(lead)
    question = self._cut(_line(question), room // 2)
    room -= self.count(question)
    core = self._cut(_line(core), room)
    room -= self.count(core)
    shown = self._best(found, room)
    if self.order == 'insertion':
      shown.sort(key=operator.attrgetter('order'))
    lines = tuple((e.kind, _line(e.text)) for e in shown)
    return base.Prompt(_system(lead, core, lines), question), shown

  def _best(
    self, found: Sequence[structs.Entry], room: int
  ) -> list[structs.Entry]:
    """The entries that fit, in the given order; those left out rank lower."""
    costs = [self.count(_line(e.text)) + _LINE_TOKENS for e in found]
    if sum(costs) <= room:
      return list(found)
    kept = set()
    for place in _by_rank(found):
      room -= costs[place]
      if room < 0:
        break
      kept.add(place)
    return [entry for place, entry in enumerate(found) if place in kept]

  def _cut(self, text: str, tokens: int) -> str:
    """The longest beginning, in words, of at most so many tokens."""
    if self.count(text) <= tokens:
      return text
    words = text.split(' ')
    low, high = 0, len(words)
    while low < high:
      middle = (low + high + 1) // 2
      fits = self.count(' '.join(words[:middle])) <= tokens
      low, high = (middle, high) if fits else (low, middle - 1)
    return ' '.join(words[:low])


def _by_rank(found: Sequence[structs.Entry]) -> list[int]:
  """Places of all kinds together: the best of each, the second of each, …"""
  ranked, ranks = [], collections.Counter()
  for place, entry in enumerate(found):
    ranked.append((ranks[entry.kind], entry.kind, place))
    ranks[entry.kind] += 1
  return [place for *_, place in sorted(ranked)]


@functools.lru_cache(1 << 10)  # all questions of a small memory have the same
def _system(
  lead: str, core: str, shown: tuple[tuple[structs.Kind, str], ...]
) -> str:
  lines = [lead]
  if core:
    lines.append(f'core_memory: {core}')
  for kind in _KINDS:
    texts = [text for its_kind, text in shown if its_kind == kind]
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
