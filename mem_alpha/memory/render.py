"""The memory view of a prompt, in token space.

Entries are stored as token ids and are shown as the same ids: nothing is
decoded and encoded again, except an entry with line breaks or other control
characters. Such an entry could forge a line of the view, so it is shown with
JSON escapes instead.

    core_memory: the text of core
    semantic_memory:
    [a3] one entry per line, oldest first
"""

import dataclasses
import functools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from mem_alpha import structs
from mem_alpha import text

_CORE = structs.Kind.CORE
_MAX_UID = 2**31 - 1  # ids are int32 on the device
_UID = re.compile(r'([a-z]{1,7})([0-9])')
# Every separator of str.splitlines is a control character or one of the two.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029]')

# Fixed strings of the view; a trained tokenizer may make each one token.
ENTRY_OPEN = '\n['
ENTRY_CLOSE = '] '


class Row(Protocol):
  """A live entry as `state.snapshot` returns it."""

  kind: structs.Kind
  uid: int
  tokens: tuple[int, ...]
  order: int


@dataclasses.dataclass(frozen=True)
class Layout:
  """How to show a memory: a header per kind, in the order of the sections.

  Kinds without a header are not shown.
  """

  tokenizer: text.Tokenizer
  headers: Mapping[structs.Kind, tuple[int, ...]]


def uid_to_text(uid: int) -> str:
  """Names an entry: 0 is a0, 13 is b3, 260 is aa0. No two share a name."""
  if not 0 <= uid <= _MAX_UID:
    raise ValueError(f'{uid} is not the id of an entry: use 0 … {_MAX_UID}.')
  rest, digit = divmod(int(uid), 10)
  letters = ''
  rest += 1
  while rest:
    rest, letter = divmod(rest - 1, 26)
    letters = chr(ord('a') + letter) + letters
  return f'{letters}{digit}'


def text_to_uid(name: str) -> int:
  """The inverse of `uid_to_text`; ValueError for any other string."""
  match = _UID.fullmatch(name)
  value = 0
  for letter in match[1] if match else '':
    value = value * 26 + ord(letter) - ord('a') + 1
  uid = (value - 1) * 10 + int(match[2]) if match else _MAX_UID + 1
  if uid > _MAX_UID:
    raise ValueError(
      f'{name!r} is not the name of an entry: use letters a-z and one digit.'
    )
  return uid


def header(kind: structs.Kind) -> str:
  """The fixed string in front of a section."""
  end = ': ' if kind == structs.Kind.CORE else ':'
  return f'\n{kind.name.lower()}_memory{end}'


def make_layout(
  tokenizer: text.Tokenizer, *, enabled: Sequence[bool]
) -> Layout:
  """Sections for the enabled kinds (`enabled[kind]`), core first."""
  headers = {
    kind: tuple(tokenizer.encode(header(kind)))
    for kind in structs.Kind
    if enabled[kind]
  }
  return Layout(tokenizer, headers)


def view(
  rows: Sequence[Row],
  *,
  layout: Layout,
  show: int,
  max_tokens: int | None = None,
) -> list[int]:
  """Tokens of the memory as a prompt shows it; none for an empty section."""
  tokens: list[int] = []
  open_section = None
  kept = shown(rows, layout=layout, show=show, max_tokens=max_tokens)
  for row in kept:
    if row.kind != open_section:
      tokens.extend(layout.headers[row.kind])
      open_section = row.kind
    tokens.extend(_line(layout.tokenizer, row))
  return tokens


def shown(
  rows: Sequence[Row],
  *,
  layout: Layout,
  show: int,
  max_tokens: int | None = None,
) -> list[Row]:
  """The rows of `view`, in its order.

  Core, then the `show` entries of each other kind that were written last, the
  newest last.
  Over `max_tokens`, whole entries are left out, the oldest of all kinds first
  and core last.
  """
  rows = [row for kind in layout.headers for row in _recent(rows, kind, show)]
  if max_tokens is None:
    return rows
  room, kept = max_tokens, {}
  for row in sorted(rows, key=lambda row: (row.kind != _CORE, -row.order)):
    opens_section = row.kind not in kept
    cost = len(_line(layout.tokenizer, row))
    cost += len(layout.headers[row.kind]) if opens_section else 0
    if cost > room:
      break  # what follows is older
    room -= cost
    kept.setdefault(row.kind, []).insert(0, row)
  return [row for kind in layout.headers for row in kept.get(kind, ())]


def escape(content: str) -> str:
  """A content on one line: JSON escapes for line breaks and controls."""
  escaped = json.dumps(content, ensure_ascii=False)[1:-1]
  # json.dumps leaves the line breaks beyond ASCII as they are.
  return _CONTROL.sub(lambda match: f'\\u{ord(match[0]):04x}', escaped)


def _recent(
  rows: Sequence[Row], kind: structs.Kind, show: int
) -> Sequence[Row]:
  of_kind = [row for row in rows if row.kind == kind and row.tokens]
  of_kind.sort(key=lambda row: row.order)
  count = 1 if kind == _CORE else show
  return of_kind[max(len(of_kind) - count, 0) :]


def _line(tokenizer: text.Tokenizer, row: Row) -> tuple[int, ...]:
  content = _content(tokenizer, tuple(row.tokens))
  if row.kind == _CORE:
    return content  # it follows its header on the same line
  return _label(tokenizer, int(row.uid)) + content


@functools.lru_cache(maxsize=1 << 14)
def _label(tokenizer: text.Tokenizer, uid: int) -> tuple[int, ...]:
  label = f'{ENTRY_OPEN}{uid_to_text(uid)}{ENTRY_CLOSE}'
  return tuple(tokenizer.encode(label))


@functools.lru_cache(maxsize=1 << 14)
def _content(
  tokenizer: text.Tokenizer, tokens: tuple[int, ...]
) -> tuple[int, ...]:
  """The entry's own ids, or those of its escaped text where it needs one."""
  decoded = tokenizer.decode(tokens)
  if not _CONTROL.search(decoded):
    return tokens
  return tuple(tokenizer.encode(escape(decoded)))
