"""Repositories of the hub become files that the sources read.

The package `datasets` is the real one. It takes a folder of the working
directory before the hub, so the repositories lie there, in their layout.
"""

import json
import sys

import datasets
import huggingface_hub
import pytest

from mem_alpha.data import catalog
from mem_alpha.data import hub
from mem_alpha.data import hub_assets
from mem_alpha.data.sources import banking77
from mem_alpha.data.sources import clinc150
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import infbench_sum
from mem_alpha.data.sources import pubmed_rct
from mem_alpha.data.sources import squad
from mem_alpha.data.sources import trec_fine

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
      {'source': 'b', 'text': [f'Emma {n}.'], 'analysis': ''},
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
      'labels': 'methods',
    }
    for n in range(4)
  ]


def labelled(texts, **columns):
  """A table of texts and labels, which it holds as numbers, like the real."""
  table = datasets.Dataset.from_dict({'text': texts, **columns})
  for name in columns:
    table = table.class_encode_column(name)
  return table


@pytest.fixture
def publish(monkeypatch, tmp_path_factory):
  """Makes a repository of the tables of a configuration; no network is used."""
  home = tmp_path_factory.mktemp('hub')
  monkeypatch.chdir(home)
  monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', home / 'cache')
  monkeypatch.setattr(datasets.config, 'HF_HUB_OFFLINE', True)
  monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)

  def make(repository, tables, configuration='default'):
    folder = home / repository
    folder.mkdir(parents=True)
    lines = ['---', 'configs:', f'- config_name: {configuration}']
    lines.append('  data_files:')
    for split, table in tables.items():
      if isinstance(table, list):
        table = datasets.Dataset.from_list(table)
      table.to_parquet(folder / f'{split}.parquet')
      lines += [f'  - split: {split}', f'    path: {split}.parquet']
    (folder / 'README.md').write_text('\n'.join([*lines, '---', '']))

  return make


def test_squad_becomes_articles(publish, tmp_path, recipe_of):
  publish('rajpurkar/squad', {'train': SQUAD, 'validation': SQUAD})
  paths = hub.fetch('squad', tmp_path)
  assert [str(p.relative_to(tmp_path)) for p in paths] == list(squad.FILES)
  articles = squad.read(recipe_of(), squad.FILES[0])
  assert {t: len(items) for t, items in articles.items()} == {'T0': 2, 'T1': 2}
  questions = [
    q for items in articles.values() for i in items for q in i.questions
  ]
  assert [q.text for q in questions] == [f'What {n}?' for n in (1, 2, 4, 5, 7)]


def test_hotpotqa_becomes_pairs(publish, tmp_path, recipe_of):
  rows = [{**HOTPOT[0], 'id': f'{n}'} for n in range(hub_assets.HOTPOT_ROWS)]
  tables = {'train': rows, 'validation': rows[:500]}
  publish('hotpotqa/hotpot_qa', tables, 'distractor')
  hub.fetch('hotpotqa', tmp_path)
  (row,) = hotpotqa.read(recipe_of(), hotpotqa.FILE)
  assert row.articles == {'A': 'Ada. x.', 'B': 'y.'}
  assert row.evidence == ('A', 'B')
  lines = (tmp_path / hotpotqa.FILE).read_text().splitlines()
  assert len(lines) == hub_assets.HOTPOT_ROWS


def test_books_are_read(publish, tmp_path, recipe_of):
  publish('xinrongzhang2022/InfiniteBench', {'longbook_sum_eng': BOOKS})
  hub.fetch('infbench_sum', tmp_path)
  with pytest.raises(ValueError, match='none of 1 texts'):
    infbench_sum.build(recipe_of('test'))


def test_chapters_have_a_row_for_each_summary(publish, tmp_path):
  tables = {split: CHAPTERS for split in ('train', 'validation', 'test')}
  publish('ubaada/booksum-complete-cleaned', tables, 'chapters')
  paths = hub.fetch('booksum', tmp_path)
  assert [path.name for path in paths] == [
    f'chapters_{split}.jsonl' for split in ('train', 'validation', 'test')
  ]
  rows = [json.loads(line) for line in paths[0].read_text().splitlines()]
  assert [row['summary'] for row in rows] == [
    'She is 0.\nBye.',
    'Emma 0.',
    'She is 1.\nBye.',
    'Emma 1.',
  ]
  assert rows[0]['book_id'] == rows[1]['book_id'] == 'Emma.chapter 0'


def test_sentences_become_abstracts(publish, tmp_path, recipe_of):
  splits = ('train', 'validation', 'test')
  publish('pietrolesci/pubmed-200k-rct', {s: abstracts(s) for s in splits})
  hub.fetch('pubmed_rct', tmp_path)
  assert (tmp_path / 'pubmed_rct' / 'test.txt').read_text() == (
    '###test0\nMETHODS\tIt is 0 of test.\nMETHODS\tIt is 1 of test.\n\n'
    '###test1\nMETHODS\tIt is 2 of test.\nMETHODS\tIt is 3 of test.\n'
  )
  whole = pubmed_rct.whole(recipe_of('test', published=True))
  assert len(whole.questions) == 4


def test_intents_of_a_bank(publish, tmp_path, recipe_of):
  texts = ['My card, "blue", is late', 'Top up?', 'Where is it?', 'More']
  table = labelled(texts, label=['late', 'top_up', 'late', 'top_up'])
  publish('legacy-datasets/banking77', {'train': table, 'test': table})
  hub.fetch('banking77', tmp_path)
  whole = banking77.whole(recipe_of('test', published=True))
  assert len(whole.questions) == 4
  shown = '\n'.join(whole.chunks)
  assert all(text in shown for text in texts)


def test_intents_and_none_of_them(publish, tmp_path, recipe_of):
  table = labelled(['play it', 'what?', 'stop'], intent=['play', 'oos', 'stop'])
  tables = {split: table for split in ('train', 'validation', 'test')}
  publish('clinc/clinc_oos', tables, 'plus')
  hub.fetch('clinc150', tmp_path)
  parts = json.loads((tmp_path / 'clinc150' / 'data_full.json').read_text())
  assert set(parts) == {*clinc150.TRAIN, *clinc150.TEST}
  assert parts['oos_val'] == [['what?', 'oos']]
  assert parts['train'] == [['play it', 'play'], ['stop', 'stop']]
  whole = clinc150.whole(recipe_of('test', published=True))
  assert len(whole.questions) == 3  # the same in both parts count once


def test_questions_with_two_labels(publish, tmp_path, recipe_of):
  table = labelled(
    ['Who wrote Emma ?', 'How far is Mars ?'],
    coarse_label=['HUM', 'NUM'],
    fine_label=['HUM:ind', 'NUM:dist'],
  )
  publish('CogComp/trec', {'train': table, 'test': table})
  hub.fetch('trec_fine', tmp_path)
  assert (tmp_path / 'trec' / 'TREC_10.label').read_text() == (
    'HUM:ind Who wrote Emma ?\nNUM:dist How far is Mars ?\n'
  )
  assert len(trec_fine.whole(recipe_of('test', published=True)).questions) == 2


def test_a_file_is_copied_as_it_is(publish, tmp_path, monkeypatch):
  source = tmp_path / 'blob'
  source.write_bytes(b'[{"answer": 3}, {"answer": "three"}]')
  asked = []

  def download(repository, name, *, repo_type):
    asked.append((repository, name, repo_type))
    return str(source)

  monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
  (path,) = hub.fetch('longmemeval', tmp_path)
  assert path.read_bytes() == source.read_bytes()
  assert path.match('longmemeval/longmemeval_*.json')
  assert hub.fetch('longmemeval', tmp_path) == [] and len(asked) == 1
  assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
  'source',
  sorted(
    set(catalog.SOURCES) - set(hub_assets.ASSETS) - set(hub_assets.DOWNLOADS)
  ),
)
def test_a_source_without_a_repository_says_so(source, tmp_path):
  with pytest.raises(ValueError, match=f'knows no hub repository of {source}'):
    hub.fetch(source, tmp_path)


def test_other_columns_are_named(publish, tmp_path):
  rows = [{**CHAPTERS[0], 'summary': ['text']}]
  tables = {split: rows for split in ('train', 'validation', 'test')}
  publish('ubaada/booksum-complete-cleaned', tables, 'chapters')
  with pytest.raises(
    ValueError, match='booksum-complete-cleaned holds something else'
  ):
    hub.fetch('booksum', tmp_path)
  assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_fetched(publish, tmp_path, put):
  for name in squad.FILES:
    put(name, 'mine')
  assert hub.fetch('squad', tmp_path) == []
  put('locomo/a.json', 'mine')
  put('trec/train_5500.label', 'mine')
  put('trec/TREC_10.label', 'mine')
  assert hub.fetch('locomo', tmp_path) == hub.fetch('trec_fine', tmp_path) == []
  assert (tmp_path / squad.FILES[0]).read_text() == 'mine'


@pytest.mark.parametrize('source', ['squad', 'longmemeval'])
def test_no_network_is_named(source, publish, tmp_path):
  with pytest.raises(ValueError, match='could not be fetched from the hub'):
    hub.fetch(source, tmp_path)
  assert not list(tmp_path.iterdir())


def test_no_package_is_named(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, 'datasets', None)
  with pytest.raises(ValueError, match=r'install mem_alpha\[hub\]'):
    hub.fetch('squad', tmp_path)
