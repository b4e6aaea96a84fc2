"""Tests of agent/tools.py: the JSON shape, its atoms, the schemas."""

import itertools
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import parser
from mem_alpha.agent import tools
from mem_alpha.memory import render

CORE, SEMANTIC, EPISODIC = structs.Kind
NONE, INSERT, UPDATE, DELETE = structs.Action
ALL = (True, True, True)
SETTINGS = list(itertools.product([True, False], repeat=3))

CALLS = st.builds(
  structs.Call,
  action=st.sampled_from([INSERT, UPDATE, DELETE]),
  kind=st.sampled_from(structs.Kind),
  uid=st.integers(0, 10**6),
  content=st.text(),
).filter(lambda call: (call.action, call.kind) != (INSERT, CORE))


@pytest.mark.parametrize(
  ('call', 'line'),
  [
    (
      structs.Call(INSERT, SEMANTIC, content='Zoë said "hi"\n'),
      '{"name": "new_memory_insert", "arguments": {"memory_type": '
      r'"semantic_memory", "content": "Zoë said \"hi\"\n"}}',
    ),
    (
      structs.Call(UPDATE, EPISODIC, 13, 'x'),
      '{"name": "memory_update", "arguments": {"memory_type": '
      '"episodic_memory", "memory_id": "b3", "new_content": "x"}}',
    ),
    (
      structs.Call(UPDATE, CORE, content='x'),
      '{"name": "memory_update", "arguments": {"memory_type": '
      '"core_memory", "new_content": "x"}}',
    ),
    (
      structs.Call(DELETE, SEMANTIC, 0),
      '{"name": "memory_delete", "arguments": {"memory_type": '
      '"semantic_memory", "memory_id": "a0"}}',
    ),
    (
      structs.Call(DELETE, CORE),
      '{"name": "memory_delete", "arguments": {"memory_type": "core_memory"}}',
    ),
  ],
)
def test_rendered_calls(call, line):
  assert tools.render_call(call) == line


@hypothesis.given(CALLS)
def test_a_call_is_atoms_escaped_content_and_id(call):
  known = set(tools.atoms(ALL))
  content = json.dumps(call.content, ensure_ascii=False)[1:-1]
  uid = render.uid_to_text(call.uid)
  assert _is_made_of(tools.render_call(call), known, content, uid)


@hypothesis.given(CALLS)
def test_a_call_is_one_line(call):
  assert '\n' not in tools.render_call(call)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (structs.Call(INSERT, CORE, content='x'), 'No tool for INSERT on CORE'),
    (structs.Call(NONE), 'No tool for NONE'),
    (structs.Call(UPDATE, SEMANTIC, content='x'), 'not the id'),
  ],
)
def test_calls_that_no_tool_makes(call, message):
  with pytest.raises(ValueError, match=message):
    tools.render_call(call)


@pytest.mark.parametrize('enabled', SETTINGS)
def test_atoms_name_enabled_memories_only(enabled):
  joined = ''.join(tools.atoms(enabled))
  for kind in structs.Kind:
    assert (tools.TYPE_NAMES[kind] in joined) == enabled[kind]


def test_atoms_make_a_call_short():
  tokenizer = text.train_bpe(
    ['Oslo'] * 5, vocab_size=300, atoms=tools.atoms(ALL)
  )
  call = structs.Call(UPDATE, SEMANTIC, 3, 'Oslo')
  pieces = (tokenizer.decode([i]) for i in _ids(tokenizer, call))
  head, letter, digit, middle, content, tail = pieces
  assert (letter, digit, content, tail) == ('a', '3', 'Oslo', '"}}')
  assert head.endswith('"memory_id": "') and middle.endswith('"new_content": "')
  assert len(_ids(tokenizer, structs.Call(DELETE, CORE))) == 1


@pytest.mark.parametrize('enabled', SETTINGS)
def test_schema_offers_enabled_memories_only(enabled):
  functions = {
    entry['function']['name']: entry['function']['parameters']
    for entry in tools.schema(enabled)
  }
  names = [tools.TYPE_NAMES[kind] for kind in structs.Kind if enabled[kind]]
  for name in names:
    assert name in json.dumps(functions)
  for name in set(tools.TYPE_NAMES.values()) - set(names):
    assert name not in json.dumps(tools.schema(enabled))
  # Insert has no memory to offer when there is only core.
  assert ('new_memory_insert' in functions) == (enabled[1] or enabled[2])
  assert ('memory_update' in functions) == any(enabled)


@pytest.mark.parametrize('enabled', SETTINGS)
@hypothesis.given(call=CALLS)
@hypothesis.settings(max_examples=20)
def test_rendered_calls_obey_the_schema(enabled, call):
  if not enabled[call.kind]:
    return
  value = json.loads(tools.render_call(call))
  schemas = {s['function']['name']: s for s in tools.schema(enabled)}
  parameters = schemas[value['name']]['function']['parameters']
  arguments = value['arguments']
  assert set(parameters['required']) <= arguments.keys()
  assert arguments.keys() <= parameters['properties'].keys()
  assert (
    arguments['memory_type']
    in (parameters['properties']['memory_type']['enum'])
  )


def _is_made_of(line, known, content, uid):
  """Whether atoms, then alternately an argument and an atom, spell the line."""
  if line in known:
    return True
  return any(
    line.startswith(atom + argument)
    and _is_made_of(line[len(atom + argument) :], known, content, uid)
    for atom in known
    for argument in (content, uid)
  )


def _ids(tokenizer, call):
  return tokenizer.encode(tools.render_call(call))


def test_a_response_goes_through_the_lines_of_its_chunk():
  call = structs.Call(structs.Action.INSERT, structs.Kind.SEMANTIC, content='x')
  text = tools.render_response(
    tools.annotate([None, call, None], ['A b.', 'x', 'C.'])
  )
  assert text.split('\n') == [
    '1\tA Skip',
    '2\tx',
    tools.render_call(call),
    '3\tC. Skip',
    'Done',
  ]
  parsed = parser.parse(text, finished=True, max_calls=9, enabled=ALL)
  assert parsed == [call] and parser.is_done(text)
  assert parser.call_lines(text) == [2]
  assert parser.subjects(text) == [1, 2, 2, 3, 0]
  assert parser.jumps(text, 3) == {}
  assert parser.jumps(text, 5) == {4: 4}
  assert parser.jumps('2\tx Skip\n5\ty Skip\n3\tz\nDone', 5) == {0: 1, 1: 3}
  assert parser.jumps('no numbers', 5) == parser.jumps('', 0) == {}
  assert tools.count_lines('[1 May]\n1\ta b\nc\n2\td\n') == 2
  assert tools.render_response([]) == tools.DONE
