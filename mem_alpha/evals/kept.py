"""The files of one system of an evaluation, which also let it go on.

  SYSTEM_instances.jsonl  settings, then one line of figures per instance
  SYSTEM.jsonl            one line per question
  SYSTEM_memories.jsonl   one line per instance: memory/export.py
  SYSTEM_turns.jsonl      one line per chunk: rollout/record.py
  SYSTEM_responses.jsonl  what was said to the chunks of unfinished instances;
                          gone when all are finished

An instance is finished once its line of figures is on disk, which is written
last; a model is not asked again for a response that is. What a kill left half
written is dropped. Files of other settings, other weights or another version
of the data are refused, never mixed or overwritten. Processes of one run must
take the same steps: of several only the first writes, and none goes on.
"""

import dataclasses
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Mapping, Sequence

import jax

from mem_alpha import checkpoint
from mem_alpha import files
from mem_alpha import structs

# Suffix of a file, and the key of its lines in what `add` is given.
_PARTS = {'': 'predictions', '_memories': 'memories', '_turns': 'turns'}


class Kept:
  """What is known of a system: finished instances, and responses so far."""

  def __init__(
    self, folder: str | os.PathLike, system: str, *, settings: Mapping
  ):
    self._folder, self._system = pathlib.Path(folder), system
    head = {'settings': json.loads(json.dumps(settings))}
    first, *figures = self._read('_instances') or [head]
    self._check(first, head['settings'])
    self._head = head
    self._lines = {line['instance_id']: {**line} for line in figures}
    for suffix, key in _PARTS.items():
      for line in self._lines.values():
        line[key] = []
      for part in self._read(suffix):
        if part['instance_id'] in self._lines:
          self._lines[part['instance_id']][key].append(part)
    self._said = {
      (line['instance_id'], line['chunk']): line
      for line in self._read('_responses')
      if line['instance_id'] not in self._lines
    }
    self._write(self._lines)

  def get(self, instance: structs.Instance) -> dict | None:
    """What `add` was given for an instance, if it is finished."""
    line = self._same(self._lines.get(instance.instance_id), instance)
    if line and len(line['predictions']) != len(instance.questions):
      raise ValueError(
        f'{self._path("")} lacks predictions of {instance.instance_id}: delete '
        f'the {self._system} files to evaluate it again.'
      )
    return line

  def add(self, lines: Sequence[Mapping]) -> None:
    """Keeps finished instances; each line as of `collect.lines`."""
    for suffix, key in _PARTS.items():
      self._append(suffix, [part for line in lines for part in line[key]])
    self._append('_instances', list(map(_figures, lines)))
    self._lines |= {line['instance_id']: dict(line) for line in lines}

  def said(self, instance: structs.Instance, chunk: int) -> dict | None:
    """What `say` was given for a chunk."""
    line = self._said.get((instance.instance_id, chunk))
    return self._same(line, instance)

  def say(self, said: Iterable[tuple[structs.Instance, int, Mapping]]) -> None:
    """Keeps responses to chunks until their instances are finished."""
    lines = [
      dict(instance_id=i.instance_id, data=checksum(i), chunk=chunk, **value)
      for i, chunk, value in said
    ]
    self._append('_responses', lines)
    self._said |= {(line['instance_id'], line['chunk']): line for line in lines}

  def finish(self, instances: Iterable[structs.Instance]) -> None:
    """Puts the lines in the order of the instances."""
    ids = [i.instance_id for i in instances]
    done = [name for name in ids if name in self._lines]
    self._said = {k: v for k, v in self._said.items() if k[0] not in done}
    self._write(done)

  def _write(self, ids: Iterable[str]) -> None:
    if jax.process_index() != 0:
      return
    lines = [self._lines[name] for name in ids]
    for suffix, key in _PARTS.items():
      parts = [part for line in lines for part in line[key]]
      files.write_text(self._path(suffix), ''.join(map(_dump, parts)))
    figures = [self._head, *map(_figures, lines)]
    files.write_text(self._path('_instances'), ''.join(map(_dump, figures)))
    if self._said:
      said = ''.join(map(_dump, self._said.values()))
      files.write_text(self._path('_responses'), said)
    else:
      self._path('_responses').unlink(missing_ok=True)

  def _append(self, suffix: str, lines: Sequence[Mapping]) -> None:
    """Adds lines and forces them to disk."""
    if jax.process_index() != 0:
      return
    with self._path(suffix).open('a', encoding='utf-8', newline='\n') as file:
      file.write(''.join(map(_dump, lines)))
      file.flush()
      os.fsync(file.fileno())

  def _path(self, suffix: str) -> pathlib.Path:
    return self._folder / f'{self._system}{suffix}.jsonl'

  def _read(self, suffix: str) -> list[dict]:
    """Complete lines of a file; none where there is no file."""
    return [] if jax.process_count() > 1 else _read_lines(self._path(suffix))

  def _same(self, line: dict | None, instance) -> dict | None:
    if line and line['data'] != checksum(instance):
      raise ValueError(
        f'{self._path("_instances")} holds {instance.instance_id} of another '
        'version of the data: set eval.name to keep both results, or delete '
        f'the {self._system} files.'
      )
    return line

  def _check(self, first: Mapping, settings: Mapping) -> None:
    path = self._path('_instances')
    if 'settings' not in first:
      raise ValueError(
        f'{path} was written by another version of mem_alpha: set eval.name '
        'to keep it, or delete the file.'
      )
    try:
      checkpoint.require_same_config(first['settings'], settings)
    except ValueError as error:
      raise ValueError(
        f'{path}: {error}: set eval.name, or delete the file.'
      ) from None


@dataclasses.dataclass(frozen=True)
class Finished:
  """What an evaluation left of one system; a line as `Kept.add` takes it."""

  settings: dict
  lines: list[dict]

  @property
  def sums(self) -> dict[str, int]:
    """Checksums of the instances."""
    return {line['instance_id']: line['data'] for line in self.lines}


def finished(folder: pathlib.Path) -> dict[str, Finished]:
  """Every system in a folder; ValueError for one that is not finished."""
  found = {}
  for path in sorted(folder.glob('*_instances.jsonl')):
    system = path.name.removesuffix('_instances.jsonl')
    head, *lines = _read_lines(path) or [{}]
    if (folder / f'{system}_responses.jsonl').exists() or not lines:
      raise ValueError(
        f'{system} in {folder} is not finished: start --mode=evaluate there '
        'again.'
      )
    by_id = {line['instance_id']: line | {'predictions': []} for line in lines}
    for prediction in _read_lines(folder / f'{system}.jsonl'):
      by_id[prediction['instance_id']]['predictions'].append(prediction)
    found[system] = Finished(head['settings'], list(by_id.values()))
  return found


def _read_lines(path: pathlib.Path) -> list[dict]:
  """The complete lines of a file, without one that a kill left half written."""
  if not path.is_file():
    return []
  complete, _, _ = path.read_text('utf-8').rpartition('\n')
  lines = []
  for number, text in enumerate(filter(None, complete.split('\n')), 1):
    try:
      lines.append(json.loads(text))
    except ValueError as error:
      raise ValueError(
        f'{path}: line {number} is damaged ({error}): delete the file to '
        'evaluate that system again.'
      ) from error
  return lines


def checksum(instance: structs.Instance) -> int:
  """Of all that is read and asked."""
  questions = [
    (q.text, q.answers, q.kind, q.metric) for q in instance.questions
  ]
  value = json.dumps([instance.source, instance.chunks, questions])
  return zlib.crc32(value.encode())


def _figures(line: Mapping) -> dict:
  return {name: line[name] for name in ('instance_id', 'data', 'record')}


def _dump(line: Mapping) -> str:
  return json.dumps(line) + '\n'
