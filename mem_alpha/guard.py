"""What keeps a run from being lost: pre-emption, and numbers that are none."""

import contextlib
import pathlib
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from absl import logging

from mem_alpha import mesh


class Preempted(BaseException):
  """The run was asked to end (SIGTERM); nothing on its way catches this."""


class NotFiniteError(ValueError):
  """A loss or a gradient that is no number."""


class Preemption:
  """Turns SIGTERM into `Preempted`, where the state of the run is whole.

  That is at once inside `interruptible`, else at the next `check`. Where there
  are several processes, they agree at each `check`, so that all of them save.
  """

  def __init__(self):
    self._asked = self._open = False

  def __enter__(self):
    self._ours = threading.current_thread() is threading.main_thread()
    if self._ours:  # no other thread may set a handler
      self._old = signal.signal(signal.SIGTERM, self._receive)
    return self

  def __exit__(self, *_):
    if self._ours:
      signal.signal(signal.SIGTERM, self._old)

  def check(self) -> None:
    """Ends the run if it was asked to."""
    if any(mesh.gather(self._asked)):
      raise Preempted

  @contextlib.contextmanager
  def interruptible(self) -> Iterator[None]:
    """A long block that changes nothing of what a checkpoint holds."""
    self.check()
    self._open = jax.process_count() == 1
    try:
      yield
    finally:
      self._open = False

  def _receive(self, *_):
    self._asked = True
    if self._open:
      self._open = False
      raise Preempted


def keep_batch(directory: pathlib.Path, step: int, parts: Sequence) -> str:
  """Writes the micro-batches of an update for inspection; says where."""
  if jax.process_index() == 0:
    directory.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
      name = f'step_{step:08d}_{number:03d}.npz'
      np.savez_compressed(directory / name, **vars(part))
  return f'{directory}/step_{step:08d}_*.npz'


def not_finite(
  directory: pathlib.Path,
  step: int,
  parts: Sequence,
  figures: Mapping[str, float],
  mode: str,
) -> dict[str, float]:
  """Keeps the batch of such an update; then stops the run, or goes on.

  Returns the figures that are numbers, if `mode` is to skip the batch.
  """
  where = keep_batch(directory, step, parts)
  bad = [name for name, value in figures.items() if not np.isfinite(value)]
  message = (
    f'step {step} is not finite ({", ".join(bad)}); its batch is in {where}, '
    'and parameters are as before'
  )
  if mode == 'stop':
    raise NotFiniteError(
      f'{message}: look at it, or go on without such batches with '
      '--config.guard.non_finite=skip.'
    )
  logging.warning('%s.', message)
  return {name: x for name, x in figures.items() if name not in bad}
