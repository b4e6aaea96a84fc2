"""r4 and *fidelity*: is what was stored stated in the chunk?

A check of form, without a model. Texts are compared as lower-case words
(`\\b\\w+\\b`). An entry is grounded if its words stand in the chunk one after
the other. The core text is a summary that grows: of it, each word that the
previous core text did not have must occur in the chunk.
"""

import re
from collections.abc import Sequence

from mem_alpha import structs


def is_grounded(
  content: str, chunk: str, previous_core: str | None = None
) -> bool:
  """Whether a stored content is stated in its chunk.

  `previous_core` is given for a core text, and is the one that it replaces.
  """
  words = _words(content)
  if not words:
    return False
  if previous_core is None:
    # Words hold no space, so a match cannot begin or end inside one.
    return f' {" ".join(words)} ' in f' {" ".join(_words(chunk))} '
  return set(words) <= {*_words(previous_core), *_words(chunk)}


def judge(
  calls: Sequence[structs.Call],
  statuses: Sequence[structs.Status],
  *,
  chunk: str,
  core: str,
) -> list[bool]:
  """Whether each accepted insert or update of a turn is grounded.

  `core` is the core text before the turn; core calls are judged in order, each
  against the one before it.
  """
  verdicts = []
  for call, status in zip(calls, statuses, strict=True):
    if status != structs.Status.OK:
      continue
    is_core = call.kind == structs.Kind.CORE
    if call.action in (structs.Action.INSERT, structs.Action.UPDATE):
      previous = core if is_core else None
      verdicts.append(is_grounded(call.content, chunk, previous))
    if is_core:
      core = call.content  # empty after a delete
  return verdicts


def reward(verdicts: Sequence[bool]) -> float | None:
  """Share of grounded contents; None (left out) where nothing was stored."""
  return sum(verdicts) / len(verdicts) if verdicts else None


def _words(text: str) -> list[str]:
  return re.findall(r'\b\w+\b', text.lower())
