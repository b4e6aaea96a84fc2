"""Files of the hub become files that the sources read; no network here."""

import json
import sys
import types

import pytest

from mem_alpha.data import catalog
from mem_alpha.data import hub
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import infbench_sum
from mem_alpha.data.sources import pubmed_rct
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
CHAPTERS = [
  {
    'bid': 27,
    'book_title': 'Emma',
    'chapter_id': f'chapter {n}',
    'text': f'Chapter {n} tells of Emma.',
    'summary': [
      {'source': 'a', 'text': [f'She is {n}.', 'Bye.'], 'analysis': ''},
      {'source': 'b', 'text': f'Emma {n}.', 'analysis': ''},
    ],
    'is_aggregate': False,
  }
  for n in range(2)
]
BOOKS = [{'id': 1, 'context': 'Once.', 'input': '', 'answer': ['A story.']}]


def abstracts(split):
  return [
    {
      'abstract_id': f'{split}{n // 2}',
      'text': f'It is {n} of {split}.',
      'labels': 'methods' if split == 'test' else 2,
    }
    for n in range(4)
  ]


@pytest.fixture
def loaded(monkeypatch):
  """A stand-in for the package, which remembers what it was asked for."""
  asked = []

  def load_dataset(repository, configuration, split):
    asked.append((repository, configuration, split))
    for name, rows in (
      ('squad', SQUAD),
      ('hotpot', HOTPOT),
      ('Bench', BOOKS),
      ('booksum', CHAPTERS),
      ('pubmed', abstracts(split)),
    ):
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


def test_chapters_have_a_row_for_each_summary(loaded, tmp_path):
  paths = hub.fetch('booksum', tmp_path)
  assert [path.name for path in paths] == [
    f'chapters_{split}.jsonl' for split in ('train', 'validation', 'test')
  ]
  assert loaded[0] == ('ubaada/booksum-complete-cleaned', 'chapters', 'train')
  rows = [json.loads(line) for line in paths[0].read_text().splitlines()]
  assert [row['summary'] for row in rows] == [
    'She is 0.\nBye.',
    'Emma 0.',
    'She is 1.\nBye.',
    'Emma 1.',
  ]
  assert rows[0]['book_id'] == rows[1]['book_id'] == 'Emma.chapter 0'


def test_sentences_become_abstracts(loaded, tmp_path, recipe_of):
  hub.fetch('pubmed_rct', tmp_path)
  assert loaded[1] == ('pietrolesci/pubmed-200k-rct', None, 'validation')
  assert (tmp_path / 'pubmed_rct' / 'test.txt').read_text() == (
    '###test0\nMETHODS\tIt is 0 of test.\nMETHODS\tIt is 1 of test.\n\n'
    '###test1\nMETHODS\tIt is 2 of test.\nMETHODS\tIt is 3 of test.\n'
  )
  whole = pubmed_rct.whole(recipe_of('test', published=True))
  assert len(whole.questions) == 4


@pytest.mark.parametrize(
  'source', sorted(set(catalog.SOURCES) - set(hub.ASSETS))
)
def test_a_source_without_a_repository_says_so(source, tmp_path):
  with pytest.raises(ValueError, match=f'knows no hub repository of {source}'):
    hub.fetch(source, tmp_path)


def test_other_columns_are_named(loaded, tmp_path, monkeypatch):
  monkeypatch.setitem(CHAPTERS[0], 'summary', ['text'])
  with pytest.raises(ValueError, match='booksum-complete-cleaned has other'):
    hub.fetch('booksum', tmp_path)
  assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched(loaded, tmp_path, put):
  for name in squad.FILES:
    put(name, 'mine')
  assert hub.fetch('squad', tmp_path) == []
  put('locomo/a.json', 'mine')
  put('trec/train_5500.label', 'mine')
  assert hub.fetch('locomo', tmp_path) == hub.fetch('trec_fine', tmp_path) == []
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
