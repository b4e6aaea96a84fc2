"""All sources on the real files: golden figures, and what must hold of them.

Tokens are words here, so that no model's tokenizer is needed.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import re

import pytest

from mem_alpha.data import benchmark
from mem_alpha.data import catalog
from mem_alpha.data import ledger
from mem_alpha.data import overlap
from mem_alpha.data import splits
from mem_alpha.data.sources import conversations
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import longmemeval
from mem_alpha.data.sources import ruler_qa1
from mem_alpha.data.sources import squad

DATA = os.environ.get('MEM_ALPHA_DATA')
real = pytest.mark.skipif(not DATA, reason='MEM_ALPHA_DATA is not set')

# source -> split -> (instances, chunks, words, questions), at most 6 instances.
GOLDEN = {
  'squad': {
    'train': (6, 60, 20239, 600),
    'validation': (6, 60, 19569, 555),
    'test': (6, 60, 19896, 571),
  },
  'hotpotqa': {
    'train': (6, 60, 20944, 127),
    'validation': (5, 50, 17821, 113),
    'test': (6, 60, 21191, 122),
  },
  'booksum': {'train': (3, 25, 9459, 3)},
  'pubmed_structured': {
    'train': (6, 60, 23181, 600),
    'validation': (6, 60, 23313, 600),
    'test': (6, 60, 23210, 600),
  },
  'nlu': {
    'train': (6, 60, 23742, 600),
    'validation': (6, 60, 23688, 600),
    'test': (6, 60, 23735, 600),
  },
  'trec_coarse': {
    'train': (6, 60, 23591, 600),
    'validation': (6, 60, 23638, 600),
    'test': (3, 30, 11759, 262),
  },
  'trec_fine': {
    'train': (6, 60, 23644, 600),
    'validation': (6, 60, 23604, 596),
    'test': (3, 30, 11810, 262),
  },
  'banking77': {
    'train': (6, 60, 23485, 600),
    'validation': (6, 60, 23446, 599),
    'test': (6, 60, 23456, 600),
  },
  'clinc150': {
    'train': (6, 60, 23673, 600),
    'validation': (6, 60, 23682, 600),
    'test': (6, 60, 23731, 600),
  },
  'ruler_qa1': {'test': (4, 50, 16050, 100)},
  'ruler_qa2': {'test': (4, 47, 15911, 100)},
  'locomo': {
    'train': (1, 10, 3820, 53),
    'validation': (1, 10, 3868, 38),
    'test': (3, 30, 11442, 84),
  },
}


@pytest.fixture
def build(recipe_of):
  def make(name, split, **options):
    options = {'chunk_tokens': 400, 'chunks': 10, 'instances': 6, **options}
    recipe = recipe_of(split, root=pathlib.Path(DATA) / 'raw', **options)
    return catalog.build(name, recipe), recipe.log

  return make


def test_every_source_has_a_file_of_its_name():
  folder = pathlib.Path(catalog.__file__).parent / 'sources'
  for name, module in catalog.SOURCES.items():
    assert pathlib.Path(module.__file__) == folder / f'{name}.py'


@real
@pytest.mark.parametrize('name', GOLDEN)
def test_golden_statistics(name, build):
  for split, expected in GOLDEN[name].items():
    found, _ = build(name, split)
    chunks = [chunk for i in found for chunk in i.chunks]
    assert len({i.instance_id for i in found}) == len(found)
    assert all(i.source == name for i in found)
    assert (
      len(found),
      len(chunks),
      sum(len(chunk.split()) for chunk in chunks),
      sum(len(i.questions) for i in found),
    ) == expected


@real
@pytest.mark.parametrize(
  'name', ['squad', 'hotpotqa', 'ruler_qa1', 'ruler_qa2']
)
def test_answers_stand_in_a_chunk(name, build):
  for split in ('test',) if 'ruler' in name else splits.NAMES:
    for instance in build(name, split)[0]:
      chunks = [chunk.lower() for chunk in instance.chunks]
      for question in instance.questions:
        golds = [answer.lower() for answer in question.answers]
        assert (
          any(gold in chunk for gold in golds for chunk in chunks)
          or golds in (['yes'], ['no'])
          and name == 'ruler_qa2'
        )


@real
@pytest.mark.parametrize(
  'name',
  [
    'nlu',
    'trec_coarse',
    'trec_fine',
    'banking77',
    'clinc150',
    'pubmed_structured',
  ],
)
def test_asked_labels_are_shown(name, build):
  for split in splits.NAMES:
    for instance in build(name, split, instances=2)[0]:
      shown = set(re.findall(r'\nLabels?: (\d+)', '\n'.join(instance.chunks)))
      assert {q.answers[0] for q in instance.questions} <= shown


@real
def test_benchmark_labels_have_the_numbers_of_their_golds(build):
  (first, *_), log = build('banking77', 'test')
  golds = {
    row['prompt']: row['golds'][0]
    for row in map(
      json.loads, (pathlib.Path(DATA) / 'raw' / benchmark.QUESTIONS).open()
    )
    if row['source'].startswith('icl_banking77')
  }
  asked = {
    q.text.split('\n')[0].removeprefix('Sentence: '): q.answers[0]
    for q in first.questions
  }
  common = set(golds) & set(asked)
  assert len(common) >= 15
  assert all(golds[text] == asked[text] for text in common)


@real
def test_ruler_holds_the_context_of_each_listed_question(build, recipe_of):
  recipe = recipe_of(root=pathlib.Path(DATA) / 'raw')
  (first,), log = build('ruler_qa1', 'test', tokens=30_000)
  asked = {q.text for q in first.questions}
  listed = benchmark.listed(recipe, 'ruler_qa1')
  assert len(listed) == 50 and {q.text for q in listed} <= asked
  contexts = {
    question.text: item.passages[0]
    for items in squad.read(recipe, ruler_qa1.FILE).values()
    for item in items
    for question in item.questions
  }
  text = '\n'.join(first.chunks)
  assert all(contexts[question.text] in text for question in listed)
  assert not [e for e in log.entries if 'not there' in e.reason]

  (second,), log = build('ruler_qa2', 'test', tokens=60_000)
  missing = [e for e in log.entries if 'not there' in e.reason]
  assert len(missing) == 11
  rows = {
    r.question: r for r in hotpotqa.read(recipe, hotpotqa.EVALUATION_FILE)
  }
  text = '\n'.join(second.chunks)
  held = 0
  for question in benchmark.listed(recipe, 'ruler_qa2'):
    row = rows.get(' '.join(question.text.split()))
    if row:
      held += 1
      for title in row.evidence:
        assert f'\n{title}\n{row.articles[title]}' in text
  assert held == 39


@real
@pytest.mark.parametrize(
  'name', ['squad', 'hotpotqa', 'nlu', 'trec_fine', 'banking77', 'locomo']
)
def test_splits_share_nothing(name, build, recipe_of):
  contents = [overlap.of(build(name, split)[0]) for split in splits.NAMES]
  for first, second in itertools.combinations(contents, 2):
    assert first.shared(second) == overlap.NOTHING
  listed = overlap.of_listed(
    benchmark.listed(recipe_of(root=pathlib.Path(DATA) / 'raw'))
  )
  for content in contents[:2]:
    assert content.shared(listed) == overlap.NOTHING


@real
@pytest.mark.parametrize(
  'name', ['squad', 'hotpotqa', 'booksum', 'trec_fine', 'locomo']
)
@pytest.mark.parametrize('tokens', [2000, 50_000])
def test_any_length(name, tokens, build):
  (instance,), _ = build(name, 'train', tokens=tokens, instances=1)
  total = sum(len(chunk.split()) for chunk in instance.chunks)
  assert abs(total - tokens) <= max(400, 0.02 * tokens)
  assert instance.questions


@real
def test_longmemeval_keeps_the_evidence_at_any_length(recipe_of):
  root = pathlib.Path(DATA) / 'raw'
  path = root / 'longmemeval' / 'extra_official_format_items.json'
  recipe = recipe_of('test', root=root, tokens=8000, chunk_tokens=1500)
  histories = longmemeval.read(recipe, [path])
  assert len(histories) == 6  # and one whose id occurs again
  found = conversations.build(histories, recipe, source='longmemeval')
  assert len(found) >= 4
  by_name = {history.name: history for history in histories}
  for instance in found:
    total = sum(len(chunk.split()) for chunk in instance.chunks)
    assert abs(total - 8000) <= 1500
    text = '\n'.join(instance.chunks)
    history = by_name[instance.instance_id.split('/')[-1]]
    asked = set(instance.questions)
    for place in {
      p for a in history.asked if a.question in asked for p in a.sessions
    }:
      # A long turn may be cut into pieces.
      start = history.sessions[place].turns[0][:40]
      assert history.sessions[place].head in text and start in text


@real
@pytest.mark.parametrize(
  'tokens, expected',
  [
    (2000, (5, 1907, 1)),
    (32_000, (80, 32_270, 12)),
    (512_000, (1255, 512_022, 30)),
  ],
)
def test_longmemeval_has_any_length_without_evidence_ids(
  tokens, expected, build
):
  (instance,), log = build(
    'longmemeval', 'test', tokens=tokens, chunk_tokens=512
  )
  assert expected == (
    len(instance.chunks),
    sum(len(chunk.split()) for chunk in instance.chunks),
    len(instance.questions),
  )
  left = [e for e in log.entries if e.reason == 'its sessions do not fit']
  assert len(instance.questions) + len(left) == 30
  text = overlap.words('\n'.join(instance.chunks))
  if tokens < 512_000:  # at the full length some answers sum up many sessions
    for question in instance.questions:
      assert any(f' {overlap.words(a)} ' in text for a in question.answers)


@pytest.fixture
def with_official(tmp_path):
  """The benchmark's history and items in the official layout beside it."""
  folder = tmp_path / 'longmemeval'
  folder.mkdir()
  raw = pathlib.Path(DATA) / 'raw' / 'longmemeval'
  for path, name in (
    ('mab_longmemeval_s_star_instance17.json',) * 2,
    ('extra_official_format_items.json', 'longmemeval_s.json'),
  ):
    (folder / name).symlink_to(raw / path)
  return tmp_path


@real
def test_stock_phrases_take_nothing_out_of_longmemeval(
  with_official, recipe_of
):
  asked = dict(root=with_official, chunk_tokens=2048, chunks=1000)
  test = overlap.of(longmemeval.build(recipe_of('test', **asked)))
  train = longmemeval.build(recipe_of('train', **asked))
  log = ledger.Ledger()
  assert len(train) == 4
  assert overlap.without(train, test, log, split='train') == train
  # They do share such phrases; a session of the test is found all the same.
  shared = [overlap.of([i]).sentences & test.sentences for i in train]
  assert sum(map(len, shared)) > 3
  history = longmemeval.whole(recipe_of('test', **asked))
  for chunk in history.chunks:
    copy = dataclasses.replace(history, chunks=(chunk,), questions=())
    assert not overlap.without([copy], test, log, split='train')


@real
def test_longmemeval_trains_on_joined_histories(with_official, recipe_of):
  recipe = recipe_of(
    root=with_official,
    chunk_tokens=2048,
    min_chunk_tokens=1000,
    tokens=23_700,
    max_questions=3,
    min_questions=3,
  )
  instance, _ = longmemeval.build(recipe)
  assert instance.instance_id.count('+') == 2
  assert len(instance.questions) == 3 and 14 <= len(instance.chunks) <= 17
  dates = re.findall(
    r'\[Dialogue at timestamp (\S+)', '\n'.join(instance.chunks)
  )
  assert dates == sorted(dates)
