"""256 memories x 20 questions at a server that takes 200 ms for an answer.

Once cold against the ideal (questions / concurrency x 200 ms), once again from
the cache that the first pass left. Search and prompts are part of both.
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time

from experiments.bench_readers import results
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.readers import asking
from mem_alpha.readers import base
from mem_alpha.readers import cache
from mem_alpha.readers import client
from mem_alpha.readers import endpoint
from mem_alpha.readers import failures
from mem_alpha.readers import prompt
from mem_alpha.readers import protocol

SECONDS, CONCURRENCY = 0.2, 64


@contextlib.contextmanager
def serving(seconds: float = SECONDS):
  """The address of a server that takes so long for each answer."""
  process = subprocess.Popen(
    [
      sys.executable,
      pathlib.Path(__file__).with_name('server.py'),
      f'{seconds}',
    ],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    yield f'http://127.0.0.1:{process.stdout.readline().strip()}/v1'
  finally:
    process.stdin.close()
    process.wait()


@contextlib.contextmanager
def reading(url: str, path: pathlib.Path, count):
  """A reader of that server with a cache at `path`."""
  store, ledger = cache.Cache(path), failures.Ledger(0.1)
  connection = client.Client(
    url,
    limits=client.Limits(concurrency=CONCURRENCY),
    cache=store,
    ledger=ledger,
  )
  model = endpoint.Endpoint(connection, protocol.Spec('any', 64))
  try:
    yield asking.Asking(model, prompt.Layout(count, 2048), ledger)
  finally:
    connection.close()
    store.close()


def memories(rows: int, entries: int = 20):
  stores = [
    [
      structs.Entry(
        structs.Kind.SEMANTIC,
        e,
        f'Person {m} keeps object {e} in room {7 * m + e} of house {m}.',
        0,
        0,
        e,
      )
      for e in range(entries)
    ]
    for m in range(rows)
  ]
  return base.Memories(
    ['Where persons keep objects.'] * rows,
    lambda queries: [[s] * len(q) for s, q in zip(stores, queries)],
  )


def run(args):
  rows, questions = (32, 10) if args.small else (256, 20)
  store = memories(rows)
  queries = [
    [f'Where does person {m} keep object {q}?' for q in range(questions)]
    for m in range(rows)
  ]
  vocab = text.train_bpe(
    [e.text for row in store.search([['x']] * rows) for e in row[0]],
    vocab_size=400,
  )
  count = lambda s: len(vocab.encode(s))  # noqa: E731
  ideal = rows * questions / CONCURRENCY * SECONDS
  colds, warms = [], []
  with serving() as url, tempfile.TemporaryDirectory() as folder:
    for r in range(args.runs):
      path = pathlib.Path(folder) / f'{r}.sqlite'
      found = []
      for seconds in (colds, warms):
        with reading(url, path, count) as reader:
          began = time.perf_counter()
          found.append(reader(store, queries))
          seconds.append(time.perf_counter() - began)
      assert found[0] == found[1]
      assert all(a.text == 'Oslo' for row in found[0] for a in row)
  total = rows * questions
  results.add(
    'endpoint/throughput',
    'questions/s',
    [(total / cold, total / ideal) for cold in colds],
    peer=f'ideal: {CONCURRENCY} at a time, {SECONDS} s each',
    larger_is_better=True,
    write=not args.dry,
  )
  results.add(
    'endpoint/warm_cache',
    's',
    list(zip(warms, colds)),
    peer='the same questions, cold',
    larger_is_better=False,
    write=not args.dry,
  )
