"""The file of answers: nothing lost, nothing paid twice, nothing mixed up."""

import sqlite3
import subprocess
import sys
import threading

import pytest

from mem_alpha.readers import base
from mem_alpha.readers import cache
from tests.readers import sending


def key(value):
  return sending.key({'prompt': value})


def test_many_answers_come_back(tmp_path):
  store = cache.Cache(tmp_path / 'deep' / 'a.sqlite')
  texts = {key(i): f'{i} \u2028 ✿ {"x" * i}' for i in range(1200)}
  for k, text in texts.items():
    store.put([(k, text)])
  assert store.get([*texts, key(-1)]) == texts
  store.put([(key(0), '\ud800')])  # no UTF-8 can spell it
  assert store.get([key(0)]) == {key(0): '?'}
  assert store.get([]) == {}


def test_threads_and_runs_share_a_file(tmp_path):
  one, two = (cache.Cache(tmp_path / 'a.sqlite', run=r) for r in 'xy')

  def work(store, first):
    for i in range(first, first + 50):
      store.put([(key(i), str(i))])
      store.spend(1)

  threads = [
    threading.Thread(target=work, args=(store, 50 * t))
    for t, store in enumerate((one, one, two))
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(two.get([key(i) for i in range(150)])) == 150
  assert (one.spend(0), two.spend(0)) == (100, 50)
  assert two.spend(-1) == 49


def test_a_killed_process_loses_no_answer(tmp_path):
  path = tmp_path / 'a.sqlite'
  code = (
    'import os, signal, sys\n'
    'from mem_alpha.readers import cache\n'
    'store = cache.Cache(sys.argv[1])\n'
    'for i in range(100):\n'
    '  store.put([(bytes([i]), str(i))])\n'
    'os.kill(os.getpid(), signal.SIGKILL)\n'
  )
  done = subprocess.run([sys.executable, '-c', code, str(path)], timeout=120)
  assert done.returncode == -9
  found = cache.Cache(path).get([bytes([i]) for i in range(100)])
  assert len(found) == 100


@pytest.mark.parametrize('what', ['text', 'folder', 'foreign'])
def test_a_file_that_is_no_cache_is_named(tmp_path, what):
  path = tmp_path / 'a.sqlite'
  if what == 'text':
    path.write_text('these are notes of mine, and no database at all ' * 9)
  elif what == 'folder':
    path.mkdir()
  else:
    with sqlite3.connect(path) as db:
      db.execute('CREATE TABLE answers (id INTEGER)')
  with pytest.raises(base.ReaderError, match='endpoint.cache') as error:
    store = cache.Cache(path)
    store.get([key(0)])
  assert str(path) in str(error.value)


def test_closing_leaves_one_file(tmp_path):
  store = cache.Cache(tmp_path / 'a.sqlite')
  store.put([(key(0), 'x')])
  store.close()
  assert [p.name for p in tmp_path.iterdir()] == ['a.sqlite']
