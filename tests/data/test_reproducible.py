"""The same files give the same bytes in every process; rows count once."""

import collections
import os
import pathlib
import subprocess
import sys

import pytest

from mem_alpha.data import catalog
from mem_alpha.data import ledger
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import banking77
from mem_alpha.data.sources import squad

DATA = os.environ.get('MEM_ALPHA_DATA')
PROGRAM = """
import pathlib
import sys

from mem_alpha.data import catalog
from mem_alpha.data import recipe

for name in ('squad', 'banking77'):
  asked = recipe.Recipe(
    pathlib.Path(sys.argv[1]),
    'test',
    count_tokens=lambda text: len(text.split()),
    chunk_tokens=60,
    chunks=3,
    max_questions=5,
  )
  for instance in catalog.build(name, asked):
    print(instance)
  print(asked.log.to_jsonl())
"""


def test_two_processes_write_the_same(put):
  title = sorted(squad.BENCHMARK_TITLES)[0]
  paragraphs = [
    {
      'context': f'Fact {n} of it is that v{n} and also w{n} were seen there.',
      'qas': [
        {
          'id': f'{n}{word}',
          'question': f'What about {word} {n}?',
          'answers': [{'text': f'{word}{n}'}],
        }
        for word in 'vw'
      ],
    }
    for n in range(60)
  ]
  value = {'data': [{'title': title, 'paragraphs': paragraphs}]}
  folder = put(squad.FILES[1], value).parents[1]
  names = [f'label_{n}' for n in range(30)]
  put('banking77/categories.json', names)
  for name, count in (('train', 300), ('test', 90)):
    rows = [f'{name} {n} it is,{names[n % 30]}\n' for n in range(count)]
    put(f'banking77/{name}.csv', 'text,category\n' + ''.join(rows))
  written = [
    subprocess.run(
      [sys.executable, '-c', PROGRAM, str(folder)],
      env={**os.environ, 'PYTHONHASHSEED': seed},
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    for seed in ('1', '2')
  ]
  assert written[0] == written[1]
  for reason in ('more than 5 questions', 'no example of its label fits'):
    assert reason in written[0]
  assert banking77.NAME in written[0]


class _Counted(ledger.Ledger):
  """Remembers how often each entry was written down."""

  def __init__(self):
    super().__init__()
    self.times = collections.Counter()

  def leave_out(self, *entry, **more):
    self.times[entry, *more.values()] += 1
    super().leave_out(*entry, **more)


@pytest.mark.skipif(not DATA, reason='MEM_ALPHA_DATA is not set')
@pytest.mark.parametrize(
  'name', ['squad', 'hotpotqa', 'trec_fine', 'banking77', 'locomo']
)
def test_every_row_has_an_entry_of_its_own(name):
  log = _Counted()
  catalog.build(
    name,
    recipes.Recipe(
      pathlib.Path(DATA) / 'raw',
      'train',
      count_tokens=lambda text: len(text.split()),
      chunk_tokens=400,
      chunks=3,
      max_questions=5,
      max_answer_tokens=4,
      log=log,
    ),
  )
  # MemoryAgentBench's list is read more than once.
  again = [e for e, n in log.times.items() if n > 1 and 'Memory' not in e[0][0]]
  assert log.times and not again
