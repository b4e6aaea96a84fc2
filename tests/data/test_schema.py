"""Rows of the published layout, ours and others', as parquet and JSON lines.

The published files themselves are not at hand: a parquet file with their
columns, types and nested JSON is written here, without our module.
"""

import json
import pathlib

import pyarrow
import pyarrow.parquet
import pytest

from mem_alpha import structs
from mem_alpha.data import schema

INSTANCE = structs.Instance(
  instance_id='synthetic/train/0/7',
  source='synthetic',
  chunks=('Erste "Zeile"\nund ü', 'x'),
  questions=(
    structs.Question('Who?', ('Ada', 'Ada L.'), 'retrieval', 'exact'),
    structs.Question('What?', ('x',), 'conflict', 'token_f1'),
  ),
  notes=(
    (
      structs.Note('Ada is here.', ('Ada', 'place'), structs.Kind.EPISODIC),
      structs.Note('Nice day.'),
    ),
    (),
  ),
)


def score(source):
  del source
  return 'substring'


# A row as the released files have it (values made up).
PUBLISHED = {
  'instance_id': 12,
  'prompt': 'Read this.',
  'chunks': json.dumps(['a', 'b', 'c']),
  'questions_and_answers': json.dumps(
    [
      {'question': 'q1', 'answer': 'one'},
      {'question': 'q2', 'answer': ['two', 'zwei']},
      {'question': 'q3', 'answer': 3},
    ]
  ),
  'data_source': 'squad',
  'metadata': json.dumps({'deep': {'er': [1, None]}}),
  'num_chunks': 3,
  'num_questions': 3,
}


def test_a_row_has_the_published_columns_and_types():
  row = schema.to_row(INSTANCE, 4)
  assert tuple(row) == schema.COLUMNS
  assert row['instance_id'] == 4
  assert row['num_chunks'] == 2 and row['num_questions'] == 2
  assert json.loads(row['chunks']) == list(INSTANCE.chunks)
  assert json.loads(row['questions_and_answers'])[0] == {
    'question': 'Who?',
    'answer': ['Ada', 'Ada L.'],
  }


@pytest.mark.parametrize('suffix', schema.SUFFIXES)
def test_an_instance_survives_rows_and_files(tmp_path, suffix):
  path = tmp_path / f'data{suffix}'
  plain = structs.Instance('i', 's', ('c',), INSTANCE.questions)
  schema.write(path, [INSTANCE, plain])
  assert schema.read(path) == [INSTANCE, plain]
  bytes_ = path.read_bytes()
  schema.write(path, [INSTANCE, plain])
  assert path.read_bytes() == bytes_
  assert [p.name for p in tmp_path.iterdir()] == [path.name]


def write_published(path, sources, **columns):
  """A file as the published ones are: a row per source, in their layout."""
  table = {
    'instance_id': list(range(len(sources))),
    **{
      name: [PUBLISHED[name]] * len(sources)
      for name in schema.COLUMNS
      if name not in ('instance_id', 'data_source')
    },
    'data_source': sources,
    **columns,
  }
  table = {name: table[name] for name in schema.COLUMNS if name in table}
  pyarrow.parquet.write_table(pyarrow.table(table), path)


JSON = ('chunks', 'questions_and_answers', 'metadata')


def test_files_in_the_published_layout_load(tmp_path):
  sources = [
    'squad',
    'hotpotqa',
    'perltqa',
    'booksum',
    'pubmed-rct',
    'icl_nlu_8296shot_balance',
    'lme_train',
    'ruler_qa1_197K',
    'infbench_sum_eng_shots2',
    'longmemeval_s*',
  ]
  path = tmp_path / 'train.parquet'
  write_published(path, sources)
  found = schema.read(path, metric=lambda source: f'of {source}')
  assert [i.source for i in found] == sources
  for instance in found:
    assert {(q.kind, q.metric) for q in instance.questions} == {
      (instance.source, f'of {instance.source}')
    }
    assert instance.chunks == ('a', 'b', 'c')
    assert instance.questions[1].answers == ('two', 'zwei')
  with pytest.raises(ValueError, match="Row 0, column 'metadata'.*a metric"):
    schema.read(path)


def test_ids_that_occur_again_get_the_number_of_their_row(tmp_path):
  path = tmp_path / 'train.parquet'
  write_published(path, ['squad', 'booksum', 'nlu'], instance_id=[0, 1, 0])
  assert [i.instance_id for i in schema.read(path, metric=score)] == [
    '0',
    '1',
    '0@2',
  ]


def test_what_is_wrong_with_a_parquet_file_is_named(tmp_path):
  path = tmp_path / 'train.parquet'
  table = pyarrow.table({'chunks': ['[]'], 'prompt': ['']})
  pyarrow.parquet.write_table(table, path)
  with pytest.raises(ValueError, match='no column data_source, instance_id'):
    schema.read(path)
  write_published(path, ['squad', 'squad'], num_chunks=[3, 4])
  with pytest.raises(ValueError, match="Row 1, column 'num_chunks': must be 3"):
    schema.read(path, metric=score)
  whole = path.read_bytes()
  path.write_bytes(whole[: len(whole) // 2])
  with pytest.raises(ValueError, match='no complete parquet file'):
    schema.read(path)
  path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:0')
  with pytest.raises(ValueError, match='Git LFS pointer'):
    schema.read(path)
  with pytest.raises(FileNotFoundError, match='absent.parquet'):
    schema.read(tmp_path / 'absent.parquet')
  with pytest.raises(ValueError, match='must end with one of .parquet, .jsonl'):
    schema.read(tmp_path / 'data.csv')


@pytest.mark.parametrize('metadata', [PUBLISHED['metadata'], '', None, '[]'])
def test_a_row_of_the_released_files_is_read(metadata):
  row = {**PUBLISHED, 'metadata': metadata}
  instance = schema.from_row(row, 0, metric=score)
  assert instance.instance_id == '12'
  assert instance.chunks == ('a', 'b', 'c')
  assert instance.notes == ()
  answers = [question.answers for question in instance.questions]
  assert answers == [('one',), ('two', 'zwei'), ('3',)]
  names = {(q.kind, q.metric) for q in instance.questions}
  assert names == {('squad', 'substring')}


@pytest.mark.parametrize(
  'column, value, words',
  [
    ('chunks', '["a"', 'must be JSON'),
    ('chunks', '{"a": 1}', 'a list of strings'),
    ('chunks', '["a", 1, "c"]', 'a list of strings'),
    ('chunks', None, 'a text'),
    ('chunks', '[]', 'one chunk at least'),
    ('chunks', '["a", " ", "c"]', 'chunk 1 is empty'),
    ('num_chunks', 4, 'must be 3'),
    ('num_questions', '3', 'must be 3'),
    ('data_source', '', 'a text'),
    ('questions_and_answers', '[{"question": "q"}, 2, 3]', 'item 0'),
    ('questions_and_answers', '[1, 2, 3]', 'item 0'),
    (
      'questions_and_answers',
      '[{"question": "q", "answer": []}, 2, 3]',
      'item 0',
    ),
    (
      'questions_and_answers',
      '[{"question": "q", "answer": [" "]}, 2, 3]',
      'item 0 lacks its text',
    ),
    (
      'questions_and_answers',
      '[{"question": "q", "answer": NaN}, 2, 3]',
      'item 0',
    ),
    ('questions_and_answers', '{"question": "q", "answer": 1}', 'a list'),
    ('chunks', {'a': 1}, 'a list of strings'),
    ('metadata', '{"mem_alpha": {"kinds": ["one"]}}', "'kinds'"),
    ('metadata', '{"mem_alpha": {"notes": [[]]}}', "'notes'"),
    ('metadata', '{"mem_alpha": {"notes": [[["s"]],[],[]]}}', 'triples'),
  ],
)
def test_errors_name_row_and_column(column, value, words):
  with pytest.raises(ValueError, match=words) as error:
    schema.from_row({**PUBLISHED, column: value}, 5, metric=score)
  assert f"Row 5, column '{column}'" in str(error.value)


@pytest.mark.parametrize('column', schema.COLUMNS)
def test_a_missing_column_is_named(column):
  row = {key: value for key, value in PUBLISHED.items() if key != column}
  if column == 'prompt':  # nobody reads it
    schema.from_row(row, 0, metric=score)
    return
  with pytest.raises(ValueError, match=f"'{column}'.*no such column"):
    schema.from_row(row, 0, metric=score)


def test_json_lines_may_hold_lists_and_objects_themselves(tmp_path):
  path = tmp_path / 'data.jsonl'
  row = {
    key: json.loads(value) if key in JSON else value
    for key, value in PUBLISHED.items()
  }
  path.write_text(json.dumps(row))
  assert schema.read(path, metric=score) == [
    schema.from_row(PUBLISHED, 0, metric=score)
  ]


def test_an_error_in_a_file_names_the_file(tmp_path):
  path = tmp_path / 'data.jsonl'
  rows = [PUBLISHED, {**PUBLISHED, 'chunks': '["a"]'}]
  path.write_text('\n'.join(map(json.dumps, rows)))
  with pytest.raises(ValueError, match=r"data\.jsonl: Row 1, column 'num_ch"):
    schema.read(path, metric=score)


def test_the_readme_shows_how_to_bring_own_data(tmp_path, monkeypatch):
  readme = pathlib.Path(__file__).parents[2] / 'README.md'
  block = readme.read_text(encoding='utf-8').split('<!-- own-data -->')[1]
  code = block.split('```python\n')[1].split('```')[0]
  assert len(code.splitlines()) <= 10
  monkeypatch.chdir(tmp_path)
  exec(code, {})
  (instance,) = schema.read('train.jsonl')
  assert instance.questions[0].answers == ('Oslo',)
