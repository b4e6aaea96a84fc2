"""What became of the rows of a source: nothing is dropped in silence.

Builders write down each row that they leave out or change, with its place and
the reason. `--mode=prepare` stores the list and prints the counts.
"""

import collections
import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Entry:
  """One row of a source that did not come through as it was."""

  source: str
  split: str  # '' where it was met before the rows were split
  place: str  # an id, a title or a line that finds the row in its file
  reason: str
  left_out: bool  # else it was changed as the reason says


class Ledger:
  """A list of entries, in the order in which they were first met.

  A place names one row of one file, or one question of one instance. So the
  same entry again is the same row read again (files are read for each split)
  and does not count.
  """

  def __init__(self):
    self._entries: dict[Entry, None] = {}

  def leave_out(
    self, source: str, place: str, reason: str, *, split: str = ''
  ) -> None:
    self._entries[Entry(source, split, place, reason, True)] = None

  def change(
    self, source: str, place: str, reason: str, *, split: str = ''
  ) -> None:
    self._entries[Entry(source, split, place, reason, False)] = None

  @property
  def entries(self) -> list[Entry]:
    return list(self._entries)

  def counts(self) -> dict[str, int]:
    """How many rows each reason met, named by source, split and reason."""
    found = collections.Counter(
      f'{e.source}{"/" * bool(e.split)}{e.split}: '
      f'{"left out" if e.left_out else "changed"}: {e.reason}'
      for e in self._entries
    )
    return dict(sorted(found.items()))

  def to_jsonl(self) -> str:
    lines = (dataclasses.asdict(entry) for entry in self._entries)
    return ''.join(json.dumps(x, ensure_ascii=False) + '\n' for x in lines)
