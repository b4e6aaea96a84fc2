"""The text seam of memory ops: a parsed call becomes tokens, words, a length.

`Limits` count in the tokenizer that the config names: the run's own, or
o200k_base, in which the published system counted its 512 tokens of core. What
is over a limit is refused by the memory; the `reference` profile instead cuts
core as published, whole words from its end, and says so in the text.

A content that the tokenizer would change (`text.Tokenizer.encode_exactly`) is
refused as INVALID: what is stored is what was written.
"""

import dataclasses
from collections.abc import Callable

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import ops

_MARK = ' [content exceeds {} tokens, truncated]'


@dataclasses.dataclass(frozen=True)
class Encoder:
  """How contents are encoded and counted.

  count: tokens of a text as the limits count them; None: the run's tokens.
  cut_core: tokens that core is cut to; None: never.
  """

  tokenizer: text.Tokenizer
  count: Callable[[str], int] | None = None
  cut_core: int | None = None

  def __call__(self, call: structs.Call, terms: text.Terms) -> ops.EncodedCall:
    """The words of a new content get their ids from `terms`."""
    content = call.content
    try:
      tokens = tuple(self.tokenizer.encode_exactly(content))
    except ValueError:
      return ops.EncodedCall(ops.UNSPELT, call.kind, call.uid)
    if call.kind == structs.Kind.CORE and self.cut_core is not None:
      content = cut(content, self.cut_core, self.length)
      tokens = tuple(self.tokenizer.encode(content))
    return ops.EncodedCall(
      call.action,
      call.kind,
      call.uid,
      tokens,
      terms.encode(content),
      len(tokens) if self.count is None else self.count(content),
    )

  def length(self, content: str) -> int:
    if self.count is None:
      return len(self.tokenizer.encode(content))
    return self.count(content)


def cut(content: str, limit: int, length: Callable[[str], int]) -> str:
  """The text, or as many of its first words as fit `limit` with the mark.

  Words are joined by single spaces, so that line breaks are lost, as published.
  """
  if length(content) <= limit:
    return content
  mark = _MARK.format(limit)
  words, room = content.split(), limit - length(mark)
  # More words take more tokens: no tokenizer merges across their spaces.
  low, high = 0, len(words)
  while low < high:
    middle = (low + high + 1) // 2
    if length(' '.join(words[:middle])) <= room:
      low = middle
    else:
      high = middle - 1
  return ' '.join(words[:low]) + mark
