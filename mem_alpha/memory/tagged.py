"""The memory view of the `reference` profile: sections in tags, raw contents.

    <core_memory>
    the text of core
    </core_memory>
    <semantic_memory> (Only show the most recent 2 out of 7 memories)
    [a3] an entry, its line breaks as they are
    [b0] another
    </semantic_memory>

The released checkpoint was trained on views of this form. An entry is shown as
it is stored unless it holds what the prompt around it is made of (our tags and
ids, headings, marks of calls and thoughts): then its line breaks and whatever
forms such a mark are escaped, so that it forges none. To fit, the published
rule halves the number of entries; then core is left out.
"""

import re
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import render

_CORE = structs.Kind.CORE
_NAMES = '|'.join(f'{kind.name.lower()}_memory' for kind in structs.Kind)
_BREAK = r'[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]'
_LIKE_OURS = re.compile(
  rf'</?\s*(?:{_NAMES}|new_chunk|think|tool_|\|)'
  rf'|(?:^|{_BREAK})\s*(?:\[[a-z]{{1,7}}[0-9]\]|#+\s|current memory state:)'
  '|✿',
  re.IGNORECASE,
)
_MARKS = str.maketrans({mark: f'\\u{ord(mark):04x}' for mark in '<[#✿:'})


def view(
  rows: Sequence[render.Row],
  *,
  layout: render.Layout,
  show: int,
  max_tokens: int | None = None,
) -> list[int]:
  """Tokens of the view; only the bare sections where nothing else fits."""
  for count, core in _choices(show):
    tokens = _view(rows, layout, count, core)
    if max_tokens is None or len(tokens) <= max_tokens:
      break
  return tokens


def _choices(show: int):
  """(entries per kind, whether core is shown), from the most to the least."""
  while show > 0:
    yield show, True
    show //= 2
  yield 0, True
  yield 0, False


def _view(rows, layout: render.Layout, show: int, core: bool) -> list[int]:
  encode = layout.tokenizer.encode
  tokens: list[int] = []
  for kind in layout.headers:
    name = f'{kind.name.lower()}_memory'
    # An update keeps the place of its entry, hence not by `order`.
    of_kind = sorted(
      (row for row in rows if row.kind == kind), key=lambda row: row.uid
    )
    head = f'\n<{name}>'
    if kind == _CORE:
      shown = [row for row in of_kind if core and row.tokens]
    else:
      shown = of_kind[len(of_kind) - min(show, len(of_kind)) :]
      head += (
        f' (Only show the most recent {len(shown)} out of {len(of_kind)} '
        'memories)'
      )
    tokens += encode(head + '\n')
    for number, row in enumerate(shown):
      label = '' if kind == _CORE else f'[{render.uid_to_text(row.uid)}] '
      tokens += encode('\n' * (number > 0) + label)
      tokens += _content(layout.tokenizer, row.tokens)
    tokens += encode(('' if shown else 'Empty.') + f'\n</{name}>')
  return tokens


def _content(tokenizer: text.Tokenizer, tokens: Sequence[int]) -> Sequence[int]:
  decoded = tokenizer.decode(tokens)
  if not _LIKE_OURS.search(decoded):
    return tokens
  return tokenizer.encode(render.escape(decoded).translate(_MARKS))
