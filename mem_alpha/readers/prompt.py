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

import dataclasses
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
    kept = set()
    for entry in _by_rank(found):
      room -= self.count(_line(entry.text)) + 4  # its number and line break
      if room < 0:
        break  # what follows ranks lower
      kept.add((entry.kind, entry.uid))
    shown = [e for e in found if (e.kind, e.uid) in kept]
    if self.order == 'insertion':
      shown.sort(key=lambda e: e.order)
    return base.Prompt(_system(lead, core, shown), question), shown

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


def _by_rank(found: Sequence[structs.Entry]) -> list[structs.Entry]:
  """All kinds together: the best of each, then the second of each, …"""
  ranked = []
  for kind in _KINDS:
    of_kind = [entry for entry in found if entry.kind == kind]
    ranked += [(rank, kind, entry) for rank, entry in enumerate(of_kind)]
  return [entry for *_, entry in sorted(ranked, key=lambda item: item[:2])]


def _system(lead: str, core: str, shown: Sequence[structs.Entry]) -> str:
  lines = [lead]
  if core:
    lines.append(f'core_memory: {core}')
  for kind in _KINDS:
    texts = [_line(entry.text) for entry in shown if entry.kind == kind]
    if texts:
      lines.append(f'{kind.name.lower()}_memory:')
      lines += [f'{i + 1}. {text}' for i, text in enumerate(texts)]
  if len(lines) == 1:
    lines.append('The memory is empty.')
  return '\n'.join(lines)


def _line(text: str) -> str:
  """The text on one line."""
  return ' '.join(text.split())
