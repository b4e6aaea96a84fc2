"""Instances as rows of the published column layout: parquet and JSON lines.

The eight columns are those of the released data sets. `chunks`,
`questions_and_answers` and `metadata` hold JSON text; in JSON lines they may
be lists and objects themselves. What the layout has no
column for (our id, kinds and metrics of questions, notes) travels in
`metadata` under one key, so others' tools read our rows and we read theirs.
The same rows give the same bytes.
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import pyarrow
import pyarrow.parquet
from absl import logging

from mem_alpha import files
from mem_alpha import structs

COLUMNS = (
  'instance_id',
  'prompt',
  'chunks',
  'questions_and_answers',
  'data_source',
  'metadata',
  'num_chunks',
  'num_questions',
)
OURS = 'mem_alpha'  # our key in `metadata`
SUFFIXES = ('.parquet', '.jsonl')

_NUMBERS = ('instance_id', 'num_chunks', 'num_questions')
_LAYOUT = pyarrow.schema(
  (name, pyarrow.int64() if name in _NUMBERS else pyarrow.string())
  for name in COLUMNS
)

Row = dict[str, object]
Metric = Callable[[str], str]  # data source -> name of a score


def to_row(instance: structs.Instance, position: int) -> Row:
  """The row of an instance that is the `position`-th of its file."""
  ours = {
    'id': instance.instance_id,
    'kinds': [question.kind for question in instance.questions],
    'metrics': [question.metric for question in instance.questions],
    'notes': [
      [[note.sentence, note.slot, note.kind] for note in notes]
      for notes in instance.notes
    ],
  }
  pairs = [
    {'question': question.text, 'answer': list(question.answers)}
    for question in instance.questions
  ]
  return {
    'instance_id': position,
    'prompt': '',
    'chunks': _dump(instance.chunks),
    'questions_and_answers': _dump(pairs),
    'data_source': instance.source,
    'metadata': _dump({OURS: ours}),
    'num_chunks': len(instance.chunks),
    'num_questions': len(instance.questions),
  }


def from_row(
  row: Mapping[str, object], position: int, *, metric: Metric | None = None
) -> structs.Instance:
  """The instance of a row; `position` names the row in error messages.

  Questions of rows that others wrote have the data source as their kind, and
  the score that `metric` names for it.
  """
  cell = _Cells(row, position)
  source = cell.text('data_source')
  chunks = cell.json('chunks')
  cell.require(
    'chunks',
    isinstance(chunks, list) and all(isinstance(c, str) for c in chunks),
    'a list of strings',
  )
  cell.require('chunks', bool(chunks), 'a list of one chunk at least')
  for number, chunk in enumerate(chunks):
    cell.require(
      'chunks', bool(chunk.strip()), f'text; chunk {number} is empty'
    )
  pairs = cell.json('questions_and_answers')
  cell.require('questions_and_answers', isinstance(pairs, list), 'a list')
  cell.require_count('num_chunks', len(chunks))
  cell.require_count('num_questions', len(pairs))
  ours = _our_metadata(cell, len(chunks), len(pairs))
  kinds = ours.get('kinds', [source] * len(pairs))
  metrics = ours.get('metrics')
  if metrics is None:
    cell.require('metadata', metric is not None, 'ours, or a metric be given')
    metrics = [metric(source)] * len(pairs)
  return structs.Instance(
    instance_id=ours.get('id') or str(cell.value('instance_id')),
    source=source,
    chunks=tuple(chunks),
    questions=tuple(
      structs.Question(*_question(cell, number, pair), kind, metric)
      for number, (pair, kind, metric) in enumerate(zip(pairs, kinds, metrics))
    ),
    notes=_notes(cell, ours.get('notes', [])),
  )


def write(
  path: str | os.PathLike, instances: Iterable[structs.Instance]
) -> None:
  """Writes a .parquet or .jsonl file; it appears whole or not at all."""
  rows = [to_row(instance, i) for i, instance in enumerate(instances)]
  if _suffix(path) == '.parquet':
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.Table.from_pylist(rows, schema=_LAYOUT)
    pyarrow.parquet.write_table(table, sink, row_group_size=64)
    files.write_bytes(path, sink.getvalue().to_pybytes())
  else:
    files.write_text(path, ''.join(_dump(row) + '\n' for row in rows))


def read(
  path: str | os.PathLike, *, metric: Metric | None = None
) -> list[structs.Instance]:
  """The instances of a .parquet or .jsonl file of rows, see `from_row`.

  An id that occurs again gets the number of its row: the released files number
  rows by source.
  """
  rows = _parquet(path) if _suffix(path) == '.parquet' else _json_lines(path)
  instances, seen, again = [], set(), 0
  for position, row in rows:
    try:
      instance = from_row(row, position, metric=metric)
    except ValueError as error:
      raise ValueError(f'{path}: {error}') from error
    if instance.instance_id in seen:
      name = f'{instance.instance_id}@{position}'
      instance = dataclasses.replace(instance, instance_id=name)
      again += 1
    seen.add(instance.instance_id)
    instances.append(instance)
  if again:
    logging.warning('%s: %d duplicate ids got their row number.', path, again)
  if not instances:
    raise ValueError(f'{path} holds no row.')
  return instances


def _suffix(path: str | os.PathLike) -> str:
  suffix = pathlib.Path(path).suffix
  if suffix not in SUFFIXES:
    raise ValueError(
      f'{path} must end with one of {", ".join(SUFFIXES)}: these are the '
      'formats of prepared data.'
    )
  return suffix


def _parquet(path) -> Iterator[tuple[int, Row]]:
  path = files.check(path, what='Data file')
  try:
    with pyarrow.parquet.ParquetFile(path) as file:
      missing = set(COLUMNS).difference(file.schema_arrow.names)
      if missing:
        raise ValueError(
          f'{path} has no column {", ".join(sorted(missing))}; the columns of '
          f'prepared data are {", ".join(COLUMNS)}.'
        )
      position = 0
      for part in file.iter_batches(batch_size=16, columns=list(COLUMNS)):
        for row in part.to_pylist():
          yield position, row
          position += 1
  except pyarrow.ArrowException as error:
    raise ValueError(
      f'{path} is no complete parquet file ({error}): download it again.'
    ) from error


def _json_lines(path) -> Iterator[tuple[int, Row]]:
  for number, row in files.read_json_lines(path, what='Data file'):
    if not isinstance(row, dict):
      raise ValueError(f'{path}: Row {number - 1}: must be a JSON object.')
    yield number - 1, row


@dataclasses.dataclass(frozen=True)
class _Cells:
  """The columns of one row; what is wrong is said with row and column."""

  row: Mapping[str, object]
  position: int

  def require(self, column: str, condition: bool, what: str) -> None:
    if not condition:
      raise ValueError(
        f'Row {self.position}, column {column!r}: must be {what}.'
      )

  def value(self, column: str) -> object:
    self.require(
      column, column in self.row, 'there; the row has no such column'
    )
    return self.row[column]

  def text(self, column: str) -> str:
    value = self.value(column)
    self.require(column, isinstance(value, str) and bool(value), 'a text')
    return value

  def json(self, column: str) -> object:
    """The value of JSON text, or of a cell that is a list or object itself."""
    value = self.value(column)
    if isinstance(value, (list, dict)):
      return value
    try:
      return json.loads(self.text(column))
    except ValueError as error:
      raise ValueError(
        f'Row {self.position}, column {column!r}: must be JSON ({error}).'
      ) from error

  def require_count(self, column: str, count: int) -> None:
    value = self.value(column)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    self.require(column, number and value == count, f'{count}, as in the row')


def _question(
  cell: _Cells, number: int, pair: object
) -> tuple[str, tuple[str, ...]]:
  """Text and answers; a lone answer counts as a list, a number as its text."""
  column = 'questions_and_answers'
  what = f'a list of objects with question and answer; item {number} is not'
  cell.require(column, isinstance(pair, dict), what)
  text, answer = pair.get('question'), pair.get('answer')
  answers = answer if isinstance(answer, list) else [answer]
  good = bool(answers) and all(
    isinstance(a, str)
    or isinstance(a, (int, float))
    and not isinstance(a, bool)
    and math.isfinite(a)
    for a in answers
  )
  cell.require(column, isinstance(text, str) and good, what)
  empty = not text.strip() or not any(str(a).strip() for a in answers)
  cell.require(column, not empty, f'complete; item {number} lacks its text')
  return text, tuple(str(a) for a in answers)


def _our_metadata(
  cell: _Cells, num_chunks: int, num_questions: int
) -> dict[str, object]:
  """What we have put into `metadata`; empty for rows of other writers."""
  if not cell.value('metadata'):
    return {}
  metadata = cell.json('metadata')
  ours = metadata.get(OURS, {}) if isinstance(metadata, dict) else {}
  cell.require('metadata', isinstance(ours, dict), f'an object at {OURS!r}')
  for key in ('kinds', 'metrics'):
    names = ours.get(key, [''] * num_questions)
    good = isinstance(names, list) and len(names) == num_questions
    cell.require(
      'metadata',
      good and all(isinstance(name, str) for name in names),
      f'an object whose {key!r} has one name per question',
    )
  notes = ours.get('notes', [])
  good = isinstance(notes, list) and len(notes) in (0, num_chunks)
  cell.require('metadata', good, "an object whose 'notes' has a list per chunk")
  return ours


def _notes(
  cell: _Cells, notes: list[object]
) -> tuple[tuple[structs.Note, ...], ...]:
  try:
    return tuple(
      tuple(
        structs.Note(sentence, slot and tuple(slot), structs.Kind(kind))
        for sentence, slot, kind in chunk
      )
      for chunk in notes
    )
  except (TypeError, ValueError) as error:
    raise ValueError(
      f"Row {cell.position}, column 'metadata': notes must be triples of "
      f'sentence, slot and kind ({error}).'
    ) from error


def _dump(value: object) -> str:
  return json.dumps(value, ensure_ascii=False)
