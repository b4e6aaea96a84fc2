"""Answers that were paid for, on disk, by the hash of what was asked.

One SQLite file. The key is the SHA-256 of the request (protocol.Spec.key:
model, prompt and parameters, neither address nor credentials); the value is the
reply's text.
Every answer is committed before it is used, so a killed run pays for no answer
twice. The file also counts the requests of each run, for its budget.
"""

import contextlib
import os
import pathlib
import sqlite3
import threading
from collections.abc import Sequence

from mem_alpha.readers import base

_BLOCK = 500  # keys per query; SQLite allows 999 parameters
_SCHEMA = (
  'CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, text TEXT NOT NULL'
  ') WITHOUT ROWID',
  'CREATE TABLE IF NOT EXISTS spent (run TEXT PRIMARY KEY, requests INTEGER)',
)


class Cache:
  """A file of answers; safe to use from several threads."""

  def __init__(self, path: str | os.PathLike, *, run: str = ''):
    self.path, self.run = pathlib.Path(path), run
    self._lock = threading.Lock()
    with self._guard():
      self.path.parent.mkdir(parents=True, exist_ok=True)
      self._open()

  @contextlib.contextmanager
  def _guard(self):
    """One use at a time; what is wrong with the file is one sentence."""
    try:
      with self._lock:
        yield
    except (sqlite3.Error, OSError) as error:
      raise base.ReaderError(
        f'{self.path} cannot be used as a cache of answers ({error}): remove '
        'it, or name another file with endpoint.cache.'
      ) from error

  def _open(self):
    self._db = sqlite3.connect(
      self.path, check_same_thread=False, isolation_level=None, timeout=60
    )
    # A commit then survives a killed process, without waiting for the disk.
    self._db.execute('PRAGMA journal_mode=WAL')
    self._db.execute('PRAGMA synchronous=NORMAL')
    for statement in _SCHEMA:
      self._db.execute(statement)
    # A table of that name in somebody else's file has other columns.
    self._db.execute(
      'SELECT key, text, run, requests FROM answers, spent LIMIT 0'
    )

  def get(self, keys: Sequence[bytes]) -> dict[bytes, str]:
    """The answers that are there."""
    found = {}
    with self._guard():
      for start in range(0, len(keys), _BLOCK):
        block = keys[start : start + _BLOCK]
        marks = ','.join('?' * len(block))
        found |= dict(
          self._db.execute(
            f'SELECT key, text FROM answers WHERE key IN ({marks})', block
          )
        )
    return found

  def put(self, answers: Sequence[tuple[bytes, str]]) -> None:
    """Keeps answers by their keys; all are on disk when this returns."""
    # UTF-8 has no lone surrogates, but a reply's JSON escapes can spell them.
    rows = [
      (k, text.encode('utf-8', 'replace').decode()) for k, text in answers
    ]
    with self._guard():
      self._db.execute('BEGIN IMMEDIATE')
      with self._db:  # commits, or undoes what failed
        self._db.executemany(
          'INSERT OR REPLACE INTO answers VALUES (?, ?)', rows
        )

  def spend(self, requests: int) -> int:
    """Adds to the requests of this run; returns how many that makes."""
    with self._guard():
      (count,) = self._db.execute(
        'INSERT INTO spent VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET'
        ' requests = requests + excluded.requests RETURNING requests',
        (self.run, requests),
      ).fetchone()
    return count

  def close(self) -> None:
    """Leaves one file behind."""
    with self._guard():
      self._db.close()
