"""Saves that are killed, and saves at once: every listed version is whole.

All that a save changes goes through three functions; each test stops, or lets
another save in, at every one of their calls.
"""

import pathlib
import shutil
import subprocess
import sys
import textwrap
import threading

import jax
import numpy as np
import pytest

from mem_alpha import text
from mem_alpha.memory import state
from mem_alpha.memory import store
from tests import tiny

TOKENIZER = text.train_bpe(['Mira lives in Oslo.'] * 3, vocab_size=300)
TERMS = text.Terms()
CHANGES = ('_write', '_put', '_remove')


def memory(mark):
  """One that differs from others in every version."""
  made = jax.device_get(state.empty(tokens=4, terms=4, rows=2))
  return jax.tree.map(np.array, made) if not mark else _marked(made, mark)


def _marked(made, mark):
  tokens_P = np.full(4, mark, np.int32)
  return state.Memory(**(vars(made) | {'tokens_P': tokens_P}))


def save(mark, url):
  return store.save(memory(mark), str(url), tokenizer=TOKENIZER, terms=TERMS)


def load(url, **version):
  made = store.load(str(url), tokenizer=TOKENIZER, terms=TERMS, **version)
  return int(made.tokens_P[0])


def listed(url):
  """{version: mark}; each must load."""
  numbers = store.versions(str(url))
  found = {number: load(url, version=number) for number in numbers}
  assert load(url) == found[numbers[-1]]
  return found


@pytest.fixture
def watch(monkeypatch):
  """Calls hook(n, name, args) before the n-th change of this thread's save."""
  hooks = threading.local()

  def wrap(name):
    change = getattr(store, name)

    def changed(*args):
      hook = getattr(hooks, 'hook', None)
      if hook is not None:
        hooks.count += 1
        hook(hooks.count, name, args)
      return change(*args)

    monkeypatch.setattr(store, name, changed)

  for name in CHANGES:
    wrap(name)

  def watched(hook):
    hooks.hook, hooks.count = hook, 0

  return watched


def changes(watch, url):
  """Names of the changes that a save to a copy makes, in order."""
  names = []
  shutil.copytree(url, copy := url.with_name('count'))
  watch(lambda n, name, args: names.append(name))
  save(9, copy)
  watch(None)
  shutil.rmtree(copy)
  return names


@pytest.fixture
def place(tmp_path, watch):
  """Two versions, and the folder of a save that was killed at its end."""
  url = tmp_path / 'm'
  save(1, url), save(2, url)

  def stop(n, name, args):
    if name == '_put' and args[1] == 'LATEST':
      raise tiny.Killed

  watch(stop)
  with pytest.raises(tiny.Killed):
    save(5, url)
  watch(None)
  assert len(list(url.iterdir())) == 4
  return url


def test_a_kill_at_any_write_or_removal_leaves_whole_versions(
  place, tmp_path, watch
):
  names = changes(watch, place)
  assert names.count('_write') == len(store._FIELDS) + 1
  assert names[-4:] == ['_put', '_put', '_remove', '_remove']
  latest = names.index('_remove')  # from then on the new version is there
  for stop in range(1, len(names) + 1):
    url = tmp_path / str(stop)
    shutil.copytree(place, url)

    def kill(n, name, args, stop=stop, url=url):
      if n == stop:
        if name == '_remove':  # half of its files are gone already
          for file in sorted((url / args[1]).rglob('*'))[::2]:
            file.unlink() if file.is_file() else None
        raise tiny.Killed

    watch(kill)
    with pytest.raises(tiny.Killed):
      save(3, url)
    watch(None)
    whole = {2: 2, 3: 3} if stop > latest else {1: 1, 2: 2}
    assert listed(url) == whole
    newest = max(whole)
    assert save(4, url) == newest + 1
    assert listed(url) == {newest: newest, newest + 1: 4}
    files = [file for file in url.rglob('*') if file.is_file()]
    tops = {file.relative_to(url).parts[0] for file in files}
    assert len(tops) == 3  # nothing is left behind


def test_killed_saves_never_push_out_good_versions(place, watch):
  def stop(n, name, args):
    if name == '_put' and args[1] == 'LATEST':
      raise tiny.Killed

  for _ in range(3):
    watch(stop)
    with pytest.raises(tiny.Killed):
      save(7, place)
    watch(None)
    assert listed(place) == {1: 1, 2: 2}
  save(3, place)
  assert listed(place) == {2: 2, 3: 3}


def test_a_save_within_a_save(place, tmp_path, watch):
  """Another save, from its begin to its end, before any change of the first."""
  names = changes(watch, place)
  latest = names.index('_remove')
  for at in range(1, len(names) + 1):
    url = tmp_path / str(at)
    shutil.copytree(place, url)

    def other(n, name, args, at=at, url=url):
      if n == at:
        watch(None)
        save(4, url)

    watch(other)
    if at <= latest:
      with pytest.raises(ValueError, match='by another process meanwhile'):
        save(4, url)  # an equal memory, even
      assert listed(url) == {2: 2, 3: 4}
    else:
      assert save(3, url) == 3
      assert listed(url) == {3: 3, 4: 4}
    watch(None)


def test_a_save_that_begins_during_the_clean_up_of_another(
  place, tmp_path, watch
):
  """The second stands at its k-th change while the first goes on to its end."""
  names = changes(watch, place)
  late = range(names.index('_remove') - 1, len(names) + 1)
  for at in late:
    for k in (1, 7, names.index('_put') + 1, names.index('_remove')):
      url = tmp_path / f'{at}-{k}'
      shutil.copytree(place, url)
      reached, go, said = threading.Event(), threading.Event(), []

      def pause(n, name, args, k=k, reached=reached, go=go):
        if n == k:
          reached.set()
          assert go.wait(60)

      def second(url=url, said=said, pause=pause):
        watch(pause)
        try:
          said.append(save(4, url))
        except ValueError as error:
          said.append(str(error))

      thread = threading.Thread(target=second)

      def begin(n, name, args, at=at, thread=thread, reached=reached):
        if n == at:
          thread.start()
          assert reached.wait(60)

      watch(begin)
      assert save(3, url) == 3
      watch(None)
      go.set()
      thread.join()
      if at > names.index('_remove'):
        assert said == [4]
        assert listed(url) == {3: 3, 4: 4}
      else:
        assert 'by another process meanwhile' in said[0]
        assert listed(url) == {2: 2, 3: 3}


def test_a_process_that_dies(place):
  """For real: at the change that makes the version seen, and at the last."""
  TOKENIZER.save(place.parent / 't')
  script = textwrap.dedent("""
    import os, sys
    from mem_alpha import text
    from mem_alpha.memory import state, store
    url, name, key = sys.argv[1:]
    change = getattr(store, name)
    def dying(root, at, *args):
      if key in at:
        os._exit(9)
      return change(root, at, *args)
    setattr(store, name, dying)
    store.save(state.empty(tokens=4, terms=4, rows=2), url,
               tokenizer=text.load(url + '/../t'), terms=text.Terms())
  """)
  for name, key, wanted in (
    ('_put', 'LATEST', {1: 1, 2: 2}),
    ('_remove', '00000001', {2: 2, 3: 0}),
  ):
    code = subprocess.run(
      [sys.executable, '-c', script, str(place), name, key],
      cwd=pathlib.Path(__file__).parents[2],
      check=False,
    ).returncode
    assert code == 9
    assert listed(place) == wanted
