"""Plain data that every part of mem_alpha passes around.

Letters for dimensions are listed in README ("Letters"). Nothing here knows of
a tokenizer, a model or a config.
"""

import dataclasses
import enum

NO_ID = -1  # a call without an id, and the id of core versions


class Kind(enum.IntEnum):
  """The three memories of Mem-alpha (arXiv 2509.25911, section 3)."""

  CORE = 0
  SEMANTIC = 1
  EPISODIC = 2


class Action(enum.IntEnum):
  """What a tool call asks of the memory. PAD rows of `Ops` are NONE."""

  NONE = 0
  INSERT = 1
  UPDATE = 2
  DELETE = 3


class Status(enum.IntEnum):
  """Outcome of one call; the parser and the memory share one list."""

  OK = 0
  DUPLICATE = 1  # the same text is stored already under this kind
  UNKNOWN_ID = 2  # update or delete without an id, or with one not live
  FULL = 3  # no room in the table or a pool, even after compaction
  TOO_LONG = 4  # content over the limit of its kind
  DISABLED = 5  # the config switched this memory off
  INVALID = 6  # not a well-formed call
  TRUNCATED = 7  # cut off by the length limit of the response
  EMPTY = 8  # blank content
  EXCESS = 9  # more calls in a turn than the run allows
  NONE = 10  # padding: there was no call


@dataclasses.dataclass(frozen=True)
class Call:
  """One tool call as parsed from text. Not OK means it is never executed."""

  action: Action = Action.NONE
  kind: Kind = Kind.SEMANTIC
  uid: int = NO_ID
  content: str = ''
  status: Status = Status.OK


@dataclasses.dataclass(frozen=True)
class Question:
  """A question, its accepted answers and the name of its score.

  `metric` names a scorer in `rewards/scores.py`; `kind` is the column of the
  result tables that the question counts in.
  """

  text: str
  answers: tuple[str, ...]
  kind: str
  metric: str


@dataclasses.dataclass(frozen=True)
class Note:
  """What a generator knows of one sentence of a chunk (never shown to a model).

  `slot` names what the sentence is about, such as ('Mira', 'city'); a later
  note with the same slot overrides an earlier one. `slot` is None for small
  talk. `kind` is the memory that a perfect writer would store it in.
  """

  sentence: str
  slot: tuple[str, ...] | None = None
  kind: Kind = Kind.SEMANTIC


@dataclasses.dataclass(frozen=True)
class Instance:
  """One interaction: chunks in order, then questions about all of them.

  `notes` holds, per chunk, the generator's annotations, or is empty.
  """

  instance_id: str
  source: str
  chunks: tuple[str, ...]
  questions: tuple[Question, ...]
  notes: tuple[tuple[Note, ...], ...] = ()


@dataclasses.dataclass(frozen=True)
class Entry:
  """One live memory entry as text, as rendering and readers see it."""

  kind: Kind
  uid: int
  text: str
  created: int  # chunk index of its first version
  updated: int  # chunk index of its newest version
  order: int  # newer entries have larger values
  tokens: int = 0  # length of the text in the run's tokenizer


@dataclasses.dataclass(frozen=True)
class Answer:
  """A reader's answer and the entries (as (kind, uid)) that it came from.

  `failed` says why a reader has no answer; such a question is excluded and
  counted, never scored as wrong. `calls` is how often the reader was asked.
  """

  text: str
  sources: tuple[tuple[Kind, int], ...] = ()
  failed: str = ''
  calls: int = 1
