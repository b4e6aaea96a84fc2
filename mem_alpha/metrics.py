"""Metrics as JSON lines: one object per line, written by process 0.

A line is written while the next step runs, and is on disk before `position`,
the size of the file, is known or the next line is taken. A checkpoint stores
that position; the run that resumes from it opens the file there, which cuts off
a torn last line and every line the resumed run will write again. So no line is
ever missing or doubled.

Keys read a/b/c. Keys that start with `time/` are seconds: they are the only
figures that may differ between a run and its repetition.
"""

import concurrent.futures
import contextlib
import functools
import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping

import jax
import numpy as np


class Writer:
  """Appends lines to `path`, first cutting the file to `position` bytes.

  A run that starts afresh passes no position and so empties the file; what
  was in it belongs to a run that died before its first checkpoint.
  """

  def __init__(self, path: str | os.PathLike, *, position: int = 0):
    self._position = position
    self._file = self._pending = None
    if jax.process_index() != 0:
      return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    self._file = open(path, 'ab')  # creates it, and never empties it
    size = os.path.getsize(path)
    if position > size:
      self._file.close()
      raise ValueError(
        f'{path} has {size} bytes but the checkpoint was made at {position}: '
        'restore the file or start a new workdir'
      )
    self._file.truncate(position)
    os.fsync(self._file.fileno())
    self._thread = concurrent.futures.ThreadPoolExecutor(1, 'metrics')

  @property
  def position(self) -> int:
    """Bytes on disk, once all lines are: the place to resume from."""
    self.wait()
    return self._position

  def wait(self) -> None:
    """Returns when every line is on disk; OSError if one cannot be written."""
    pending, self._pending = self._pending, None
    if pending:
      self._position += pending.result()

  def write(self, step: int, values: Mapping[str, object]) -> None:
    """Begins to write a line: the step, then the values in their order.

    JSON has no NaN or infinity, and neither belongs in a healthy run: both
    are an error that names the key. OSError if the line before this one could
    not be written.
    """
    plain = {key: _plain(key, step, value) for key, value in values.items()}
    if 'step' in plain:
      raise ValueError("metrics cannot be called 'step': it is the line's own")
    if self._file is None:
      return
    line = json.dumps({'step': int(step), **plain}, allow_nan=False) + '\n'
    self.wait()
    self._pending = self._thread.submit(self._append, line.encode())

  def _append(self, line: bytes) -> int:
    self._file.write(line)
    self._file.flush()
    os.fsync(self._file.fileno())
    return len(line)

  def close(self) -> None:
    if self._file is not None:
      self.wait()
      self._thread.shutdown()
      self._file.close()


def read(path: str | os.PathLike) -> list[dict]:
  """All whole lines of a file; a torn last line is left out."""
  with open(path, 'rb') as file:
    lines = file.read().split(b'\n')[:-1]
  return [json.loads(line) for line in lines]


def _plain(key, step, value):
  """A Python scalar from a number or 0-d array; strings pass."""
  if isinstance(value, str | bool | int | None):
    return value
  array = np.asarray(value)
  if array.ndim:
    raise ValueError(
      f'metric {key!r} at step {step} has shape {array.shape}: write scalars'
    )
  if array.dtype == bool or np.issubdtype(array.dtype, np.integer):
    return array.item()
  number = float(array)
  if not math.isfinite(number):
    raise ValueError(
      f'metric {key!r} at step {step} is {number}: the run has diverged or '
      'the figure is undefined; leave undefined figures out'
    )
  return number


class Timer:
  """Adds up wall time per phase between two calls of `pop`.

  Phases may nest: time counts for the innermost, unless one around it is
  `whole`, which keeps all of its time. Each thread nests for itself.
  """

  def __init__(self):
    self._seconds: dict[str, float] = {}
    self._lock = threading.Lock()
    self._open = threading.local()

  @contextlib.contextmanager
  def phase(self, name: str, *, whole: bool = False) -> Iterator[None]:
    """Times a block. JAX runs ahead: block on results inside to count them."""
    outer = getattr(self._open, 'phase', None)
    counts = not (outer and outer['whole'])
    own = {'inner': 0.0, 'whole': whole or not counts}
    self._open.phase = own
    start = time.perf_counter()
    try:
      yield
    finally:
      passed = time.perf_counter() - start
      self._open.phase = outer
      if outer:
        outer['inner'] += passed
      if counts:
        with self._lock:
          inner = 0.0 if whole else own['inner']
          old = self._seconds.get(name, 0.0)
          self._seconds[name] = old + passed - inner

  def wrap(self, name: str, function):
    """The function, its calls timed as a phase."""

    @functools.wraps(function)
    def timed(*args, **kwargs):
      with self.phase(name):
        return function(*args, **kwargs)

    return timed

  def pop(self) -> dict[str, float]:
    """Seconds per phase as `time/<name>`, and starts again from zero."""
    with self._lock:
      seconds, self._seconds = self._seconds, {}
    return {f'time/{name}': value for name, value in seconds.items()}
