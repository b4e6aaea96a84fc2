"""A memory as JSON that people and other programs can read, and back.

    {"format": "mem_alpha memory as text", "format_version": 2,
     "next_id": "a2", "complete_from": 0, "versions": [
       {"kind": "semantic", "id": "a0", "text": "Mira lives in Oslo.",
        "created": 0, "updated": 3, "closed": null}, …]}

A version is one wording of one entry, in the order in which they were written;
`closed` is the chunk that replaced or deleted it, null while it holds. Core has
no id. `created` and `updated` are the chunks of the entry's first version and
of this one. What was said before the chunk `complete_from` is not all there.
Importing encodes the texts again: what is equal afterwards is the text, the
ids, the order and where they came from, in any tokenizer that can spell it.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import content
from mem_alpha.memory import render
from mem_alpha.memory import state

FORMAT, FORMAT_VERSION = 'mem_alpha memory as text', 2
_KINDS = {kind.name.lower(): kind for kind in structs.Kind}
_KEYS = {'kind', 'id', 'text', 'created', 'updated', 'closed'}


def to_json(memory: state.Memory, *, tokenizer: text.Tokenizer) -> str:
  """The versions of one memory (no batch axis), on the host."""
  value = to_plain(memory, tokenizer=tokenizer)
  return json.dumps(value, ensure_ascii=False, indent=1) + '\n'


def to_plain(memory: state.Memory, *, tokenizer: text.Tokenizer) -> dict:
  """What `to_json` writes, before it is text."""
  versions = [
    {
      'kind': row.kind.name.lower(),
      'id': None if row.uid == structs.NO_ID else render.uid_to_text(row.uid),
      'text': tokenizer.decode(row.tokens),
      'created': row.created,
      'updated': row.updated,
      'closed': None if closed == state.NEVER else closed,
    }
    for row, closed in state.versions(memory)
  ]
  return _plain(
    versions,
    int(memory.next_entry),
    complete_from=int(memory.complete_from),
  )


def of_entries(entries: Sequence[structs.Entry]) -> dict:
  """The same for entries that are in no table of versions."""
  versions = [
    {
      'kind': entry.kind.name.lower(),
      'id': render.uid_to_text(entry.uid),
      'text': entry.text,
      'created': entry.created,
      'updated': entry.updated,
      'closed': None,
    }
    for entry in entries
  ]
  return _plain(versions, max((e.uid + 1 for e in entries), default=0))


def _plain(
  versions: list[dict], next_entry: int, *, complete_from: int = 0
) -> dict:
  return {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'next_id': render.uid_to_text(next_entry),
    'complete_from': complete_from,
    'versions': versions,
  }


def from_json(
  source: str,
  *,
  tokenizer: text.Tokenizer,
  terms: text.Terms,
  sizes: Mapping[str, int],
) -> state.Memory:
  """The memory that `to_json` wrote, with room for `sizes`, as numpy arrays.

  `sizes` are those of `state.empty`. ValueError says which version is wrong.
  """
  versions, counters = _parse(source)
  next_entry = counters['next_entry']
  rows = [_row(version, n, next_entry) for n, version in enumerate(versions)]
  _check_entries(rows)
  contents = [_spell(v['text'], n, tokenizer) for n, v in enumerate(versions)]
  words = [tuple(sorted(terms.encode(v['text']))) for v in versions]
  needs = {
    'tokens': sum(map(len, contents)),
    'terms': sum(map(len, words)),
    'rows': len(rows),
  }
  for name, need in needs.items():
    if need > sizes[name]:
      raise ValueError(
        f'The memory needs {need} {name} and there is room for {sizes[name]}: '
        f'raise memory.{name}, or remove versions that are closed.'
      )
  return _build(rows, contents, words, counters, sizes)


def _build(rows, contents, words, counters, sizes) -> state.Memory:
  P, T, M = sizes['tokens'], sizes['terms'], sizes['rows']
  columns = {name: np.zeros(M, np.int32) for name in state.COLUMNS}
  columns['hash_M'] = columns['hash_M'].astype(np.uint32)
  length_N = np.array(list(map(len, contents)), np.int32)
  num_terms_N = np.array(list(map(len, words)), np.int32)
  given = ('kind', 'entry', 'uid', 'created', 'updated', 'closed')
  values = {f'{name}_M': [row[name] for row in rows] for name in given} | {
    'hash_M': [content.hash_of(tokens) for tokens in contents],
    'length_M': length_N,
    'start_M': np.cumsum(length_N) - length_N,
    'num_terms_M': num_terms_N,
    'term_start_M': np.cumsum(num_terms_N) - num_terms_N,
  }
  for name, value_N in values.items():
    columns[name][: len(rows)] = value_N
  return state.Memory(
    tokens_P=_pool(contents, P),
    token_tail=np.int32(length_N.sum()),
    terms_P=_pool(words, T),
    term_tail=np.int32(num_terms_N.sum()),
    next_row=np.int32(len(rows)),
    **{name: np.int32(value) for name, value in counters.items()},
    **columns,
  )


def _pool(spans: Sequence[Sequence[int]], size: int) -> np.ndarray:
  flat = [x for span in spans for x in span]
  return np.array(flat + [0] * (size - len(flat)), np.int32)


def _spell(content: str, number: int, tokenizer) -> tuple[int, ...]:
  try:
    return tuple(tokenizer.encode_exactly(content))
  except ValueError as error:
    raise ValueError(f'Version {number} of the memory: {error}') from error


def _parse(source: str) -> tuple[list[dict], dict[str, int]]:
  """The versions, and the counters of the state."""
  try:
    value = json.loads(source)
    if value['format'] != FORMAT:
      raise ValueError('another format')
    number = value['format_version']
    if number == FORMAT_VERSION:
      if not isinstance(value['versions'], list):
        raise ValueError('its versions are no list')
      if not _is_chunk(value['complete_from']):
        raise ValueError('its complete_from is no chunk')
      counters = {
        'next_entry': render.text_to_uid(value['next_id']),
        'complete_from': value['complete_from'],
      }
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise ValueError(
      f'This is no memory as JSON ({error}): give what `to_json` wrote.'
    ) from error
  if number != FORMAT_VERSION:
    raise ValueError(
      f'The JSON has format {number}, and this program reads '
      f'{FORMAT_VERSION}: use the mem_alpha that wrote it.'
    )
  return value['versions'], counters


def _row(version: dict, number: int, next_entry: int) -> dict:
  """The columns of a version that its text does not decide."""
  try:
    if version.keys() != _KEYS:
      raise ValueError(f'its keys are not {sorted(_KEYS)}')
    kind = _KINDS[version['kind']]
    if not isinstance(version['text'], str):
      raise ValueError('its text is no string')
    core = kind == structs.Kind.CORE
    uid = structs.NO_ID
    if not core:
      uid = render.text_to_uid(version['id'])
      if uid >= next_entry:
        raise ValueError(f'id {version["id"]} is not below next_id')
    elif version['id'] is not None:
      raise ValueError('core has no id')
    created, updated, closed = (
      version[name] for name in ('created', 'updated', 'closed')
    )
    last = updated if closed is None else closed
    if not (_is_chunk(created, updated, last) and created <= updated <= last):
      raise ValueError('created, updated and closed are not in order')
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
      f'Version {number} of the memory is not right ({error}): correct it.'
    ) from error
  return {
    'kind': kind,
    'entry': state.CORE_ENTRY if core else uid,
    'uid': uid,
    'created': created,
    'updated': updated,
    'closed': state.NEVER if closed is None else closed,
  }


def _is_chunk(*values: object) -> bool:
  return all(
    isinstance(x, int) and not isinstance(x, bool) and 0 <= x < state.NEVER
    for x in values
  )


def _check_entries(rows: Sequence[dict]) -> None:
  """An entry is of one kind, and its versions follow each other."""
  last: dict[int, dict] = {}
  for number, row in enumerate(rows):
    before = last.get(row['entry'], row)
    if before['kind'] != row['kind']:
      raise ValueError(
        f'Version {number} of the memory is of another kind than the one of '
        'its id before it: give one of the two an id of its own.'
      )
    if before is not row and row['updated'] < before['closed']:
      raise ValueError(
        f'Version {number} of the memory begins before the one of its id '
        'before it is closed: close that one, or order them by time.'
      )
    last[row['entry']] = row
