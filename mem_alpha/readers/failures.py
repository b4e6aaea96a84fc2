"""How many questions may fail before a run must stop.

A question that failed after all retries is excluded and counted. Too many of
them would bias what is left (the easy ones answer first), so a run stops once
more than a share `limit` of the last 200 outcomes are failures.
"""

import collections
import threading

from mem_alpha.readers import base

_WINDOW = 200
_LEAST = 50  # a share of fewer outcomes means little


class Ledger:
  """Counts outcomes; one for all readers and judges of a run."""

  def __init__(self, limit: float):
    self.limit = limit
    self.failed = self.total = 0
    self._recent = collections.deque(maxlen=_WINDOW)
    self._lock = threading.Lock()

  def record(self, failed: str) -> None:
    """Notes an outcome ('' is a success); raises if too many have failed."""
    with self._lock:
      self._recent.append(bool(failed))
      self.total += 1
      self.failed += bool(failed)
      recent, size = sum(self._recent), len(self._recent)
    if failed and recent > self.limit * max(size, _LEAST):
      raise base.ReaderError(
        f'{recent} of the last {size} requests to readers and judges failed, '
        f'more than endpoint.failure_limit={self.limit} allows; the last one '
        f'because: {failed}. Mend that and start again: answers are kept.'
      )
