"""Baselines that write nothing of their own: nothing, the end, pieces, all.

floor         an empty memory
full_context  the last n tokens of the text, shown whole (long context)
rag           the chunks; BM25 shows the best k of them to each question
verbatim      every sentence within a budget, the oldest given up first;
              BM25 shows the best k, as for entries of an agent
"""

import functools
import re
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha.baselines import base
from mem_alpha.baselines import index
from mem_alpha.readers import base as reader_base

_SENTENCE_END = re.compile(r'(?<=[.!?])\s+|\n+')


def floor(instances: Sequence[structs.Instance]) -> base.Kept:
  """No memory: what is answered without one."""
  entries = [[] for _ in instances]
  return base.Kept(entries, base.show_all(entries))


def full_context(
  *, tokens: int, count: base.Count, cut: Callable[[str, int], str]
) -> base.Baseline:
  """The last `tokens` tokens; `cut(text, n)` is the end of a text."""

  def keep(instances):
    entries = [_last(i.chunks, tokens, count, cut) for i in instances]
    return base.Kept(entries, base.show_all(entries))

  return keep


def rag(*, k: int, count: base.Count) -> base.Baseline:
  """The chunks as they are; each question is shown its k best."""

  def keep(instances):
    entries = [
      [base.entry(chunk, c, c, count) for c, chunk in enumerate(i.chunks)]
      for i in instances
    ]
    return base.Kept(entries, _ranked(entries, k))

  return keep


def verbatim(*, tokens: int, k: int, count: base.Count) -> base.Baseline:
  """The newest sentences that fit into `tokens`; each an entry."""

  def keep(instances):
    entries = []
    for instance in instances:
      pieces = [
        base.entry(sentence, c, 0, count)
        for c, chunk in enumerate(instance.chunks)
        for sentence in sentences(chunk)
      ]
      entries.append(_newest(pieces, tokens))
    return base.Kept(entries, _ranked(entries, k))

  return keep


def sentences(text: str) -> list[str]:
  """Sentences and lines of a text, without the blanks around them."""
  return [s for part in _SENTENCE_END.split(text) if (s := part.strip())]


def _last(chunks, tokens: int, count, cut) -> list[structs.Entry]:
  """Whole chunks from the end, and the end of the one that is cut."""
  kept = []
  for c in reversed(range(len(chunks))):
    if tokens <= 0:
      break
    text = chunks[c] if count(chunks[c]) <= tokens else cut(chunks[c], tokens)
    if text:
      kept.append(base.entry(text, c, c, count))
      tokens -= kept[-1].tokens
    if text != chunks[c]:
      break
  return kept[::-1]


def _newest(pieces, tokens: int) -> list[structs.Entry]:
  kept = []
  for piece in reversed(pieces):
    tokens -= piece.tokens
    if tokens < 0:
      break
    kept.append(piece)
  return [
    structs.Entry(e.kind, n, e.text, e.created, e.updated, n, e.tokens)
    for n, e in enumerate(reversed(kept))
  ]


def _ranked(entries: Sequence[Sequence[structs.Entry]], k: int):
  """A search by BM25 over the entries of each memory."""
  indices = [
    functools.cache(functools.partial(index.Index, [e.text for e in kept]))
    for kept in entries
  ]

  def search(queries: reader_base.Queries) -> reader_base.Hits:
    return [
      [[kept[d] for d in make().top(query, k)] for query in row]
      for kept, make, row in zip(entries, indices, queries, strict=True)
    ]

  return search
