"""A memory as JSON that people and other programs can read, and back.

    {"format": "mem_alpha memory as text", "format_version": 1, "next_id": "a2",
     "versions": [
       {"kind": "semantic", "id": "a0", "text": "Mira lives in Oslo.",
        "created": 0, "updated": 3, "closed": null}, …]}

A version is one wording of one entry, in the order in which they were written;
`closed` is the chunk that replaced or deleted it, null while it holds. Core has
no id. `created` and `updated` are the chunks of the entry's first version and
of this one. Importing encodes the texts again: what is equal afterwards is the
text, the ids, the order and where they came from, in any tokenizer.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import content
from mem_alpha.memory import render
from mem_alpha.memory import state

FORMAT, FORMAT_VERSION = 'mem_alpha memory as text', 1
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
  return _plain(versions, int(memory.next_entry))


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


def _plain(versions: list[dict], next_entry: int) -> dict:
  return {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'next_id': render.uid_to_text(next_entry),
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
  versions, next_entry = _parse(source)
  rows = [_row(version, n, next_entry) for n, version in enumerate(versions)]
  _check_live(rows)
  contents = [tuple(tokenizer.encode(v['text'])) for v in versions]
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
  return _build(rows, contents, words, next_entry, sizes)


def _build(rows, contents, words, next_entry: int, sizes) -> state.Memory:
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
    next_entry=np.int32(next_entry),
    **columns,
  )


def _pool(spans: Sequence[Sequence[int]], size: int) -> np.ndarray:
  flat = [x for span in spans for x in span]
  return np.array(flat + [0] * (size - len(flat)), np.int32)


def _parse(source: str) -> tuple[list[dict], int]:
  try:
    value = json.loads(source)
    form = value['format'], value['format_version']
    versions = value['versions']
    next_entry = render.text_to_uid(value['next_id'])
    if form[0] != FORMAT or not isinstance(versions, list):
      raise ValueError('another format')
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'This is no memory as JSON ({error}): give what `to_json` wrote.'
    ) from error
  if form[1] != FORMAT_VERSION:
    raise ValueError(
      f'The JSON has format {form[1]}, and this program reads '
      f'{FORMAT_VERSION}: use the mem_alpha that wrote it.'
    )
  return versions, next_entry


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
    closed = state.NEVER if closed is None else closed
    if not (
      _is_chunk(created, updated, closed) and created <= updated <= closed
    ):
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
    'closed': closed,
  }


def _is_chunk(*values: object) -> bool:
  return all(
    isinstance(x, int) and not isinstance(x, bool) and 0 <= x <= state.NEVER
    for x in values
  )


def _check_live(rows: Sequence[dict]) -> None:
  live = [row for row in rows if row['closed'] == state.NEVER]
  if len({row['entry'] for row in live}) < len(live):
    raise ValueError(
      'Two versions of one entry are not closed: close all but the newest.'
    )
