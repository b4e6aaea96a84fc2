"""Saving and loading: what comes back, what a kill leaves, what is refused."""

import json
import shutil

import jax
import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state
from mem_alpha.memory import store

CORE, SEMANTIC, EPISODIC = structs.Kind
TEXTS = ['Mira lives in Oslo.', 'Tom likes green tea.', 'Mira moved to Rome.']
TOKENIZER = text.train_bpe(TEXTS * 3, vocab_size=300)
SIZES = {'tokens': 64, 'terms': 32, 'rows': 8}


def call(action, kind, content, uid=structs.NO_ID, *, terms):
  wanted = structs.Call(action, kind, uid, content)
  return encoding.Encoder(TOKENIZER)(wanted, terms)


def memories(terms, batch=3):
  """A batch that holds closed versions, core, and nothing in its last row."""
  insert, update = structs.Action.INSERT, structs.Action.UPDATE
  turns = [
    [
      call(insert, SEMANTIC, TEXTS[0], terms=terms),
      call(insert, EPISODIC, TEXTS[2], terms=terms),
      call(update, CORE, TEXTS[1], terms=terms),
    ],
    [call(update, SEMANTIC, TEXTS[1], 0, terms=terms)],
  ]
  memory_B = state.empty_batch(batch, **SIZES)
  for chunk, calls in enumerate(turns):
    some = [calls] * (batch - 1) + [[]]
    ops_B = ops.pack(some, O=4, T=64, W=32)
    memory_B, status_BO, _ = ops.apply_turn(
      memory_B, ops_B, chunk, limits=ops.Limits()
    )
    assert not status_BO[0, : len(calls)].any()
  return jax.device_get(memory_B)


def search(memory_B, query, terms):
  ids = [*terms.find(query), -1, -1, -1][:3]
  query_BQW = np.tile(np.array(ids, np.int32), (len(memory_B.next_row), 1, 1))
  return jax.device_get(
    retrieval.top_k(memory_B, query_BQW, kind=SEMANTIC, k=4, idf='reference')
  )


def assert_same(actual, wanted):
  assert jax.tree.structure(actual) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted)):
    assert np.asarray(a).dtype == np.asarray(b).dtype
    np.testing.assert_array_equal(a, b)


@pytest.fixture
def terms():
  return text.Terms()


@pytest.mark.parametrize('place', ['folder', 'memory://bucket/a/b'])
def test_a_batch_comes_back_to_the_bit(tmp_path, terms, place):
  url = str(tmp_path / 'm') if place == 'folder' else place
  memory_B = memories(terms)
  number = store.save(memory_B, url, tokenizer=TOKENIZER, terms=terms)
  assert store.versions(url) == [number]
  loaded = store.load(url, tokenizer=TOKENIZER, terms=terms)
  assert_same(loaded, memory_B)
  one = jax.tree.map(lambda x: x[0], memory_B)
  store.save(one, url, tokenizer=TOKENIZER, terms=terms)
  assert_same(store.load(url, tokenizer=TOKENIZER, terms=terms), one)
  old = store.load(url, tokenizer=TOKENIZER, terms=terms, version=number)
  assert_same(old, memory_B)


def test_words_keep_their_meaning_in_another_process(tmp_path, terms):
  memory_B = memories(terms)
  store.save(memory_B, str(tmp_path), tokenizer=TOKENIZER, terms=terms)
  other = text.Terms()
  other.encode('tea rome zebra likes mira')  # ids in another order
  loaded = store.load(str(tmp_path), tokenizer=TOKENIZER, terms=other)
  assert not np.array_equal(loaded.terms_P, memory_B.terms_P)
  for query in ('green tea', 'Mira moved', 'zebra'):
    wanted = search(memory_B, query, terms)
    jax.tree.map(
      np.testing.assert_array_equal, search(loaded, query, other), wanted
    )
  assert state.snapshot(loaded) == state.snapshot(memory_B)


def test_old_versions_are_removed(tmp_path, terms):
  memory_B = memories(terms)
  for _ in range(4):
    store.save(memory_B, str(tmp_path), tokenizer=TOKENIZER, terms=terms)
  assert store.versions(str(tmp_path)) == [3, 4]
  files = [file for file in tmp_path.rglob('*') if file.is_file()]
  folders = {file.relative_to(tmp_path).parts[0] for file in files}
  assert len(folders) == 3  # and LATEST
  with pytest.raises(ValueError, match='no version 1: it has .3, 4.'):
    load(tmp_path, terms, version=1)
  with pytest.raises(ValueError, match='keep=0'):
    store.save(
      memory_B, str(tmp_path), tokenizer=TOKENIZER, terms=terms, keep=0
    )


def test_damage_is_always_noticed(tmp_path, terms):
  memory_B = memories(terms)
  for _ in range(2):
    store.save(memory_B, str(tmp_path / 'm'), tokenizer=TOKENIZER, terms=terms)
  newest = (tmp_path / 'm').glob('00000002-*')
  files = [f for f in next(newest).rglob('*') if f.is_file()]
  assert len(files) > 20
  rng = np.random.default_rng(0)
  for file in files:
    whole = file.read_bytes()
    place = int(rng.integers(len(whole)))
    flipped = bytes([whole[place] ^ 1])
    for broken in (
      whole[:place] + flipped + whole[place + 1 :],
      whole[: len(whole) // 2],
      None,
    ):
      file.unlink() if broken is None else file.write_bytes(broken)
      try:
        found = load(tmp_path / 'm', terms)
        assert_same(found, memory_B)  # a blank in the zarr.json, say
      except ValueError as error:
        assert 'damaged' in str(error) or 'no memory' in str(error), error
      older = load(tmp_path / 'm', terms, version=1)
      assert_same(older, memory_B)
    file.write_bytes(whole)
  assert_same(load(tmp_path / 'm', terms), memory_B)


def head(**changes):
  known = {'format': store.FORMAT, 'format_version': 2, 'versions': []}
  return json.dumps(known | changes)


def test_other_files_are_refused_and_left_alone(tmp_path, terms):
  with pytest.raises(ValueError, match='There is no memory at'):
    load(tmp_path / 'nothing', terms)
  for content, error in [
    ('{"format": "other", "format_version": 1}', 'is not from a memory'),
    ('not JSON', 'is not from a memory'),
    ('[]', 'is not from a memory'),
    ('[' * 10**5, 'is not from a memory'),
    (head(format_version=3), 'has format 3, .* use a newer mem_alpha'),
    (head(format_version=1), 'has format 1, .* use an older one'),
    (head().replace(': 2', ': 1e999'), 'no whole number'),
    (head(format_version=True), 'no whole number'),
    (head(versions=['/']), 'is not from a memory'),
    (head(versions=[3]), 'is not from a memory'),
    (head(versions=[]), 'is not from a memory'),
  ]:
    (tmp_path / 'LATEST').write_text(content)
    with pytest.raises(ValueError, match=error):
      load(tmp_path, terms)
    with pytest.raises(ValueError, match=error):
      store.save(
        memories(terms), str(tmp_path), tokenizer=TOKENIZER, terms=terms
      )
    assert (tmp_path / 'LATEST').read_text() == content
    assert len(list(tmp_path.iterdir())) == 1


def test_another_tokenizer_is_refused(tmp_path, terms):
  store.save(memories(terms), str(tmp_path), tokenizer=TOKENIZER, terms=terms)
  other = text.train_bpe(TEXTS * 3, vocab_size=290, name='small')
  with pytest.raises(ValueError, match="tokens of 'embedded' .* of 'small'"):
    store.load(str(tmp_path), tokenizer=other, terms=terms)
  TOKENIZER.save(tmp_path / 't')
  again = text.load(tmp_path / 't')
  store.load(str(tmp_path), tokenizer=again, terms=terms)


def test_a_twin_in_name_and_size_is_refused(tmp_path, terms):
  texts = TEXTS * 3, ['Anna paints blue boats.', 'Blue boats, Anna.'] * 5
  one, twin = (text.train_bpe(some, vocab_size=270) for some in texts)
  assert (one.name, one.vocab_size) == (twin.name, twin.vocab_size)
  store.save(memories(terms), str(tmp_path), tokenizer=one, terms=terms)
  store.load(str(tmp_path), tokenizer=one, terms=terms)
  with pytest.raises(ValueError, match='load it with the tokenizer it came'):
    store.load(str(tmp_path), tokenizer=twin, terms=terms)


def test_a_place_without_its_latest_says_so_and_loses_nothing(tmp_path, terms):
  memory_B, url = memories(terms), str(tmp_path)
  for _ in range(2):
    store.save(memory_B, url, tokenizer=TOKENIZER, terms=terms)
  (tmp_path / 'LATEST').unlink()
  with pytest.raises(
    ValueError, match='lost its file LATEST.*of the ver.*1, 2'
  ):
    load(url, terms)
  assert_same(load(url, terms, version=2), memory_B)
  assert store.save(memory_B, url, tokenizer=TOKENIZER, terms=terms) == 3
  assert store.versions(url) == [2, 3]
  assert_same(load(url, terms, version=2), memory_B)


@pytest.mark.parametrize('url', ['', 's3://', 'foo://bar/x', 'file'])
def test_a_place_that_can_be_none_says_so(tmp_path, terms, url):
  if url == 'file':
    (tmp_path / 'file').write_text('no folder')
    url = str(tmp_path / 'file')
  error = 'is empty: give' if not url else 'cannot be read as the place'
  with pytest.raises(ValueError, match=error):
    load(url, terms)
  with pytest.raises(ValueError, match=error):
    store.save(memories(terms), url, tokenizer=TOKENIZER, terms=terms)
  with pytest.raises(ValueError, match=error):
    store.versions(url)


def load(url, terms, **kwargs):
  return store.load(str(url), tokenizer=TOKENIZER, terms=terms, **kwargs)


def test_a_moved_folder_still_loads(tmp_path, terms):
  memory_B = memories(terms)
  store.save(memory_B, str(tmp_path / 'a'), tokenizer=TOKENIZER, terms=terms)
  shutil.move(tmp_path / 'a', tmp_path / 'b c')
  assert_same(load(tmp_path / 'b c', terms), memory_B)
