"""The three tools of the agent, and the one place that knows their JSON shape.

    {"name": "memory_update", "arguments": {"memory_type": "semantic_memory",
     "memory_id": "a3", "new_content": "Mira lives in Oslo."}}

A response is calls and remarks, a line each, and `Done`. A remark is any line
that does not begin with a brace; the scripted writers note the line of the
chunk that they are at and the word that it begins with.

`render_call` writes a call, `atoms` lists the fixed strings that calls are made
of, `schema` describes the tools to models that are told about them, and
`parser.py` reads calls back with the tables below.

Core memory is one text: it has no id, is never inserted, and deleting clears
it. `enabled[kind]` says which memories the run has; a tool offers only those.
"""

import dataclasses
import json
import re
import string
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.memory import render

DONE = 'Done'  # the last line; the only one when there is nothing to say
_SKIP = ' Skip'
LINE_TAB = '\t'  # after the number of a line, in chunks and remarks

_SLOT = '\ue000'  # stands for an id or a content while a frame is cut out


@dataclasses.dataclass(frozen=True)
class Tool:
  """A tool: which memories it works on, and the key of its text, if any."""

  name: str
  action: structs.Action
  kinds: tuple[structs.Kind, ...]
  content_key: str | None
  has_id: bool
  description: str


TOOLS = (
  Tool(
    name='new_memory_insert',
    action=structs.Action.INSERT,
    kinds=(structs.Kind.SEMANTIC, structs.Kind.EPISODIC),
    content_key='content',
    has_id=False,
    description='Store a new entry.',
  ),
  Tool(
    name='memory_update',
    action=structs.Action.UPDATE,
    kinds=tuple(structs.Kind),
    content_key='new_content',
    has_id=True,
    description='Replace the text of an entry that is no longer right.',
  ),
  Tool(
    name='memory_delete',
    action=structs.Action.DELETE,
    kinds=tuple(structs.Kind),
    content_key=None,
    has_id=True,
    description='Remove an entry that is wrong or no longer needed.',
  ),
)
BY_NAME = {tool.name: tool for tool in TOOLS}
BY_ACTION = {tool.action: tool for tool in TOOLS}
TYPE_NAMES = {kind: f'{kind.name.lower()}_memory' for kind in structs.Kind}
KINDS = {name: kind for kind, name in TYPE_NAMES.items()}

_MEANINGS = {
  structs.Kind.CORE: 'one short summary that is always in view',
  structs.Kind.SEMANTIC: 'facts that hold until they are replaced',
  structs.Kind.EPISODIC: 'events and when they happened',
}


def offered(enabled: Sequence[bool]) -> list[tuple[Tool, list[structs.Kind]]]:
  """Tools that work on at least one enabled memory, with those memories."""
  pairs = [(t, [kind for kind in t.kinds if enabled[kind]]) for t in TOOLS]
  return [(tool, kinds) for tool, kinds in pairs if kinds]


def is_text(value: object) -> bool:
  """Whether it is a string that UTF-8 can spell: no lone surrogates."""
  if not isinstance(value, str):
    return False
  try:
    value.encode('utf-8')
  except UnicodeEncodeError:  # JSON escapes can spell one
    return False
  return True


def render_call(call: structs.Call) -> str:
  """The line that asks for a call; the inverse of the parser for OK calls."""
  tool = BY_ACTION.get(call.action)
  if tool is None or call.kind not in tool.kinds:
    raise ValueError(
      f'No tool for {call.action.name} on {call.kind.name}: insert takes '
      'SEMANTIC or EPISODIC, update and delete take any kind.'
    )
  needs_id = _needs_id(tool, call.kind)
  uid = render.uid_to_text(call.uid) if needs_id else ''
  return _render(tool, call.kind, uid, call.content)


def annotate(
  calls: Sequence[structs.Call | None], texts: Sequence[str]
) -> list[structs.Call | str]:
  """A call or None per numbered line of a chunk -> the lines of a response.

  Each line's number and first word come before what is done with it, as they
  stand in the chunk. A small model that imitates this always knows what to read
  next, and whether to store it is the choice of one token, made with the word
  that tells in front of it.
  """
  lines = []
  for number, (call, text) in enumerate(zip(calls, texts, strict=True), 1):
    remark = f'{number}{LINE_TAB}{text.split()[0]}'
    lines += [remark + _SKIP] if call is None else [remark, call]
  return lines


def count_lines(chunk: str) -> int:
  """How many lines of a chunk are numbered, as `annotate` expects them."""
  return len(re.findall(rf'^[0-9]+{LINE_TAB}', chunk, re.MULTILINE))


def render_response(lines: Sequence[structs.Call | str]) -> str:
  """Calls and remarks as the text of a response."""
  text = [x if isinstance(x, str) else render_call(x) for x in lines]
  return '\n'.join([*text, DONE])


def atoms(enabled: Sequence[bool]) -> list[str]:
  """Fixed strings of rendered calls, each worth one token.

  Every rendered call on an enabled memory is a concatenation of these with
  escaped contents and ids. Line breaks between the lines of a response belong
  to the strings beside them.
  """
  strings = [
    DONE,
    _SKIP + '\n',
    '"}}\n',
    *(d + LINE_TAB for d in string.digits),
  ]
  for tool, kinds in offered(enabled):
    for kind in kinds:
      begin, *rest = _render(tool, kind, _SLOT, _SLOT).split(_SLOT)
      strings += ['\n' + begin, begin, *rest]
  return list(dict.fromkeys(strings))


def schema(enabled: Sequence[bool]) -> list[dict]:
  """JSON schemas of the offered tools, as chat templates and servers take."""
  return [_schema(tool, kinds) for tool, kinds in offered(enabled)]


def _needs_id(tool: Tool, kind: structs.Kind) -> bool:
  return tool.has_id and kind != structs.Kind.CORE


def _render(tool: Tool, kind: structs.Kind, uid: str, content: str) -> str:
  arguments = {'memory_type': TYPE_NAMES[kind]}
  if _needs_id(tool, kind):
    arguments['memory_id'] = uid
  if tool.content_key:
    arguments[tool.content_key] = content
  call = {'name': tool.name, 'arguments': arguments}
  return json.dumps(call, ensure_ascii=False, separators=(', ', ': '))


def _schema(tool: Tool, kinds: Sequence[structs.Kind]) -> dict:
  meanings = '; '.join(f'{TYPE_NAMES[k]}: {_MEANINGS[k]}' for k in kinds)
  properties = {
    'memory_type': _string(meanings + '.', enum=[TYPE_NAMES[k] for k in kinds])
  }
  required = ['memory_type']
  if any(_needs_id(tool, kind) for kind in kinds):
    no_id = ' Leave out for core_memory.' if structs.Kind.CORE in kinds else ''
    properties['memory_id'] = _string(f'The id in brackets, e.g. a3.{no_id}')
    if not no_id:
      required.append('memory_id')
  if tool.content_key:
    properties[tool.content_key] = _string('The full text to keep.')
    required.append(tool.content_key)
  parameters = {
    'type': 'object',
    'properties': properties,
    'required': required,
    'additionalProperties': False,
  }
  function = {
    'name': tool.name,
    'description': tool.description,
    'parameters': parameters,
  }
  return {'type': 'function', 'function': function}


def _string(description: str, **extra) -> dict:
  return {'type': 'string', 'description': description, **extra}
