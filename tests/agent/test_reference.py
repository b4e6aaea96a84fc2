"""The published call format: what is a call, what is forgiven, what is not."""

import json

import pytest

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.agent import reference

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
OK, INVALID = structs.Status.OK, structs.Status.INVALID
ALL = (True, True, True)


def _json(value):
  return json.dumps(value, ensure_ascii=False)


def write(name, source):
  source = source if isinstance(source, str) else _json(source)
  return f'✿FUNCTION✿: {name}\n✿ARGS✿: {source}'


def insert(content='Mira.', of_type='semantic_memory', **more):
  arguments = {'memory_type': of_type, 'content': content, **more}
  return write('new_memory_insert', arguments)


def parse(text, enabled=ALL):
  return reference.parse(text, enabled=enabled)


def test_calls_in_textual_order():
  core = {'memory_type': 'core_memory', 'new_content': 'About Mira.'}
  text = '\n'.join([
    'First I look at the chunk.',
    write('memory_update', core | {'memory_id': 'a3'}),
    insert('Tom, 9,\n"tea"'),
    write('memory_update', {'memory_type': 'episodic_memory',
                            'memory_id': 'b3', 'new_content': 'x'}),
    write('memory_delete', {'memory_type': 'semantic', 'memory_id': 'a0'}),
    write('memory_delete', {'memory_type': 'core_memory'}),
  ])  # fmt: skip
  assert parse(text) == [
    structs.Call(UPDATE, CORE, 3, 'About Mira.'),
    structs.Call(INSERT, SEMANTIC, -1, 'Tom, 9,\n"tea"'),
    structs.Call(UPDATE, EPISODIC, 13, 'x'),
    structs.Call(DELETE, SEMANTIC, 0),
    structs.Call(DELETE, CORE, -1),
  ]
  assert reference.call_lines(text) == [1, 3, 5, 7, 9]
  assert parser.call_lines(text, profile='reference') == [1, 3, 5, 7, 9]


@pytest.mark.parametrize(
  'text',
  [
    '',
    'Done',
    '{"name": "new_memory_insert"}',
    '✿FUNCTION✿: new_memory_insert',
    '✿FUNCTION✿: new_memory_insert\n✿ARGS✿:',
    '✿FUNCTION✿: new_memory_insert\n✿ARGS✿: \n',
    insert('a ✿ flower'),
    '✿RESULT✿: fine\n' + insert(),
  ],
)
def test_no_call(text):
  assert parse(text) == []


@pytest.mark.parametrize(
  'text',
  [
    write('search_memory', {'memory_type': 'semantic_memory', 'query': 'x'}),
    write('forget', {'memory_type': 'semantic_memory'}),
    write('new_memory_insert', {'content': 'x'}),
    write('new_memory_insert', {'memory_type': 'semantic_memory'}),
    insert(of_type='core_memory'),
    insert(of_type='semantic'),
    insert(of_type=3),
    insert(of_type=None),
    write('memory_update', {'memory_type': 'core_memory', 'content': 'x'}),
    write('memory_delete', {'memory_type': 'all'}),
  ],
)
def test_failed_calls(text):
  assert [call.status for call in parse(text)] == [INVALID]


def test_what_utf8_cannot_spell_is_refused():
  call = json.dumps({'memory_type': 'core_memory', 'new_content': 'a\ud800b'})
  assert '\\ud800' in call
  assert [c.status for c in parse(write('memory_update', call))] == [INVALID]


@pytest.mark.parametrize('source', ['"text"', '[1]', '7', 'null', '[' * 10**5])
def test_arguments_that_are_no_object(source):
  text = write('new_memory_insert', source)
  assert [call.status for call in parse(text)] == [INVALID]


def test_what_the_published_parser_forgives():
  good = json.dumps({'memory_type': 'semantic_memory', 'content': 'Mira.'})
  wanted = [structs.Call(INSERT, SEMANTIC, -1, 'Mira.')]
  for source in (f'```json\n{good}\n```', f'{good} and so on', f'\n\n{good}'):
    assert parse(write('new_memory_insert', source)) == wanted
  assert parse(insert() + '\n✿RESULT✿: ok ' + insert('Tom')) == wanted
  for content, stored in [('', ''), (7, '7'), (['a'], "['a']"), (None, 'None')]:
    assert parse(insert(content, other=1))[0].content == stored
  assert parse(insert('x', memory_id='c9'))[0].uid == structs.NO_ID


@pytest.mark.parametrize(
  ('content', 'stored'),
  [
    ('Mira lives in Oslo, Tom in Rome', 'Mira lives in Oslo, Tom in Rome'),
    (
      'Sample: x. Labels: 1\nSample: y, z: 2',
      'Sample: x. Labels: 1\nSample: y',
    ),
  ],
)
def test_a_call_that_was_cut_counts_with_a_part_of_its_text(content, stored):
  cut = insert(content)[: -len('"}')]
  assert parse(insert() + '\n' + cut)[1:] == [
    structs.Call(INSERT, SEMANTIC, -1, stored)
  ]


def test_ids_that_name_nothing_are_left_to_the_memory():
  for name in ('ddbc', '', 'A3', 3, None):
    arguments = {'memory_type': 'semantic_memory', 'memory_id': name}
    (call,) = parse(write('memory_delete', arguments))
    assert (call.uid, call.status) == (structs.NO_ID, OK)


def test_disabled_memories_and_too_many_calls():
  text = '\n'.join([insert('a'), insert('b', 'episodic_memory'), insert('c')])
  calls = parser.parse(
    text,
    finished=True,
    max_calls=2,
    enabled=(True, True, False),
    profile='reference',
  )
  assert [call.status for call in calls] == [
    OK, structs.Status.DISABLED, structs.Status.EXCESS,
  ]  # fmt: skip
