"""Scripted writers: the imperfect teacher of the warm start, and the ceiling.

They read the generator's notes, never a question. `imperfect` decides
independently for each sentence: it leaves out a fact, stores small talk, and
inserts where it should update, each with its own probability; it never writes
a malformed call, and it updates only entries that the prompt shows, so that a
model can learn to do the same. `perfect` stores all facts, current,
and nothing else. `sample_sentences` is the teacher for text without notes.
"""

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence

from mem_alpha import structs

# A topic stands in core as it does in chunks, after a space and `about`: what
# has to be copied is then found by the words before it.
_CORE_BEGIN = 'It is'

Slots = Mapping[str, tuple[str, ...]]  # sentence -> slot, of the notes so far


@dataclasses.dataclass(frozen=True)
class Habits:
  """How imperfect the writer is; the defaults are a perfect one."""

  leave_out_fact: float = 0.0
  store_small_talk: float = 0.0
  insert_for_update: float = 0.0


IMPERFECT = Habits(
  leave_out_fact=0.4, store_small_talk=0.5, insert_for_update=0.5
)
PERFECT = Habits()


def write(
  notes: Sequence[structs.Note],
  *,
  core: str,
  visible: Sequence[structs.Entry],
  slots: Slots,
  habits: Habits,
  rng: random.Random,
) -> list[structs.Call | None]:
  """What each line of a chunk leads to; None passes over it.

  `visible` are the entries that the writer may update, `slots` what earlier
  notes (and those of this chunk) were about.
  """
  known = {slots[entry.text]: entry for entry in visible if entry.text in slots}
  calls: list[structs.Call | None] = []
  pending = {}  # slot -> which of these calls inserts it
  for place, note in enumerate(notes):
    calls.append(None)
    if note.slot is None:
      if rng.random() < habits.store_small_talk:
        calls[place] = _insert(note)
      continue
    careless = rng.random() < habits.insert_for_update
    if rng.random() < habits.leave_out_fact:
      continue
    if note.kind == structs.Kind.CORE:
      core = f'{core or _CORE_BEGIN} about {note.slot[-1]}'
      calls[place] = structs.Call(
        structs.Action.UPDATE, structs.Kind.CORE, structs.NO_ID, core
      )
    elif note.slot in known and not careless:
      entry = known[note.slot]
      calls[place] = structs.Call(
        structs.Action.UPDATE, entry.kind, entry.uid, note.sentence
      )
    else:
      if note.slot in pending and not careless:
        calls[pending[note.slot]] = None  # not stored yet: no id to update
      calls[place] = _insert(note)
      pending[note.slot] = place
  return calls


def sample_sentences(
  chunk: str, *, probability: float, rng: random.Random
) -> list[structs.Call]:
  """Stores each sentence with the given probability, as semantic memory."""
  sentences = [s.strip() for s in re.split(r'(?<=[.!?])\s+', chunk)]
  return [
    structs.Call(
      structs.Action.INSERT, structs.Kind.SEMANTIC, structs.NO_ID, sentence
    )
    for sentence in sentences
    if sentence and rng.random() < probability
  ]


def _insert(note: structs.Note) -> structs.Call:
  return structs.Call(
    structs.Action.INSERT, note.kind, structs.NO_ID, note.sentence
  )
