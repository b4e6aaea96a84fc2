"""Checkpoints of a run: a few recent ones, and named snapshots that stay.

  <directory>/step_00000040   the newest `keep` of these, written by `save`
  <directory>/best_00000003   the newest of each name, written by `snapshot`

Each holds a tree of arrays (by Orbax) and `info`, a dictionary of plain JSON:
config, data position, length of the metrics file. A directory gets its final
name only when it is complete, and older ones are deleted only after that, so a
kill at any moment leaves the old checkpoint, the new one, or both.

Restart order: the newest checkpoint is read and its checksums are compared; if
it is damaged, a warning is logged and the one before it is tried. Checksums are
ours because Orbax does not notice a flipped bit. They do not depend on the
mesh, so a checkpoint can be read back onto any layout of devices.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import zlib
from collections.abc import Mapping
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint.experimental.v1 as ocp
from absl import logging

from mem_alpha import mesh

STEP = 'step'

_ELSEWHERE = (
  'the model or the optimiser was configured differently, so use the '
  'settings of that run or another workdir'
)


@dataclasses.dataclass(frozen=True)
class Restored:
  """What was saved: the step, the tree of arrays and the plain data."""

  step: int
  state: Any
  info: dict


class Store:
  """The checkpoints of one run. Use as a context manager, or `close` it.

  Writing goes on in the background, one checkpoint at a time; `wait` returns
  when the last one is on disk. All processes call all methods.
  """

  def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
    if keep < 1:
      raise ValueError(f'a run keeps at least 1 checkpoint, not keep={keep}')
    self._directory = pathlib.Path(directory).absolute()
    self._keep = keep
    self._thread = futures.ThreadPoolExecutor(max_workers=1)
    self._pending = None  # the save under way
    self._damaged = set()  # what restore had to pass over
    self._cleaned = False

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  @property
  def latest(self) -> int | None:
    """Step of the newest checkpoint on disk, good or not."""
    return max((number for number, _ in self._found(STEP)), default=None)

  def save(self, step: int, state, info: Mapping) -> None:
    """Saves the state after `step`; the oldest beyond `keep` goes later."""
    self.wait()
    for number, path in self._found(STEP):
      if number < step:
        continue
      if path not in self._damaged:
        raise ValueError(
          f'{path} exists already, so step {step} cannot follow: restore it '
          'first or choose an empty directory'
        )
      logging.warning('Deleting %s, which could not be restored.', path)
      self._delete(path)
    self._start(STEP, step, step, state, info)

  def snapshot(self, name: str, step: int, state, info: Mapping) -> None:
    """Saves under a name, in place of the snapshot that had it before."""
    self.wait()
    if not re.fullmatch('[a-z][a-z_]*[a-z]', name) or name == STEP:
      raise ValueError(
        f'a snapshot cannot be called {name!r}: use small letters and _, '
        f'other than {STEP!r}'
      )
    serial = max((number for number, _ in self._found(name)), default=0) + 1
    self._start(name, serial, step, state, info)

  def restore(self, like, *, name: str | None = None) -> Restored | None:
    """Reads the newest good checkpoint, or the named snapshot.

    `like` is a tree of arrays (or ShapeDtypeStructs) that says what to read
    and where to put it; it may be a part of what was saved. None if there is
    no checkpoint yet; a name that was never saved is an error.
    """
    self.wait()
    found = self._found(name or STEP)
    for _, path in found:
      try:
        header = _read_header(path)
      except Exception as error:  # damaged files fail in many ways
        self._pass_over(path, error)
        continue
      _check_types(path, header, like)
      try:
        return _read(path, header, like)
      except Exception as error:
        self._pass_over(path, error)
    if found:
      raise ValueError(
        f'none of the {len(found)} checkpoints in {self._directory} can be '
        'read: restore the files, or delete them to start over'
      )
    if name is not None:
      raise FileNotFoundError(
        f'{self._directory} has no snapshot called {name!r}: it was not saved '
        'yet, or this is not the directory of its run'
      )
    return None

  def peek(self, *, name: str | None = None) -> dict | None:
    """Only `info` of the newest checkpoint whose header can be read."""
    self.wait()
    for _, path in self._found(name or STEP):
      try:
        return _read_header(path)['info']
      except Exception as error:  # as in restore
        self._pass_over(path, error)
    return None

  def wait(self) -> None:
    """Returns when the last save is on disk, or raises what it failed of."""
    pending, self._pending = self._pending, None
    if pending is None:
      return
    try:
      pending.result()
    except Exception as error:  # a full disk fails in many ways
      reason = str(error).split('\n')[0][:200]
      raise OSError(
        f'a checkpoint could not be written to {self._directory} ({reason}): '
        'make room there and start the run again; the ones before it are '
        'untouched.'
      ) from error

  def close(self) -> None:
    try:
      self.wait()
    finally:
      self._thread.shutdown()

  def _start(self, name, number, step, state, info):
    self._clean()
    header = {'step': int(step), 'info': info, 'sums': _checksums(state)}
    path = self._directory / f'{name}_{number:08d}'
    header['sum'] = _json_sum(header)
    response = ocp.save_async(path, state, custom_metadata=header)
    self._pending = self._thread.submit(self._finish, response, name)

  def _finish(self, response, name):
    """Only when a checkpoint is complete and on disk may older ones go."""
    response.result()
    keep = self._keep if name == STEP else 1
    (_, newest), *older = self._found(name)
    _sync(newest)
    for _, path in older[keep - 1 :]:
      self._delete(path)

  def _clean(self):
    """Removes what a killed run left half written; before the first save."""
    if self._cleaned or jax.process_index() != 0:
      return
    self._cleaned = True
    self._directory.mkdir(parents=True, exist_ok=True)
    for path in self._directory.iterdir():
      if 'orbax-checkpoint-tmp' in path.name or path.name.startswith('.old_'):
        shutil.rmtree(path, ignore_errors=True)

  def _found(self, name) -> list[tuple[int, pathlib.Path]]:
    """Complete checkpoints of that name, newest first."""
    if not self._directory.is_dir():
      return []
    pattern = re.compile(re.escape(name) + r'_(\d+)')
    matches = [
      (match, path)
      for path in self._directory.iterdir()
      if (match := pattern.fullmatch(path.name))
    ]
    return sorted([(int(m[1]), path) for m, path in matches], reverse=True)

  def _pass_over(self, path, error):
    self._damaged.add(path)
    reason = str(error).split('\n')[0][:200]  # Orbax adds pages
    logging.warning(
      '%s is damaged, so the one before it is tried: %s: %s',
      path,
      type(error).__name__,
      reason,
    )

  def _delete(self, path):
    """Takes the name away first: a half-deleted directory is no checkpoint."""
    if jax.process_index() == 0:
      grave = path.with_name(f'.old_{path.name}')
      shutil.rmtree(grave, ignore_errors=True)
      path.rename(grave)
      shutil.rmtree(grave)


def require_same_config(
  saved: Mapping, current: Mapping, *, may_differ: tuple[str, ...] = ()
) -> None:
  """Refuses to resume a run under another config, naming what differs.

  Nested dictionaries are compared by dotted key; `may_differ` lists keys, or
  the heads of keys, that do not change results.
  """
  saved, current = dict(_flat(saved)), dict(_flat(current))
  absent = object()
  lines = []
  for key in sorted(saved | current):
    old, new = saved.get(key, absent), current.get(key, absent)
    allowed = any(key == k or key.startswith(k + '.') for k in may_differ)
    if old != new and not allowed:
      show = [
        'absent' if v is absent else json.dumps(v, default=str)
        for v in (old, new)
      ]
      lines.append(f'{key} was {show[0]} and is {show[1]}')
  if lines:
    raise ValueError(
      f'the run was started with another config: {"; ".join(lines)}. Use the '
      'same settings, or another workdir'
    )


def fingerprint(state) -> int:
  """A checksum of a tree of arrays, whatever the layout of devices."""
  return zlib.crc32(json.dumps(_checksums(state), sort_keys=True).encode())


def _flat(tree, prefix=''):
  for key, value in tree.items():
    if isinstance(value, Mapping) and value:
      yield from _flat(value, f'{prefix}{key}.')
    else:
      # As it comes back from JSON: tuples are lists there.
      yield f'{prefix}{key}', json.loads(json.dumps(value, default=str))


def _read_header(path):
  """Step, info and checksums of one checkpoint."""
  header = ocp.metadata(path).custom_metadata
  if not header or header['sum'] != _json_sum(header):
    raise ValueError(f'the header of {path} does not match its checksum')
  return header


def _read(path, header, like):
  context = ocp.Context()
  context.pytree.loading.partial_load = True
  with context:
    state = ocp.load(path, jax.tree.map(mesh.placed, like))
  for name, value in _checksums(state).items():
    if value != header['sums'][name]:
      raise ValueError(f'{name} of {path} does not match its checksum')
  return Restored(header['step'], state, header['info'])


def _check_types(path, header, like):
  """Another model or optimiser is no damage, and no older one would fit."""
  for key, leaf in jax.tree.leaves_with_path(like):
    name = jax.tree_util.keystr(key, simple=True, separator='/')
    if name not in header['sums']:
      raise ValueError(f'{path} holds no {name}: {_ELSEWHERE}')
    saved, wanted = header['sums'][name][0], _describe(leaf)
    if saved != wanted:
      raise ValueError(
        f'{path} holds {name} as {saved} but the run has {wanted}: {_ELSEWHERE}'
      )


def compile_sums(state) -> None:
  """Compiles what saving such a state needs on the devices."""
  _array_sums.trace(jax.tree.leaves(state)).lower().compile()


def _checksums(state) -> dict[str, list]:
  """Type and checksum of each leaf by its path, such as 'params/embed'."""
  named = jax.tree.leaves_with_path(state)
  sums = jax.device_get(_array_sums([leaf for _, leaf in named]))
  return {
    jax.tree_util.keystr(key, simple=True, separator='/'): [
      _describe(leaf),
      int(total),
    ]
    for (key, leaf), total in zip(named, sums, strict=True)
  }


def _describe(leaf) -> str:
  return f'{leaf.dtype}{list(leaf.shape)}'


@jax.jit
def _array_sums(leaves):
  return [_array_sum(leaf) for leaf in leaves]


def _array_sum(x):
  """Sum of all words, each times an odd number of its own, modulo 2**32.

  Integer sums do not depend on their order, hence not on the mesh, and an odd
  factor turns every change of one word into a change of the sum.
  """
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  if x.dtype != bool:
    x = x.view(f'uint{8 * x.dtype.itemsize}')
  index = jnp.uint32(0)
  for axis, size in enumerate(x.shape):
    place = jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
    index = index * jnp.uint32(size) + place
  return (x.astype(jnp.uint32) * (2 * index + 1)).sum(dtype=jnp.uint32)


def _json_sum(header) -> int:
  """Checksum of everything in the header but the checksum itself."""
  body = {key: value for key, value in header.items() if key != 'sum'}
  try:
    return zlib.crc32(json.dumps(body, sort_keys=True).encode())
  except TypeError as error:
    raise ValueError(
      f'info of a checkpoint must be plain JSON data: {error}'
    ) from error


def _sync(path):
  """Forces a finished checkpoint out of the page cache."""
  if jax.process_index() != 0:
    return
  for part in [*path.rglob('*'), path, path.parent]:
    handle = os.open(part, os.O_RDONLY)
    try:
      os.fsync(handle)
    finally:
      os.close(handle)
