"""Rows of the published layout, ours and others'."""

import json

import pytest

from mem_alpha import structs
from mem_alpha.data import schema

INSTANCE = structs.Instance(
  instance_id='synthetic/train/0/7',
  source='synthetic',
  chunks=('Erste "Zeile"\nund ü', ''),
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


def test_an_instance_survives_rows_and_files(tmp_path):
  path = tmp_path / 'data.jsonl'
  plain = structs.Instance('i', 's', ('c',), INSTANCE.questions)
  schema.write_jsonl(path, [INSTANCE, plain])
  assert schema.read_jsonl(path, metric='exact') == [INSTANCE, plain]


@pytest.mark.parametrize('metadata', [PUBLISHED['metadata'], '', None, '[]'])
def test_a_row_of_the_released_files_is_read(metadata):
  row = {**PUBLISHED, 'metadata': metadata}
  instance = schema.from_row(row, 0, metric='substring')
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
    ('num_chunks', 4, 'must be 3'),
    ('num_questions', '3', 'must be 3'),
    ('data_source', '', 'a text'),
    ('questions_and_answers', '[{"question": "q"}, 2, 3]', 'item 0'),
    ('questions_and_answers', '[1, 2, 3]', 'item 0'),
    ('questions_and_answers', '{"question": "q", "answer": 1}', 'a list'),
    ('metadata', '{"mem_alpha": {"kinds": ["one"]}}', "'kinds'"),
    ('metadata', '{"mem_alpha": {"notes": [[]]}}', "'notes'"),
    ('metadata', '{"mem_alpha": {"notes": [[["s"]],[],[]]}}', 'triples'),
  ],
)
def test_errors_name_row_and_column(column, value, words):
  with pytest.raises(ValueError, match=words) as error:
    schema.from_row({**PUBLISHED, column: value}, 5, metric='exact')
  assert f"Row 5, column '{column}'" in str(error.value)


@pytest.mark.parametrize('column', schema.COLUMNS)
def test_a_missing_column_is_named(column):
  row = {key: value for key, value in PUBLISHED.items() if key != column}
  if column == 'prompt':  # nobody reads it
    schema.from_row(row, 0, metric='exact')
    return
  with pytest.raises(ValueError, match=f"'{column}'.*no such column"):
    schema.from_row(row, 0, metric='exact')


def test_an_error_in_a_file_names_the_file(tmp_path):
  path = tmp_path / 'data.jsonl'
  rows = [PUBLISHED, {**PUBLISHED, 'chunks': '[]'}]
  path.write_text('\n'.join(map(json.dumps, rows)))
  with pytest.raises(ValueError, match=r"data\.jsonl: Row 1, column 'num_ch"):
    schema.read_jsonl(path, metric='exact')
