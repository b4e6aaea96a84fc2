"""Tests of agent/parser.py: a table of responses, and properties of parse."""

import itertools
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.agent import tools

CORE, SEMANTIC, EPISODIC = structs.Kind
NONE, INSERT, UPDATE, DELETE = structs.Action
OK = structs.Status.OK
INVALID = structs.Status.INVALID
TRUNCATED = structs.Status.TRUNCATED
EMPTY = structs.Status.EMPTY
UNKNOWN_ID = structs.Status.UNKNOWN_ID
DISABLED = structs.Status.DISABLED
EXCESS = structs.Status.EXCESS
ALL = (True, True, True)

CALLS = st.builds(
  structs.Call,
  action=st.sampled_from([INSERT, UPDATE]),
  kind=st.sampled_from([SEMANTIC, EPISODIC]),
  content=st.text(min_size=1).filter(str.strip),
).map(lambda call: _with_id(call, 7 if call.action == UPDATE else None)) | (
  st.builds(
    structs.Call,
    action=st.just(DELETE),
    kind=st.sampled_from([SEMANTIC, EPISODIC]),
    uid=st.integers(0, 10**6),
  )
  | st.just(structs.Call(DELETE, CORE))
)


def line(name, kind, **arguments):
  arguments = {'memory_type': f'{kind}_memory', **arguments}
  return json.dumps({'name': name, 'arguments': arguments})


def parse(text, *, finished=True, max_calls=8, enabled=ALL):
  return parser.parse(
    text, finished=finished, max_calls=max_calls, enabled=enabled
  )


INSERT_LINE = line('new_memory_insert', 'semantic', content='Tom likes tea.')
INSERT_CALL = structs.Call(INSERT, SEMANTIC, content='Tom likes tea.')


@pytest.mark.parametrize(
  ('text', 'calls'),
  [
    (INSERT_LINE, [INSERT_CALL]),
    (
      line('memory_update', 'episodic', memory_id='b3', new_content='x'),
      [structs.Call(UPDATE, EPISODIC, 13, 'x')],
    ),
    (
      line('memory_update', 'core', new_content='x'),
      [structs.Call(UPDATE, CORE, content='x')],
    ),
    (
      line('memory_update', 'core', memory_id='', new_content='x'),
      [structs.Call(UPDATE, CORE, content='x')],
    ),
    (line('memory_delete', 'core'), [structs.Call(DELETE, CORE)]),
    (
      line('memory_delete', 'semantic', memory_id='a0'),
      [structs.Call(DELETE, SEMANTIC, 0)],
    ),
    # Any order of keys, any JSON spacing and escapes, JSON within JSON.
    (
      r'{"arguments":{"content":"\u00e9 \ud83d\ude00\n","memory_type":'
      '"semantic_memory"},"name":"new_memory_insert"}',
      [structs.Call(INSERT, SEMANTIC, content='é 😀\n')],
    ),
    (
      line('new_memory_insert', 'semantic', content=INSERT_LINE),
      [structs.Call(INSERT, SEMANTIC, content=INSERT_LINE)],
    ),
    # JSON allows these line breaks inside a string.
    (
      INSERT_LINE.replace('tea', '\u2028\x85'),
      [structs.Call(INSERT, SEMANTIC, content='Tom likes \u2028\x85.')],
    ),
    # Around the calls.
    ('', []),
    ('Done', []),
    ('There is nothing to store.', []),
    (f'I will store it: {INSERT_LINE}', []),
    (f'[{INSERT_LINE}]', []),
    (f'First I think.\n\n  {INSERT_LINE}\t\r\nDone', [INSERT_CALL]),
    (f'<tool_call>{INSERT_LINE}</tool_call>', [INSERT_CALL]),
    (f'<tool_call>\n{INSERT_LINE}\n</tool_call>', [INSERT_CALL]),
    (f'{INSERT_LINE}\n{INSERT_LINE}', [INSERT_CALL, INSERT_CALL]),
  ],
)
def test_well_formed_calls(text, calls):
  assert parse(text) == calls
  assert parse(text, finished=False) == calls  # nothing is cut off here


@pytest.mark.parametrize(
  ('text', 'status'),
  [
    ('{', INVALID),
    ('{}', INVALID),
    (INSERT_LINE[:-1], INVALID),
    (INSERT_LINE + INSERT_LINE, INVALID),
    (INSERT_LINE + ' ok', INVALID),
    (INSERT_LINE.replace('new_memory_insert', 'search_memory'), INVALID),
    ('{"name": ["memory_delete"], "arguments": {}}', INVALID),
    ('{"name": "memory_delete"}', INVALID),
    ('{"name": "memory_delete", "arguments": "core_memory"}', INVALID),
    (INSERT_LINE.replace('"name"', '"id": 1, "name"'), INVALID),
    # A key twice, outside and inside.
    (INSERT_LINE.replace('"name"', '"name": "x", "name"'), INVALID),
    (INSERT_LINE.replace('"content"', '"content": "x", "content"'), INVALID),
    # The memory.
    (INSERT_LINE.replace('semantic_memory', 'semantic'), INVALID),
    (INSERT_LINE.replace('"semantic_memory"', 'null'), INVALID),
    (line('new_memory_insert', 'core', content='x'), INVALID),
    ('{"name": "memory_delete", "arguments": {"memory_id": "a3"}}', INVALID),
    # The content.
    (line('new_memory_insert', 'semantic'), INVALID),
    (line('new_memory_insert', 'semantic', content=3), INVALID),
    (line('new_memory_insert', 'semantic', content=['x']), INVALID),
    (line('new_memory_insert', 'semantic', content=None), INVALID),
    (line('new_memory_insert', 'semantic', content='\ud800'), INVALID),
    (line('new_memory_insert', 'semantic', new_content='x'), INVALID),
    (line('new_memory_insert', 'semantic', content='x', tag='y'), INVALID),
    (
      line('new_memory_insert', 'semantic', content='x', memory_id='a3'),
      INVALID,
    ),
    (line('memory_delete', 'core', new_content='x'), INVALID),
    (line('new_memory_insert', 'semantic', content=''), EMPTY),
    (line('new_memory_insert', 'semantic', content=' \n\u2003'), EMPTY),
    (line('memory_update', 'core', new_content=' '), EMPTY),
    # The id.
    (line('memory_delete', 'semantic'), UNKNOWN_ID),
    (line('memory_delete', 'semantic', memory_id=''), UNKNOWN_ID),
    (line('memory_delete', 'semantic', memory_id='[a3]'), UNKNOWN_ID),
    (line('memory_update', 'episodic', new_content='x'), UNKNOWN_ID),
    (line('memory_delete', 'semantic', memory_id='zzzzzz9'), UNKNOWN_ID),
    (line('memory_delete', 'semantic', memory_id=3), INVALID),
    (line('memory_delete', 'semantic', memory_id=None), INVALID),
    (line('memory_delete', 'core', memory_id=3), INVALID),
    # What makes json itself give up.
    ('{"a":' * 100_000, INVALID),
    ('{"a": ' + '9' * 5_000 + '}', INVALID),
    (INSERT_LINE.replace('tea', '\t'), INVALID),
    (INSERT_LINE.replace('tea', '\\x'), INVALID),
  ],
)
def test_calls_that_fail(text, status):
  (call,) = parse(text)
  assert call.status == status


@pytest.mark.parametrize('length', range(1, len(INSERT_LINE)))
def test_a_call_cut_anywhere_is_truncated(length):
  text = f'{INSERT_LINE}\n{INSERT_LINE[:length]}'
  first, last = parse(text, finished=False)
  assert first == INSERT_CALL
  assert last.status == TRUNCATED
  assert parse(text)[1].status == INVALID


def test_only_the_last_line_can_be_truncated():
  text = f'{{"name"\n{INSERT_LINE}'
  statuses = [call.status for call in parse(text, finished=False)]
  assert statuses == [INVALID, OK]
  statuses = [call.status for call in parse('{"name"\n', finished=False)]
  assert statuses == [INVALID]
  assert parse(f'{INSERT_LINE}\nI thi', finished=False) == [INSERT_CALL]


def test_calls_beyond_the_limit_are_excess():
  bad = '{"name"'
  text = '\n'.join([bad, INSERT_LINE, INSERT_LINE, bad])
  for limit in range(6):
    statuses = [call.status for call in parse(text, max_calls=limit)]
    plain = [INVALID, OK, OK, INVALID]
    assert statuses == plain[:limit] + [EXCESS] * (4 - limit)


@pytest.mark.parametrize(
  'enabled', list(itertools.product([True, False], repeat=3))
)
def test_calls_on_disabled_memories(enabled):
  for kind in structs.Kind:
    (call,) = parse(tools.render_call(structs.Call(DELETE, kind, 3)))
    (judged,) = parse(
      tools.render_call(structs.Call(DELETE, kind, 3)), enabled=enabled
    )
    assert judged.status == (OK if enabled[kind] else DISABLED)
    assert (judged.action, judged.kind, judged.uid) == (
      call.action, call.kind, call.uid,
    )  # fmt: skip
  # A disabled memory counts before a bad id or a blank content.
  (call,) = parse(line('memory_delete', 'core'), enabled=(False, True, True))
  assert call.status == DISABLED
  (call,) = parse(
    line('memory_delete', 'semantic'), enabled=(True, False, True)
  )
  assert call.status == DISABLED


@hypothesis.given(st.lists(CALLS, max_size=4))
def test_rendered_calls_are_read_back(calls):
  text = '\n'.join(map(tools.render_call, calls))
  assert parse(text) == calls
  wrapped = ''.join(
    f'<tool_call>\n{tools.render_call(call)}\n</tool_call>\n' for call in calls
  )
  assert parse(wrapped) == calls


SCRAPS = st.sampled_from(
  [*INSERT_LINE.split('"'), *'{}[]":,\n ', '\\', INSERT_LINE, '<tool_call>']
)


@hypothesis.given(st.lists(SCRAPS | st.text(max_size=3)).map(''.join))
def test_any_text_gives_one_call_per_brace_line(text):
  calls = parse(text, finished=False, max_calls=3)
  braces = [
    untagged
    for untagged in (
      part.strip().removeprefix('<tool_call>').strip()
      for part in text.split('\n')
    )
    if untagged.startswith('{')
  ]
  assert len(calls) == len(braces)
  for call in calls:
    assert call.status != OK or call.content.strip() or call.action == DELETE


@pytest.mark.parametrize(
  ('text', 'done'),
  [
    ('Done', True), ('Done.', False), ('done', False), (' Done', False),
    ('Done\n', False), ('', False), (f'{INSERT_LINE}\nDone', True),
    ('1 Skip\nDone', True), ('Done\n1 Skip', False),
  ],
)  # fmt: skip
def test_done_is_the_last_line(text, done):
  assert parser.is_done(text) == done


def _with_id(call, uid):
  return structs.Call(
    call.action, call.kind, structs.NO_ID if uid is None else uid, call.content
  )
