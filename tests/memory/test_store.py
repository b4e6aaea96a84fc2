"""Saving and loading: what comes back, what a kill leaves, what is refused."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import textwrap

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


def test_a_kill_during_a_save_leaves_the_version_before(tmp_path, terms):
  """A process that stops dead at its n-th write, for every n."""
  memory_B = memories(terms)
  store.save(memory_B, str(tmp_path / 'm'), tokenizer=TOKENIZER, terms=terms)
  TOKENIZER.save(tmp_path / 't')
  script = textwrap.dedent("""
    import os, sys
    from mem_alpha import text
    from mem_alpha.memory import state, store
    folder, stop = sys.argv[1], int(sys.argv[2])
    terms, tokenizer = text.Terms(), text.load(folder + '/t')
    count, write = 0, store._write
    def stopping(*args):
      global count
      count += 1
      if count == stop:
        os._exit(9)
      return write(*args)
    store._write = stopping
    if stop > 18:
      import json
      dumps, seen = json.dumps, []
      def last(value, **kw):
        if isinstance(value, dict) and 'version' in value:
          os._exit(9)
        return dumps(value, **kw)
      json.dumps = last
    empty = state.empty(tokens=4, terms=4, rows=2)
    store.save(empty, folder + '/m', tokenizer=tokenizer, terms=terms)
  """)
  for stop in (1, 9, 18, 19):
    code = subprocess.run(
      [sys.executable, '-c', script, str(tmp_path), str(stop)],
      cwd=pathlib.Path(__file__).parents[2],
      check=False,
    ).returncode
    assert code == 9
    assert_same(load(tmp_path / 'm', terms), memory_B)
  # The next save works in spite of what was left.
  store.save(memory_B, str(tmp_path / 'm'), tokenizer=TOKENIZER, terms=terms)
  assert_same(load(tmp_path / 'm', terms), memory_B)


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


def test_other_files_are_refused_and_left_alone(tmp_path, terms):
  with pytest.raises(ValueError, match='There is no memory at'):
    load(tmp_path / 'nothing', terms)
  for content, error in [
    ('{"format": "other", "format_version": 1}', 'is not from a memory'),
    ('not JSON', 'is not from a memory'),
    ('[]', 'is not from a memory'),
    (
      json.dumps({'format': store.FORMAT, 'format_version': 2, 'version': 'x'}),
      'has format 2, .* use a newer mem_alpha',
    ),
    (
      json.dumps({'format': store.FORMAT, 'format_version': 1, 'version': '/'}),
      'is not from a memory',
    ),
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


def test_two_savers_do_not_mix(tmp_path, terms, monkeypatch):
  memory_B = memories(terms)
  url = str(tmp_path / 'm')
  save = dict(tokenizer=TOKENIZER, terms=terms)
  store.save(memory_B, url, **save)
  other_B = dataclasses.replace(memory_B, token_tail=memory_B.token_tail + 1)
  digest, done = store._digest, []

  def meanwhile(array):
    if not done:
      done.append(True)
      store.save(other_B, url, **save)
    return digest(array)

  monkeypatch.setattr(store, '_digest', meanwhile)
  with pytest.raises(ValueError, match='by another process meanwhile'):
    store.save(memory_B, url, **save)
  assert_same(load(url, terms), other_B)


def load(url, terms, **kwargs):
  return store.load(str(url), tokenizer=TOKENIZER, terms=terms, **kwargs)


def test_a_moved_folder_still_loads(tmp_path, terms):
  memory_B = memories(terms)
  store.save(memory_B, str(tmp_path / 'a'), tokenizer=TOKENIZER, terms=terms)
  shutil.move(tmp_path / 'a', tmp_path / 'b c')
  assert_same(load(tmp_path / 'b c', terms), memory_B)
