"""Memories of constant size that are written anew after every chunk.

  overwrite  MemAgent (arXiv 2507.02259): from the old memory and the next
             section the model writes a new memory, which replaces the old one
  state      MEM1 (arXiv 2506.15841): the model thinks over its last state and
             the next section; what stands between its think tags is all that
             it carries on

As in the published comparison neither is told the questions while it reads, and
what is carried after the last chunk is what the reader sees. Instances are
updated side by side: one request per instance and chunk. Where no language
model is given, `extract` writes: it keeps the sentences that say most.
"""

import collections
import re
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.baselines import base
from mem_alpha.baselines import plain
from mem_alpha.evals import kept as kept_lib
from mem_alpha.readers import base as reader_base

_EMPTY = 'No previous memory'

# (what is carried, next chunk) of several instances -> what is carried on
Update = Callable[[Sequence[tuple[str, str]]], list[reader_base.Completion]]

_LEAD = (
  'You read a long text section by section, and will be asked about all of it '
  'later. '
)
_OVERWRITE = _LEAD + (
  'You see the memory of the sections before and one more section. Write the '
  'new memory: keep what still matters of the old one, add what the section '
  'tells that may be asked about. It replaces the old memory, so what it '
  'leaves out is lost. At most {tokens} tokens.'
)
_STATE = _LEAD + (
  'All that you carry from one section to the next is what you write between '
  '<think> and </think>: think over your last state and the section, and sum '
  'up there everything that may be asked about. At most {tokens} tokens.'
)
_PROMPTS = {'overwrite': _OVERWRITE, 'state': _STATE}
_ASK = {
  'overwrite': 'Write the new memory.',
  'state': 'Write the new state, between <think> and </think>.',
}
_THOUGHT = re.compile(r'<think>(.*?)(?:</think>|\Z)', re.DOTALL)


def recurrent(
  update: Update,
  *,
  tokens: int,
  count: base.Count,
  cut: Callable[[str, int], str],
  failures: dict[str, str],
  kept: kept_lib.Kept | None = None,
) -> base.Baseline:
  """One entry, replaced after each chunk; `cut(text, n)` is its beginning.

  What is carried after each chunk goes to `kept`, and is not made again. An
  instance whose update failed after all retries is read no further and noted,
  with the reason, in `failures`: an old memory would be scored as a new one.
  """

  def after(instances, c, carried) -> list[str]:
    """What each instance carries after chunk `c`."""
    known = [kept.said(i, c) if kept else None for i in instances]
    open_ = [n for n, said in enumerate(known) if said is None]
    pairs = [(carried[n], instances[n].chunks[c]) for n in open_]
    new = update(pairs) if pairs else []
    result = [said and said['text'] for said in known]
    for n, completion in zip(open_, new, strict=True):
      if completion.failed:
        failures[instances[n].instance_id] = completion.failed
      text = completion.text
      result[n] = text if count(text) <= tokens else cut(text, tokens)
    if kept:
      kept.say(
        (instances[n], c, dict(text=result[n]))
        for n in open_
        if instances[n].instance_id not in failures
      )
    return result

  def keep(instances: Sequence[structs.Instance]) -> base.Kept:
    carried = [''] * len(instances)
    for c in range(max((len(i.chunks) for i in instances), default=0)):
      rows = [
        row
        for row, i in enumerate(instances)
        if c < len(i.chunks) and i.instance_id not in failures
      ]
      new = after([instances[r] for r in rows], c, [carried[r] for r in rows])
      for row, text in zip(rows, new, strict=True):
        carried[row] = text
    entries = [
      [base.entry(text, len(i.chunks) - 1, 0, count)] if text else []
      for text, i in zip(carried, instances, strict=True)
    ]
    return base.Kept(entries, base.show_all(entries))

  return keep


def asking(model: reader_base.Model, style: str, *, tokens: int) -> Update:
  """A language model writes; the model itself retries what may pass."""

  def update(pairs):
    lead = _PROMPTS[style].format(tokens=tokens)
    said = model(
      [
        reader_base.Prompt(
          f'{lead}\n\n<memory>\n{carried or _EMPTY}\n</memory>\n'
          f'<section>\n{chunk}\n</section>',
          _ASK[style],
        )
        for carried, chunk in pairs
      ]
    )
    return [
      completion
      if completion.failed
      else reader_base.Completion(_carried(completion.text, style))
      for completion in said
    ]

  return update


def _carried(text: str, style: str) -> str:
  """What a response carries on; a state without its tags carries nothing."""
  if style == 'overwrite':
    return text.strip()
  thoughts = _THOUGHT.findall(text)
  return thoughts[-1].strip() if thoughts else ''


def extracting(*, tokens: int, count: base.Count) -> Update:
  """Sentences of old memory and chunk, chosen anew within the budget."""

  def update(pairs):
    return [
      reader_base.Completion(extract(f'{old}\n{new}', tokens, count))
      for old, new in pairs
    ]

  return update


def extract(text: str, tokens: int, count: base.Count) -> str:
  """The sentences that say most, in their order, one a line.

  Greedily the one with most not yet covered words per token, a word counting
  1 / its occurrences in the text; of equal ones the later.
  """
  pieces = list(dict.fromkeys(plain.sentences(text)))
  words = [frozenset(text_lib.words(piece)) for piece in pieces]
  costs = [count(piece + '\n') for piece in pieces]
  times = collections.Counter(w for found in words for w in found)
  kept, covered, left = set(), set(), tokens
  while True:
    options = [
      (sum(1 / times[w] for w in sorted(words[p] - covered)) / costs[p], p)
      for p in range(len(pieces))
      if p not in kept and costs[p] <= left
    ]
    gain, best = max(options, default=(0.0, 0))
    if gain <= 0:
      return '\n'.join(pieces[p] for p in sorted(kept))
    kept.add(best)
    covered |= words[best]
    left -= costs[best]
