"""How many answers may fail before a run must stop.

A question whose reader or judge failed after all retries is excluded and
counted. Too many of them would bias what is left (the easy ones answer first),
so a run stops once more than a share `limit` of 200 outcomes in a row are
failures.

One outcome is one answer of a reader or one verdict of a judge, whatever it
took: a server, a model in this process, the cache, or several requests. They
stand in the order of the questions, so a repeat of a run counts as it did.
"""

import itertools
import threading
from collections.abc import Callable

from mem_alpha.readers import base

_WINDOW = 200
_LEAST = 50  # a share of fewer outcomes means little


class Ledger:
  """Counts outcomes; one for all readers and judges of a run."""

  def __init__(self, limit: float):
    self.limit = limit
    self._failed = bytearray()  # 1 where an outcome is a failure
    self._stopped: base.ReaderError | None = None
    self._tell: list[Callable[[base.ReaderError], None]] = []
    self._lock = threading.Lock()

  @property
  def total(self) -> int:
    return len(self._failed)

  @property
  def failed(self) -> int:
    return sum(self._failed)

  def when_stopped(self, tell: Callable[[base.ReaderError], None]) -> None:
    """Whom to tell, once, that the run stops."""
    self._tell.append(tell)

  def record(self, failed: str = '') -> int:
    """Notes an outcome ('' is a success), or one that is not decided yet.

    Returns its place, for `amend`; raises ReaderError if too many have failed.
    """
    with self._lock:
      self._failed.append(0)
      place = len(self._failed) - 1
    if failed:
      self.amend(place, failed)
    return place

  def amend(self, place: int, failed: str) -> None:
    """Notes that an outcome turned out as a failure; raises like `record`."""
    with self._lock:
      self._failed[place] = 1
      size = min(_WINDOW, len(self._failed))
      near = self._failed[max(0, place - size + 1) : place + size]
      sums = [0, *itertools.accumulate(near)]
      most = max(end - start for start, end in zip(sums, sums[size:]))
      first = self._stopped is None
      if first and most > self.limit * max(size, _LEAST):
        self._stopped = base.ReaderError(
          f'Of {size} answers and verdicts in a row, {most} failed, more than '
          f'endpoint.failure_limit={self.limit} allows; the last one because: '
          f'{failed}. Mend that and start again: answers are kept.'
        )
      error = self._stopped
    if error:
      for tell in self._tell if first else ():
        tell(error)
      raise error
