"""--mode=prepare: same bytes twice, nothing shared, everything written down."""

import contextlib
import importlib
import json
import os
import pathlib
import re

import pytest

from configs import base
from mem_alpha import build
from mem_alpha import build_panel
from mem_alpha import prepare
from mem_alpha import text
from mem_alpha.data import benchmark
from mem_alpha.data import catalog
from mem_alpha.data import overlap
from mem_alpha.data import recipe as recipes
from mem_alpha.data import schema
from mem_alpha.data.sources import nlu
from mem_alpha.data.sources import ruler_qa1
from mem_alpha.data.sources import squad
from mem_alpha.readers import base as readers

CONFIGS = sorted(
  path.stem
  for path in pathlib.Path('configs/data').glob('*.py')
  if path.stem not in ('__init__', 'variants')
)
PUBLISHED = 'squad hotpotqa perltqa booksum pubmed_rct nlu trec_coarse'.split()
SENTENCE = (
  'In the winter of that year the old mill by the river burned down. Nobody '
  'ever built it up again and it was soon forgotten.'
)


def paragraph(title, number):
  facts = ' '.join(f'Fact {i} of {title} {number} is v{i}.' for i in range(5))
  qas = [
    {
      'id': f'{title}{number}{i}',
      'question': f'What is fact {i} of {title} {number}?',
      'answers': [{'text': f'v{i}'}],
    }
    for i in range(3)
  ]
  return {'context': f'About {title}, part {number}. {facts}', 'qas': qas}


def articles(titles, extra=''):
  data = [
    {'title': t, 'paragraphs': [paragraph(t, n) for n in range(4)]}
    for t in titles
  ]
  data[0]['paragraphs'][0]['context'] += extra
  return {'data': data}


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  folder = tmp_path_factory.mktemp('bpe')
  text.train_bpe(['Fact of the title is v.'] * 9, vocab_size=300).save(folder)
  return str(folder)


@pytest.fixture
def config(tmp_path, tokenizer):
  root = tmp_path / 'raw'
  tests = sorted(squad.BENCHMARK_TITLES)[:6]
  titles = [f'T{n}' for n in range(60)]
  write(root / squad.FILES[1], articles(titles + tests))
  write(root / ruler_qa1.FILE, articles(tests))
  rows = [
    {
      'split_fold1': 'test' if n % 10 == 9 else 'train',
      'scenario': 'abc'[n % 3],
      'intent': 'x',
      'label': f'{"abc"[n % 3]}_x',
      'answer_from_anno': f'do thing {n}',
    }
    for n in range(300)
  ]
  write(root / nlu.FILE, rows)
  config = base.get_config()
  config.data.root = str(root)
  config.data.sources = ('squad', 'nlu')
  config.data.chunk_tokens, config.data.chunks = 700, 3
  config.prepare.tokenizer = tokenizer
  config.prepare.train, config.prepare.test = 6, 3
  config.prepare.validation = 2
  return config


def write(path, value):
  path.parent.mkdir(parents=True, exist_ok=True)
  if isinstance(value, list):
    path.write_text(''.join(json.dumps(row) + '\n' for row in value))
  else:
    path.write_text(json.dumps(value))


def listed(prompt):
  return {
    'source': 'ruler_qa1_9K',
    'qa_pair_id': 'a',
    'prompt': prompt,
    'golds': ['x'],
  }


def test_files_figures_and_a_report_are_written(config, tmp_path, capsys):
  prepare.run(config, tmp_path / 'out')
  assert sorted(p.name for p in (tmp_path / 'out').iterdir()) == [
    'left_out.jsonl',
    'report.json',
    'test.parquet',
    'train.parquet',
    'validation.parquet',
  ]
  report = json.loads((tmp_path / 'out' / 'report.json').read_text())
  train = schema.read(tmp_path / 'out' / 'train.parquet')
  assert [i.source for i in train] == ['squad'] * 6 + ['nlu'] * 6
  assert report['sources']['squad/train']['instances'] == 6
  assert report['sources']['nlu/test']['largest_chunk'] <= 700
  pairs = report['overlap']
  assert all(p['questions'] == p['passages'] == 0 for p in pairs.values())
  assert 'train / MemoryAgentBench' in pairs
  lines = (tmp_path / 'out' / 'left_out.jsonl').read_text().splitlines()
  assert len(lines) == sum(report['rows'].values()) > 0
  assert str(tmp_path) not in json.dumps(report)
  printed = capsys.readouterr().out
  assert 'squad/train' in printed and '6 (264)' in printed
  assert 'train / test: 0, 0' in printed


def test_a_repeat_gives_the_same_bytes(config, tmp_path):
  for name in ('a', 'b'):
    prepare.run(config, tmp_path / name)
  for path in (tmp_path / 'a').iterdir():
    assert path.read_bytes() == (tmp_path / 'b' / path.name).read_bytes()


def test_instances_that_share_with_a_benchmark_are_left_out(config, tmp_path):
  config.data.sources = ('squad',)
  config.prepare.against = ('ruler_qa1',)
  root = pathlib.Path(config.data.root)
  # One article of the benchmark has a sentence of a training article, and
  # one listed question is that of another.
  prepare.run(config, tmp_path / 'before')
  clean = schema.read(tmp_path / 'before' / 'train.parquet')
  first, second = clean[0], clean[1]
  part = second.questions[0].text.split()
  titles = [f'T{n}' for n in range(60)] + sorted(squad.BENCHMARK_TITLES)[:6]
  raw = articles(titles)
  for article in raw['data']:
    if article['title'] == part[-2]:
      for entry in article['paragraphs']:
        entry['context'] += f' {SENTENCE}'
  write(root / squad.FILES[1], raw)
  write(
    root / ruler_qa1.FILE,
    articles(sorted(squad.BENCHMARK_TITLES)[:6], f' {SENTENCE}'),
  )
  write(root / benchmark.QUESTIONS, [listed(first.questions[0].text)])
  prepare.run(config, tmp_path / 'after')
  kept = schema.read(tmp_path / 'after' / 'train.parquet')
  text_ = ' '.join(c for i in kept for c in i.chunks)
  asked = {q.text for i in kept for q in i.questions}
  assert SENTENCE not in text_ and first.questions[0].text not in asked
  rows = (tmp_path / 'after' / 'left_out.jsonl').read_text()
  assert 'shares 1 questions' in rows and '1 passages with rows' in rows
  report = json.loads((tmp_path / 'after' / 'report.json').read_text())
  assert report['overlap']['train / ruler_qa1']['passages'] == 0


def test_the_published_split_is_kept_and_its_overlap_shown(config, tmp_path):
  config.data.sources = ('nlu',)
  prepare.run(config, tmp_path)
  clean = schema.read(tmp_path / 'train.parquet')
  config.data.published = True
  prepare.run(config, tmp_path)
  # Files and ids of its own, and none of the run before.
  assert sorted(path.name for path in tmp_path.glob('*.parquet')) == [
    f'published_{split}.parquet' for split in ('test', 'train', 'validation')
  ]
  found = schema.read(tmp_path / 'published_train.parquet')
  ids = {i.instance_id for i in found}
  assert not ids & {i.instance_id for i in clean}
  assert all('/published_train/' in name for name in ids)
  report = json.loads((tmp_path / 'report.json').read_text())
  assert report['overlap']['train / test']['questions'] > 0


def test_a_split_without_rows_is_written_down(config, tmp_path, capsys):
  root = pathlib.Path(config.data.root)
  write(root / squad.FILES[1], articles(sorted(squad.BENCHMARK_TITLES)[:6]))
  config.data.sources = ('squad',)
  prepare.run(config, tmp_path / 'out')
  assert not (tmp_path / 'out' / 'train.parquet').exists()
  assert '1 squad/train: left out: no instance' in capsys.readouterr().out
  assert (
    'has no title of the split'
    in (tmp_path / 'out' / 'left_out.jsonl').read_text()
  )
  config.prepare.test = 0
  with pytest.raises(ValueError, match='Nothing could be built. SQuAD at'):
    prepare.run(config, tmp_path / 'none')


def test_a_split_of_an_earlier_run_is_deleted(config, tmp_path):
  config.data.sources = ('squad',)
  prepare.run(config, tmp_path)
  assert (tmp_path / 'validation.parquet').exists()
  config.prepare.validation = 0
  prepare.run(config, tmp_path)
  assert not (tmp_path / 'validation.parquet').exists()
  assert (tmp_path / 'train.parquet').exists()


def test_a_benchmark_whose_files_are_absent_is_named(config, tmp_path, capsys):
  config.data.sources = ('squad',)
  config.prepare.against = ('infbench_sum', 'ruler_qa1')
  prepare.run(config, tmp_path)
  report = json.loads((tmp_path / 'report.json').read_text())
  assert report['not_checked'] == ['infbench_sum']
  assert 'infbench_sum: NOT CHECKED' in capsys.readouterr().out
  assert 'train / ruler_qa1' in report['overlap']


def test_books_of_a_benchmark_are_kept_out(config, tmp_path):
  root = pathlib.Path(config.data.root)

  def chapter(n):
    return ''.join(
      f'Then hero{n} met Anna Lee and Doctor {k} in old Rome and she was glad '
      f'to see him there again in {k}. '
      for k in range(60)
    )

  rows = [
    {
      'bid': str(n),
      'book_id': f'B{n}',
      'chapter': chapter(n),
      'summary': 'Now Anna Lee meets him. Then, in Rome, a Doctor is sick.',
    }
    for n in range(30)
  ]
  write(root / 'booksum' / 'chapters_a.jsonl', rows)
  config.data.sources, config.data.chunks = ('booksum',), 999
  config.prepare.train, config.prepare.against = 30, ('infbench_sum',)
  prepare.run(config, tmp_path / 'before')
  before = schema.read(tmp_path / 'before' / 'train.parquet')
  numbers = [i.instance_id.split('/')[3] for i in before]
  # A novel with other line breaks that holds the first of the chapters.
  text_ = f'Once upon a time. {chapter(numbers[0])}'.replace(' in ', '\nin ')
  write(
    root / 'infbench' / 'longbook_sum_eng.jsonl',
    [{'id': 1, 'context': text_, 'answer': ['x']}],
  )
  prepare.run(config, tmp_path / 'after')
  after = schema.read(tmp_path / 'after' / 'train.parquet')
  assert [i.instance_id.split('/')[3] for i in after] == numbers[1:]


@pytest.mark.parametrize('name', catalog.WHOLE)
def test_every_benchmark_can_be_compared_with(name, tmp_path):
  """It has all that its test instances ask and show."""
  root = os.environ.get('MEM_ALPHA_DATA')
  if not root:
    pytest.skip('MEM_ALPHA_DATA is not set')
  recipe = recipes.Recipe(
    pathlib.Path(root) / 'raw',
    'test',
    count_tokens=lambda text_: len(text_.split()),
    chunk_tokens=500,
    chunks=1000 if name == 'longmemeval' else 4,
    max_questions=20,
    instances=1,
  )
  try:
    found = catalog.build(name, recipe)
  except FileNotFoundError:
    pytest.skip(f'the raw files of {name} are not in MEM_ALPHA_DATA')
  content, whole = (
    overlap.of(some) for some in (found, [catalog.SOURCES[name].whole(recipe)])
  )
  assert content.questions and content.questions <= whole.questions
  if name != 'conflict':
    assert overlap.without(found, whole, recipe.log, split='train') == []
    shown = content.sentences | content.passages
    assert len(shown - whole.sentences - whole.passages) <= 0.1 * len(shown)


def test_a_split_of_none_is_not_built(config, tmp_path):
  config.data.sources = ('ruler_qa1',)
  config.prepare.train = config.prepare.validation = 0
  prepare.run(config, tmp_path)
  assert not (tmp_path / 'train.parquet').exists()
  assert len(schema.read(tmp_path / 'test.parquet')) == 1


@pytest.mark.parametrize(
  'key, value, words',
  [
    ('data.sources', ('synthetic',), 'cannot build synthetic'),
    ('data.sources', ('wiki',), "'wiki' is unknown"),
    ('prepare.against', ('squad',), "against='squad' is unknown"),
    ('prepare.ask', True, 'needs endpoint.url and endpoint.model'),
    ('prepare.train', -1, 'must be 0 or more'),
    ('data.caps', ('squad',), 'source=number'),
  ],
)
def test_what_cannot_work_is_named(key, value, words, config, tmp_path):
  section, name = key.split('.')
  config[section][name] = value
  with pytest.raises(ValueError, match=words):
    prepare.run(config, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()


def test_a_missing_tokenizer_is_named(config, tmp_path):
  config.prepare.tokenizer = str(tmp_path / 'none')
  with pytest.raises(FileNotFoundError, match='tokenizer.json'):
    prepare.run(config, tmp_path / 'out')


@pytest.mark.parametrize('name', CONFIGS)
def test_every_data_config_passes_its_checks(name):
  module = importlib.import_module(f'configs.data.{name}')
  config = module.get_config()
  build.check(config)
  known = base.get_config()
  assert set(config.data) == set(known.data)
  if name == 'mix':
    assert sum(int(c.split('=')[1]) for c in config.data.caps) == 562
    return
  prepare.check(config)
  assert config.data.sources == (name,)
  variants = re.findall('`(\\w+)`', module.get_config.__doc__ or '')
  for variant in variants:
    config = module.get_config(variant)
    build.check(config)
    prepare.check(config)
    assert config.data.published == (variant == 'published')
    assert (config.prepare.train == 0) == (variant == 'benchmark')
  assert ('published' in variants) == (name in PUBLISHED)
  with pytest.raises(ValueError, match="no variant 'x'"):
    module.get_config('x')


def test_a_model_at_the_endpoint_filters_questions(
  config, tmp_path, monkeypatch
):
  def says(prompts):
    return [
      readers.Completion('v0')
      if 'fact 0' in prompt.user
      else readers.Completion('no idea')
      for prompt in prompts
    ]

  @contextlib.contextmanager
  def helper(config, workdir):
    yield complete

  complete = says
  monkeypatch.setattr(build_panel, 'helper', helper)
  config.data.sources = ('squad',)
  config.prepare.ask = True
  config.endpoint.url, config.endpoint.model = 'http://x/v1', 'm'
  prepare.run(config, tmp_path / 'out')
  train = schema.read(tmp_path / 'out' / 'train.parquet')
  asked = [q.text for i in train for q in i.questions]
  assert asked and not any('fact 0' in text_ for text_ in asked)
  complete = lambda p: [readers.Completion(failed='timeout')] * len(p)  # noqa: E731
  with pytest.raises(ValueError, match=r'got no answer \(timeout\)'):
    prepare.run(config, tmp_path / 'other')
