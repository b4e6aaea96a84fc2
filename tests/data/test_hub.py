"""Files of the hub become files that the sources read; no network here."""

import sys
import types

import pytest

from mem_alpha.data import hub
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import infbench_sum
from mem_alpha.data.sources import squad

SQUAD = [
  {
    'id': f'{n}',
    'title': f'T{n // 4}',
    'context': f'Context {n // 2} says so.',
    'question': f'What {n}?',
    'answers': {'text': [f'v{n}'] * (n % 3), 'answer_start': [0] * (n % 3)},
  }
  for n in range(8)
]
HOTPOT = [
  {
    'id': 'a',
    'question': 'Who?',
    'answer': 'Ada',
    'supporting_facts': {'title': ['A', 'B'], 'sent_id': [0, 1]},
    'context': {'title': ['A', 'B'], 'sentences': [['Ada.', 'x.'], ['y.']]},
  }
]
BOOKS = [{'id': 1, 'context': 'Once.', 'input': '', 'answer': ['A story.']}]


@pytest.fixture
def loaded(monkeypatch):
  """A stand-in for the package, which remembers what it was asked for."""
  asked = []

  def load_dataset(repository, configuration, split):
    asked.append((repository, configuration, split))
    for name, rows in (('squad', SQUAD), ('hotpot', HOTPOT), ('Bench', BOOKS)):
      if name in repository:
        return rows
    raise KeyError(repository)

  module = types.SimpleNamespace(load_dataset=load_dataset)
  monkeypatch.setitem(sys.modules, 'datasets', module)
  return asked


def test_squad_becomes_articles(loaded, tmp_path, recipe_of):
  paths = hub.fetch('squad', tmp_path)
  assert [str(p.relative_to(tmp_path)) for p in paths] == list(squad.FILES)
  articles = squad.read(recipe_of(), squad.FILES[0])
  assert {t: len(items) for t, items in articles.items()} == {'T0': 2, 'T1': 2}
  questions = [
    q for items in articles.values() for i in items for q in i.questions
  ]
  assert [q.text for q in questions] == [f'What {n}?' for n in (1, 2, 4, 5, 7)]


def test_hotpotqa_becomes_pairs(loaded, tmp_path, recipe_of):
  hub.fetch('hotpotqa', tmp_path)
  (row,) = hotpotqa.read(recipe_of(), hotpotqa.FILE)
  assert row.articles == {'A': 'Ada. x.', 'B': 'y.'}
  assert row.evidence == ('A', 'B')
  assert loaded[0] == ('hotpotqa/hotpot_qa', 'distractor', 'train[:20000]')


def test_books_are_read(loaded, tmp_path, recipe_of):
  hub.fetch('infbench_sum', tmp_path)
  with pytest.raises(ValueError, match='none of 1 texts'):
    infbench_sum.build(recipe_of('test'))


def test_what_is_there_is_not_fetched(loaded, tmp_path, put):
  for name in squad.FILES:
    put(name, 'mine')
  assert hub.fetch('squad', tmp_path) == []
  assert hub.fetch('locomo', tmp_path) == []
  assert not loaded and (tmp_path / squad.FILES[0]).read_text() == 'mine'


def test_failures_are_named(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'datasets', None)
  with pytest.raises(ValueError, match=r'install mem_alpha\[hub\]'):
    hub.fetch('squad', tmp_path)

  def load_dataset(*_, **__):
    raise ConnectionError('no route')

  module = types.SimpleNamespace(load_dataset=load_dataset)
  monkeypatch.setitem(sys.modules, 'datasets', module)
  with pytest.raises(ValueError, match='rajpurkar/squad could not be fetched'):
    hub.fetch('squad', tmp_path)
  assert not list(tmp_path.iterdir())
