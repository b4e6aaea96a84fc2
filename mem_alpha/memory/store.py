"""Memories on disk or in a bucket: versioned, checked, all or nothing.

    <url>/LATEST                 names the versions; replaced at once
    <url>/00000007-3f…/manifest.json   shapes, tokenizer, checksums
    <url>/00000007-3f…/<array>/        one zarr array per field of the state

A version is what LATEST names, and it is complete before LATEST names it: a
save that is killed, at whatever write or removal, leaves folders that no one
reads and the next save removes. Each save has a folder of its own, so two that
save at once do not touch each other's; one of them replaces LATEST, and the
other is told so. A version is called after its number and the checksum of its
manifest, and the manifest holds those of the arrays: no damage passes.

Token ids mean nothing without their tokenizer, hence its fingerprint is kept;
word ids are those of a run, hence the words themselves are kept.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import uuid
from collections.abc import Sequence

import jax
import numpy as np
import tensorstore as ts

from mem_alpha import text
from mem_alpha.memory import state

FORMAT, FORMAT_VERSION = 'mem_alpha memory', 2
_LATEST = 'LATEST'
_NAME = re.compile(r'(\d{8})-[0-9a-f]{16}')
_FIELDS = tuple(field.name for field in dataclasses.fields(state.Memory))
_CONTEXT = ts.Context()  # one for all calls: memory:// lives in its context
_NOT_JSON = (ValueError, KeyError, TypeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class _Versions:
  """What LATEST said: names by number, oldest first, and its generation."""

  names: dict[int, str]
  generation: bytes
  stated: bool  # False: there is no LATEST, and names are what was found


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
  root, before = _open(url)
  number = max(before.names, default=0) + 1
  arrays = _arrays(jax.device_get(memory), terms)
  manifest = {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'save': uuid.uuid4().hex,  # equal memories get folders of their own
    'tokenizer': tokenizer.name,
    'fingerprint': tokenizer.fingerprint,
    'sha256': {name: _digest(array) for name, array in arrays.items()},
  }
  raw = json.dumps(manifest, indent=2).encode()
  name = f'{number:08d}-{hashlib.sha256(raw).hexdigest()[:16]}'
  try:
    writes = [_write(root, f'{name}/{key}/', x) for key, x in arrays.items()]
    for write in writes:
      write.result()
    _put(root, f'{name}/manifest.json', raw).result()
  except ValueError as error:
    if _open(url)[1].generation != before.generation:
      raise _outrun(url) from error  # whoever it was removed the folder
    raise ValueError(
      f'{url} cannot be written to ({error}): save elsewhere.'
    ) from error
  kept = [before.names[n] for n in sorted(before.names)][-keep:]
  kept = [*kept, name][-keep:]
  head = {
    'format': FORMAT,
    'format_version': FORMAT_VERSION,
    'versions': kept,
  }
  put = _put(root, _LATEST, json.dumps(head).encode(), before.generation)
  if put.result().generation == b'':
    _remove(root, name)
    raise _outrun(url)
  # A folder with a higher number may be that of a save under way. One with a
  # lower number began before LATEST was replaced, and so cannot succeed.
  for old in sorted(_folders(root) - set(kept)):
    if int(old[:8]) <= number:
      _remove(root, old)
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
  root, found = _open(url)
  number = _choose(found, url, version)
  name = found.names[number]
  try:
    raw = root.read(f'{name}/manifest.json').result().value
    if name[9:] != hashlib.sha256(raw).hexdigest()[:16]:
      raise ValueError('its manifest is not the one that was written')
    manifest = json.loads(raw)
    if manifest['fingerprint'] == tokenizer.fingerprint:
      arrays = {
        key: _read(root, f'{name}/{key}/', digest)
        for key, digest in manifest['sha256'].items()
      }
  except _NOT_JSON as error:
    now = sorted(_open(url)[1].names.keys() - {number})
    raise ValueError(
      f'Version {number} of the memory at {url} is damaged, or was removed '
      f'meanwhile ({error}): restore it from a copy, or load one of the '
      f'versions {now}.'
    ) from error
  if manifest['fingerprint'] != tokenizer.fingerprint:
    raise ValueError(
      f'The memory at {url} is written in the tokens of '
      f'{manifest["tokenizer"]!r} ({manifest["fingerprint"][:8]}…), not of '
      f'{tokenizer.name!r} ({tokenizer.fingerprint[:8]}…): load it with the '
      'tokenizer it came from.'
    )
  return _memory(arrays, terms)


def versions(url: str) -> list[int]:
  """Numbers of the versions that `load` may be asked for, oldest first."""
  return sorted(_open(url)[1].names)


def _open(url: str) -> tuple[ts.KvStore, _Versions]:
  """The place and the versions that are there."""
  if not url:
    raise ValueError('The place of a memory is empty: give a folder or a URL.')
  address = url
  if '://' not in url:
    address = pathlib.Path(url).absolute().as_uri()
  address = address.rstrip('/') + '/'
  try:
    root = ts.KvStore.open(address, context=_CONTEXT).result()
    latest = root.read(_LATEST).result()
    stated = latest.state == 'value'
    names = [] if stated else _complete(root)
  except (ValueError, OSError) as error:
    raise ValueError(
      f'{url} cannot be read as the place of a memory ({error}): give a '
      'folder, or a URL that tensorstore knows.'
    ) from error
  if stated:
    names = _check_format(latest.value, url)
  by_number = {int(name[:8]): name for name in names}
  return root, _Versions(by_number, latest.stamp.generation, stated)


def _outrun(url: str) -> ValueError:
  return ValueError(
    f'{url} was saved to by another process meanwhile: nothing of this save is '
    'visible; load what is there, or save elsewhere.'
  )


def _complete(root: ts.KvStore) -> list[str]:
  """Folders that were written to their end."""
  keys = {key.decode() for key in root.list().result()}
  return sorted(n for n in _folders(root) if f'{n}/manifest.json' in keys)


def _folders(root: ts.KvStore) -> set[str]:
  names = {key.decode().split('/')[0] for key in root.list().result()}
  return {name for name in names if _NAME.fullmatch(name)}


def _choose(found: _Versions, url: str, version: int | None) -> int:
  numbers = sorted(found.names)
  if not numbers:
    raise ValueError(
      f'There is no memory at {url}: give the place that `save` wrote to.'
    )
  if version is None and not found.stated:
    raise ValueError(
      f'{url} has lost its file {_LATEST}, which says the newest version: '
      f'restore it from a copy, or load one of the versions {numbers}.'
    )
  version = numbers[-1] if version is None else version
  if version not in found.names:
    raise ValueError(
      f'The memory at {url} has no version {version}: it has {numbers}.'
    )
  return version


def _check_format(raw: bytes, url: str) -> list[str]:
  """The names of the versions, from the content of LATEST."""
  try:
    head = json.loads(raw)
    if head['format'] != FORMAT:
      raise ValueError('another format')
    number = head['format_version']
    if type(number) is not int:
      raise ValueError('its format_version is no whole number')
    names = head['versions'] if number == FORMAT_VERSION else []
    if number == FORMAT_VERSION and not (
      names and all(map(_NAME.fullmatch, names))
    ):
      raise ValueError('no names of versions')
  except _NOT_JSON as error:
    raise ValueError(
      f'{url} holds a file {_LATEST} that is not from a memory, or is damaged '
      f'({error}): give another place, or restore it from a copy.'
    ) from error
  if number != FORMAT_VERSION:
    raise ValueError(
      f'The memory at {url} has format {number}, and this program reads '
      f'{FORMAT_VERSION}: use '
      f'{"a newer mem_alpha" if number > FORMAT_VERSION else "an older one"}.'
    )
  return names


def _put(
  root: ts.KvStore, key: str, value: bytes, if_equal: bytes | None = None
):
  return root.write(key, value, if_equal=if_equal)


def _remove(root: ts.KvStore, folder: str) -> None:
  root.delete_range(ts.KvStore.KeyRange(f'{folder}/', f'{folder}0')).result()


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
