"""r4 and *fidelity*: is what was stored worth storing, and does it stand there?

r4 is the share of a turn's stored contents that are valid. Who says so is a
model (readers/judge.py), or this check of form, which is also *fidelity*: is
what was stored stated in the chunk? Texts are compared as lower-case words
(`\\b\\w+\\b`). An entry is grounded if its words stand in the chunk one after
the other. The core text is a summary that grows: of it, each word that the
previous core text did not have must occur in the chunk.

By default the accepted inserts and updates count, and a turn that stored
nothing has no r4. As published (`published=True`), every call counts: those
that the memory refused are judged too, a delete or a call without content is
worth 0, and so is a turn without a call.
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


def judged(
  calls: Sequence[structs.Call],
  statuses: Sequence[structs.Status],
  *,
  published: bool = False,
) -> list[structs.Call]:
  """The calls of a turn whose content a model is to judge."""
  writes = (structs.Action.INSERT, structs.Action.UPDATE)
  return [
    call
    for call, status in zip(calls, statuses, strict=True)
    if call.action in writes
    and (call.content.strip() if published else status == structs.Status.OK)
  ]


def reward(
  verdicts: Sequence[bool | None], *, published_calls: int | None = None
) -> float | None:
  """Share of valid contents; None (left out) where there is none to judge.

  A verdict that a judge failed to give (None) is left out. `published_calls`
  is given for the published rule: the number of all calls of the turn.
  """
  given = [verdict for verdict in verdicts if verdict is not None]
  if published_calls is None:
    return sum(given) / len(given) if given else None
  count = published_calls - (len(verdicts) - len(given))
  if count == 0:  # without a call 0; with none that could be judged, nothing
    return None if published_calls else 0.0
  return sum(given) / count


def _words(text: str) -> list[str]:
  return re.findall(r'\b\w+\b', text.lower())
