"""From a config to instances: prepared files, caps, bounds, order."""

import collections
import json

import pytest

from configs import base
from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.data import schema


def instance(n, source='mine'):
  question = structs.Question(f'Who is {n}?', (f'Ada {n}',), source, 'exact')
  chunk = f'{n} is Ada {n}. ' * (n + 1)
  return structs.Instance(f'{source}{n}', source, (chunk,), (question,) * 4)


@pytest.fixture(scope='module')
def vocab():
  return text.train_bpe(['Ada is who.'] * 5, vocab_size=270)


@pytest.fixture
def config(tmp_path):
  config = base.get_config()
  config.data.sources = ('files',)
  mine = [instance(n) for n in range(12)]
  schema.write(tmp_path / 'a.parquet', mine[:6])
  schema.write(tmp_path / 'b.jsonl', mine[6:])
  schema.write(tmp_path / 'c.parquet', [instance(n, 'other') for n in range(8)])
  config.data.train_files = tuple(
    str(tmp_path / name) for name in ('a.parquet', 'b.jsonl', 'c.parquet')
  )
  config.data.test_files = (str(tmp_path / 'a.parquet'),)
  return config


def names(instances):
  return [i.instance_id for i in instances]


def test_prepared_files_are_a_source(config, vocab):
  build.check(config)
  found = build_data.instances(config, 'train', 100, vocab)
  assert [n for n in names(found) if 'mine' in n] == [
    f'mine{n}' for n in range(12)
  ]
  assert found[6] == instance(3) and len(found) == 20
  assert names(build_data.instances(config, 'train', 5, vocab)) == [
    'mine0',
    'other0',
    'mine1',
    'other1',
    'mine2',
  ]
  assert len(build_data.instances(config, 'test', 100, vocab)) == 6
  with pytest.raises(ValueError, match='data.validation_files names no file'):
    build_data.instances(config, 'validation', 9, vocab)


def test_files_mix_with_other_sources(config, vocab):
  config.data.sources = ('files', 'synthetic')
  found = build_data.instances(config, 'train', 10, vocab)
  assert [i.source for i in found[1::2]] == ['synthetic'] * 5
  assert {i.source for i in found[::2]} == {'mine', 'other'}


def test_caps_hold_for_training_alone(config, vocab):
  config.data.caps = ('mine=2',)
  found = build_data.instances(config, 'train', 100, vocab)
  assert collections.Counter(i.source for i in found) == dict(mine=2, other=8)
  assert len(build_data.instances(config, 'test', 100, vocab)) == 6


def test_unknown_sources_are_refused_when_files_are_read(config, vocab):
  train = build_data.instances(config, 'train', 100, vocab)
  config.data.caps = config.data.weights = ('mien=2',)
  build.check(config)
  with pytest.raises(ValueError, match='data.caps names mien.*use files, mine'):
    build_data.instances(config, 'train', 100, vocab)
  with pytest.raises(ValueError, match='data.weights names mien'):
    build_data.order(config, train, vocab)


def test_lengths_are_bounded_in_tokens_of_the_run(config, vocab):
  def length(i):
    return sum(len(vocab.encode(chunk)) for chunk in i.chunks)

  config.data.min_tokens, config.data.max_tokens = 20, 50
  found = build_data.instances(config, 'train', 100, vocab)
  everything = [instance(n) for n in range(12)]
  assert {i.instance_id for i in found if i.source == 'mine'} == {
    i.instance_id for i in everything if 20 <= length(i) <= 50
  }
  config.data.min_tokens = 10**6
  with pytest.raises(ValueError, match='has no train instance'):
    build_data.instances(config, 'train', 100, vocab)


def test_the_order_follows_the_config(config, vocab):
  train = build_data.instances(config, 'train', 100, vocab)
  plain = build_data.order(config, train, vocab).batch(0, 20)
  assert sorted(names(plain)) == sorted(names(train))
  config.data.weights = ('mine=0', 'other=2')
  config.data.question_share = 0.5
  config.data.curriculum = 1
  batch = build_data.order(config, train, vocab).batch(0, 16)
  assert set(collections.Counter(names(batch)).values()) == {2}
  assert all(len(i.questions) == 2 for i in batch)
  lengths = [len(i.chunks[0]) for i in batch]
  assert max(lengths[:4]) <= min(lengths[-4:])


@pytest.mark.parametrize(
  'key, value, words',
  [
    ('train_files', ('x.csv',), "'.csv' is unknown"),
    ('weights', ('squad:2',), 'source=number'),
    ('weights', ('sqaud=2',), 'data.weights names sqaud'),
    ('caps', ('sqaud=2',), 'data.caps names sqaud'),
    ('question_share', 0.0, 'more than 0'),
    ('curriculum', -1, '0 or more'),
  ],
)
def test_what_cannot_work_is_named(key, value, words):
  config = base.get_config()
  config.data[key] = value
  with pytest.raises(ValueError, match=words):
    build.check(config)


def test_files_of_others_are_scored_as_published(config, vocab, tmp_path):
  row = {
    'instance_id': 0,
    'prompt': '',
    'chunks': json.dumps(['a']),
    'questions_and_answers': json.dumps([{'question': 'q', 'answer': '3'}]),
    'data_source': 'icl_nlu_8296shot_balance',
    'metadata': '',
    'num_chunks': 1,
    'num_questions': 1,
  }
  path = tmp_path / 'released.jsonl'
  path.write_text(json.dumps(row))
  config.data.train_files = (str(path),)
  (found,) = build_data.instances(config, 'train', 9, vocab)
  assert found.questions[0].metric == 'boxed'
  config.data.metric = 'token_f1'
  (found,) = build_data.instances(config, 'train', 9, vocab)
  assert found.questions[0].metric == 'token_f1'
  config.data.metric = 'luck'
  with pytest.raises(ValueError, match="No metric 'luck'"):
    build.check(config)
