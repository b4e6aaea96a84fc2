"""Memories on disk or in a bucket: versioned, checked, all or nothing.

    <url>/LATEST                 names the newest version; replaced last
    <url>/00000007-3f…/manifest.json   shapes, tokenizer, checksums
    <url>/00000007-3f…/<array>/        one zarr array per field of the state

A version is complete before LATEST names it, so a save that is killed leaves
the one before readable. A version is called after its number and the checksum
of its manifest, and the manifest holds those of the arrays: no damage passes.

Token ids mean nothing without their tokenizer, hence its name is kept; word
ids are those of a run, hence the words themselves are kept.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
from collections.abc import Sequence

import jax
import numpy as np
import tensorstore as ts

from mem_alpha import text
from mem_alpha.memory import state

FORMAT, FORMAT_VERSION = 'mem_alpha memory', 1
_LATEST = 'LATEST'
_NAME = re.compile(r'(\d{8})-[0-9a-f]{16}')
_FIELDS = tuple(field.name for field in dataclasses.fields(state.Memory))
_CONTEXT = ts.Context()  # one for all calls: memory:// lives in its context


def save(
  memory: state.Memory,
  url: str,
  *,
  tokenizer: text.Tokenizer,
  terms: text.Terms,
  keep: int = 2,
) -> int:
  """Writes one memory or a batch; returns the number of the new version.

  `url` is a folder, or an address that tensorstore knows, such as gs://… or
  s3://…. All but the newest `keep` versions are removed afterwards. Raises
  ValueError where another process saved to the same place meanwhile.
  """
  if keep < 1:
    raise ValueError(f'keep={keep}: at least the new version must be kept.')
  root = _open(url)
  latest = root.read(_LATEST).result()
  if latest.state == 'value':
    _check_format(latest.value, url)
  number = max([number for number, _ in _versions(root)], default=0) + 1
  arrays = _arrays(jax.device_get(memory), terms)
  manifest = {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'tokenizer': tokenizer.name,
    'vocab_size': tokenizer.vocab_size,
    'sha256': {name: _digest(array) for name, array in arrays.items()},
  }
  raw = json.dumps(manifest, indent=2).encode()
  name = f'{number:08d}-{hashlib.sha256(raw).hexdigest()[:16]}'
  writes = [_write(root, f'{name}/{key}/', x) for key, x in arrays.items()]
  for write in [*writes, root.write(f'{name}/manifest.json', raw)]:
    write.result()
  head = {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'version': name,
  }
  stamp = root.write(
    _LATEST, json.dumps(head), if_equal=latest.stamp.generation
  ).result()
  if stamp.generation == b'':
    raise ValueError(
      f'{url} was saved to by another process meanwhile: nothing of this save '
      'is visible; load what is there, or save elsewhere.'
    )
  kept = [name for _, name in sorted(_versions(root))[-keep:]]
  for old in _folders(root) - set(kept):  # and what killed saves left
    root.delete_range(ts.KvStore.KeyRange(f'{old}/', f'{old}0')).result()
  return number


def load(
  url: str,
  *,
  tokenizer: text.Tokenizer,
  terms: text.Terms,
  version: int | None = None,
) -> state.Memory:
  """What `save` wrote, as numpy arrays; word ids are those of `terms`.

  Without `version` (a number that `save` returned) the newest one. One
  ValueError says what is wrong with a place that holds no memory, a damaged or
  a newer one, or one of another tokenizer.
  """
  root = _open(url)
  name = _find(root, url, version)
  try:
    raw = root.read(f'{name}/manifest.json').result().value
    if name[9:] != hashlib.sha256(raw).hexdigest()[:16]:
      raise ValueError('its manifest is not the one that was written')
    manifest = json.loads(raw)
    arrays = {
      key: _read(root, f'{name}/{key}/', digest)
      for key, digest in manifest['sha256'].items()
    }
  except (ValueError, KeyError, TypeError) as error:
    others = [number for number, other in _versions(root) if other != name]
    raise ValueError(
      f'Version {int(name[:8])} of the memory at {url} is damaged ({error}): '
      f'restore it from a copy, or load one of the versions {others}.'
    ) from error
  saved_by = manifest['tokenizer'], manifest['vocab_size']
  if saved_by != (tokenizer.name, tokenizer.vocab_size):
    raise ValueError(
      f'The memory at {url} is written in the tokens of {saved_by[0]!r} '
      f'({saved_by[1]} ids), not of {tokenizer.name!r} '
      f'({tokenizer.vocab_size} ids): load it with the tokenizer it came from.'
    )
  return _memory(arrays, terms)


def versions(url: str) -> list[int]:
  """Numbers of the versions that `load` may be asked for, oldest first."""
  return sorted(number for number, _ in _versions(_open(url)))


def _open(url: str) -> ts.KvStore:
  if '://' not in url:
    url = pathlib.Path(url).absolute().as_uri()
  return ts.KvStore.open(url.rstrip('/') + '/', context=_CONTEXT).result()


def _versions(root: ts.KvStore) -> list[tuple[int, str]]:
  """(number, name) of complete versions."""
  keys = set(root.list().result())
  return [
    (int(name[:8]), name)
    for name in _folders(root)
    if f'{name}/manifest.json'.encode() in keys
  ]


def _folders(root: ts.KvStore) -> set[str]:
  names = {key.decode().split('/')[0] for key in root.list().result()}
  return {name for name in names if _NAME.fullmatch(name)}


def _find(root: ts.KvStore, url: str, version: int | None) -> str:
  latest = root.read(_LATEST).result()
  if latest.state != 'value':
    raise ValueError(
      f'There is no memory at {url}: give the place that `save` wrote to.'
    )
  head = _check_format(latest.value, url)
  if version is None:
    return head
  found = dict(_versions(root))
  if version not in found:
    raise ValueError(
      f'The memory at {url} has no version {version}: it has {sorted(found)}.'
    )
  return found[version]


def _check_format(raw: bytes, url: str) -> str:
  """The name of the newest version, from the content of LATEST."""
  try:
    head = json.loads(raw)
    if head['format'] != FORMAT:
      raise ValueError('another format')
    newest = int(head['format_version'])
    name = head['version']
    if newest <= FORMAT_VERSION and not _NAME.fullmatch(name):
      raise ValueError('no name of a version')
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'{url} holds a file {_LATEST} that is not from a memory, or is damaged '
      f'({error}): give another place, or restore it from a copy.'
    ) from error
  if newest > FORMAT_VERSION:
    raise ValueError(
      f'The memory at {url} has format {newest}, and this program reads up to '
      f'{FORMAT_VERSION}: use a newer mem_alpha.'
    )
  return name


def _write(root: ts.KvStore, path: str, array: np.ndarray):
  store = ts.open(
    {
      'driver': 'zarr3',
      'kvstore': (root / path).spec().to_json(),
      'metadata': {
        'shape': array.shape,
        'data_type': str(array.dtype),
        'codecs': ['bytes', {'name': 'zstd', 'configuration': {'level': 3}}],
      },
    },
    create=True,
    delete_existing=True,  # what a killed save left
    context=_CONTEXT,
  ).result()
  return store.write(array)


def _read(root: ts.KvStore, path: str, digest: str) -> np.ndarray:
  spec = {'driver': 'zarr3', 'kvstore': (root / path).spec().to_json()}
  array = ts.open(spec, open=True, context=_CONTEXT).result().read().result()
  if _digest(array) != digest:
    raise ValueError(f'array {path} is not the one that was written')
  return array


def _digest(array: np.ndarray) -> str:
  head = f'{array.dtype.str}{array.shape}'.encode()
  return hashlib.sha256(
    head + np.ascontiguousarray(array).tobytes()
  ).hexdigest()


def _arrays(memory: state.Memory, terms: text.Terms) -> dict[str, np.ndarray]:
  """Fields of the state; word ids count within the words that are used."""
  arrays = {name: np.asarray(getattr(memory, name)) for name in _FIELDS}
  used = _used(arrays['terms_P'], arrays['term_tail'])
  ids, places = np.unique(arrays['terms_P'][used], return_inverse=True)
  arrays['terms_P'] = np.zeros_like(arrays['terms_P'])
  arrays['terms_P'][used] = places
  words = json.dumps([terms.word(i) for i in ids.tolist()])
  return arrays | {'words': np.frombuffer(words.encode(), np.uint8)}


def _memory(arrays: dict[str, np.ndarray], terms: text.Terms) -> state.Memory:
  words: Sequence[str] = json.loads(arrays.pop('words').tobytes())
  ids = np.array([terms.add(word) for word in words], np.int32)
  used = _used(arrays['terms_P'], arrays['term_tail'])
  arrays['terms_P'][used] = ids[arrays['terms_P'][used]]
  P, M = arrays['terms_P'].shape[-1], arrays['num_terms_M'].shape[-1]
  for terms_P, num_terms_M in zip(
    arrays['terms_P'].reshape(-1, P), arrays['num_terms_M'].reshape(-1, M)
  ):
    # New ids, new order: the words of an entry lie sorted in the pool.
    owner_P = np.repeat(np.arange(M), num_terms_M)
    order_P = np.lexsort((terms_P[: owner_P.size], owner_P))
    terms_P[: owner_P.size] = terms_P[order_P]
  return state.Memory(**arrays)


def _used(pool_P: np.ndarray, tail: np.ndarray) -> np.ndarray:
  """Which positions of the pools lie before the tails; batched or not."""
  return np.arange(pool_P.shape[-1]) < np.asarray(tail)[..., None]
