"""From a response to tool calls. A bad call is data with a status, no error.

Each line that starts with `{` is one call; `<tool_call>` tags around it are
taken off. All other lines are reasoning and ignored. What can be wrong, the
first that applies:

  EXCESS      the line comes after `max_calls` others
  TRUNCATED   the last line of a response that hit its length limit, and no
              complete JSON
  INVALID     no JSON object; a key twice, missing or unknown; an unknown tool
              or memory; an insert into core; a value that is no string (or is
              one that UTF-8 cannot spell)
  DISABLED    a memory that the run does not have
  UNKNOWN_ID  update or delete of an entry whose id is missing or no id
  EMPTY       blank content

Core has no id; a `memory_id` given for it is ignored. Duplicates, ids that are
not live and limits are found later, by the memory itself.
"""

import dataclasses
import json
import re
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.agent import reference
from mem_alpha.agent import tools
from mem_alpha.memory import render

_OPEN, _CLOSE = '<tool_call>', '</tool_call>'
_NUMBER = re.compile(r'([0-9]{1,4})(\t\S+)?( Skip)?')


def is_done(text: str) -> bool:
  """Whether the response ends with `Done`; with no call, nothing is stored."""
  return text.split('\n')[-1] == tools.DONE


def parse(
  text: str,
  *,
  finished: bool,
  max_calls: int,
  enabled: Sequence[bool],
  profile: str = 'compact',
) -> list[structs.Call]:
  """Calls of a response (its end-of-turn token cut off) in textual order.

  `finished` is False when the length limit ended the response. `profile` is
  that of the prompt: `reference` has a call format of its own.
  """
  if profile == 'reference':
    calls = reference.parse(text, enabled=enabled)
  else:
    calls = _parse_lines(text, finished=finished, enabled=enabled)
  excess = structs.Status.EXCESS
  return calls[:max_calls] + [
    dataclasses.replace(call, status=excess) for call in calls[max_calls:]
  ]


def call_lines(text: str, *, profile: str = 'compact') -> list[int]:
  """Number of the line, from 0, of each call that `parse` returns."""
  if profile == 'reference':
    return reference.call_lines(text)
  lines = enumerate(text.split('\n'))
  return [number for number, line in lines if _untag(line).startswith('{')]


def _parse_lines(
  text: str, *, finished: bool, enabled: Sequence[bool]
) -> list[structs.Call]:
  # Not splitlines: JSON strings may hold its other line breaks unescaped.
  lines = [_untag(line) for line in text.split('\n')]
  calls = []
  for number in call_lines(text):
    cut = not finished and number == len(lines) - 1
    calls.append(_parse_line(lines[number], cut=cut, enabled=enabled))
  return calls


def subjects(text: str) -> list[int]:
  """What each line of a response is about: a line of the chunk, from 1, or 0.

  It is the number that the last remark up to there began with (the inverse of
  `tools.annotate`); 0 before the first one, and from `Done` on.
  """
  found, subject = [], 0
  for line in text.split('\n'):
    number = _NUMBER.fullmatch(line)
    if number:
      subject = int(number[1])
    elif line == tools.DONE:
      subject = 0
    found.append(subject)
  return found


def jumps(text: str, lines: int) -> dict[int, int]:
  """Lines of a response that pass over lines of the chunk, unsaid.

  By the number of each, from 0, the first line of the chunk that should have
  come in its place. `lines` is how many numbered lines the chunk has; `Done`
  before the last of them passes over the rest.
  """
  found, expected = {}, 1
  for place, line in enumerate(text.split('\n')):
    number = _NUMBER.fullmatch(line)
    if number:
      if int(number[1]) > expected:
        found[place] = expected
      expected = max(expected, int(number[1]) + 1)
    elif line == tools.DONE and expected <= lines:
      found[place] = expected
  return found


def _untag(line: str) -> str:
  return line.strip().removeprefix(_OPEN).removesuffix(_CLOSE).strip()


def _parse_line(
  line: str, *, cut: bool, enabled: Sequence[bool]
) -> structs.Call:
  try:
    return _read(json.loads(line, object_pairs_hook=_unique), enabled)
  except _NotACallError:
    return structs.Call(status=structs.Status.INVALID)
  except (ValueError, RecursionError):  # no JSON, or nested too deeply
    status = structs.Status.TRUNCATED if cut else structs.Status.INVALID
    return structs.Call(status=status)


class _NotACallError(Exception):
  """The object is not a call of one of the tools."""


def _unique(pairs: list[tuple[str, object]]) -> dict:
  # Of two equal keys json would silently keep the last.
  keys = dict(pairs)
  if len(keys) < len(pairs):
    raise _NotACallError
  return keys


def _read(value: object, enabled: Sequence[bool]) -> structs.Call:
  _require(isinstance(value, dict) and value.keys() == {'name', 'arguments'})
  name, arguments = value['name'], value['arguments']
  _require(isinstance(name, str) and name in tools.BY_NAME)
  _require(isinstance(arguments, dict))
  tool = tools.BY_NAME[name]
  required = {'memory_type'} | ({tool.content_key} - {None})
  optional = {'memory_id'} if tool.has_id else set()
  _require(required <= arguments.keys() <= required | optional)
  _require(all(map(tools.is_text, arguments.values())))
  kind = tools.KINDS.get(arguments['memory_type'])
  _require(kind in tool.kinds)
  return _judge(tool, kind, arguments, enabled)


def _judge(
  tool: tools.Tool,
  kind: structs.Kind,
  arguments: dict[str, str],
  enabled: Sequence[bool],
) -> structs.Call:
  """A well-formed call, with what is still wrong with it as its status."""
  content = arguments[tool.content_key] if tool.content_key else ''
  uid, status = structs.NO_ID, structs.Status.OK
  if tool.content_key and not content.strip():
    status = structs.Status.EMPTY
  if tool.has_id and kind != structs.Kind.CORE:
    try:
      uid = render.text_to_uid(arguments.get('memory_id', ''))
    except ValueError:
      status = structs.Status.UNKNOWN_ID
  if not enabled[kind]:
    status = structs.Status.DISABLED
  return structs.Call(tool.action, kind, uid, content, status)


def _require(condition: bool) -> None:
  if not condition:
    raise _NotACallError
