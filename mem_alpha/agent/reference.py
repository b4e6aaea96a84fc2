"""The published call format, read as the published system reads it.

    ✿FUNCTION✿: memory_update
    ✿ARGS✿: {"memory_type": "core_memory", "new_content": "…"}

Only for the `reference` profile: what it forgives changes the published
scores, so it is kept, oddities included.

- All else in a response is ignored; a FUNCTION without ARGS is no call, and a
  ✿ in the arguments leaves none.
- What follows the last brace of the arguments is cut off, and so is a code
  fence. What is no JSON then is repaired: a call that the length limit cut
  counts as made, often with its text only up to the first comma.
- A content need not be a string, nor have any letter, but UTF-8 must be able to
  spell it; unknown keys are ignored.
- `memory_delete` takes the name of a memory without `_memory`, too.
- An id that names nothing is left to the memory, which decides about it.
"""

import json
import re
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.agent import tools
from mem_alpha.memory import render

FUNCTION, ARGS = '✿FUNCTION✿', '✿ARGS✿'
RESULT, RETURN = '✿RESULT✿', '✿RETURN✿'
_CALL = re.compile(
  rf'{FUNCTION}:\s*([^\s✿]+)\s*{ARGS}:\s*(?=\S)([^✿]+?)\s*'
  rf'(?={RESULT}|{RETURN}|{FUNCTION}|\Z)'
)
_FENCE = re.compile(r'```\w*\s*')
_SHORT = {kind.name.lower(): kind for kind in structs.Kind}


def parse(text: str, *, enabled: Sequence[bool]) -> list[structs.Call]:
  """Calls of a response in textual order."""
  return [_read(match[1], match[2], enabled) for match in _calls(text)]


def call_lines(text: str) -> list[int]:
  """Number of the line, from 0, on which each call of `parse` begins."""
  return [text.count('\n', 0, match.start()) for match in _calls(text)]


def _calls(text: str) -> list[re.Match]:
  # Results are the system's to write: what comes after one is invented.
  return list(_CALL.finditer(text.split(RESULT)[0]))


def _read(name: str, source: str, enabled: Sequence[bool]) -> structs.Call:
  arguments = _arguments(source)
  tool = tools.BY_NAME.get(name)
  invalid = structs.Call(status=structs.Status.INVALID)
  if tool is None or not isinstance(arguments, dict):
    return invalid
  of_type = arguments.get('memory_type')
  if not isinstance(of_type, str):
    return invalid
  kind = tools.KINDS.get(of_type)
  if tool.action == structs.Action.DELETE:
    kind = _SHORT.get(of_type.replace('_memory', ''))
  if kind not in tool.kinds:
    return invalid
  content = ''
  if tool.content_key:
    if tool.content_key not in arguments:
      return invalid
    content = arguments[tool.content_key]
    content = content if isinstance(content, str) else str(content)
    if not tools.is_text(content):
      return invalid
  status = structs.Status.OK if enabled[kind] else structs.Status.DISABLED
  uid = _uid(arguments.get('memory_id')) if tool.has_id else structs.NO_ID
  return structs.Call(tool.action, kind, uid, content, status)


def _arguments(source: str) -> object:
  """The value of some JSON, repaired where it needs it; None at worst."""
  fence = _FENCE.match(source)
  source = source[fence.end() :] if fence else source
  brace = source.rfind('}')
  source = source if brace < 0 else source[: brace + 1]
  try:
    return json.loads(source)
  except (ValueError, RecursionError):
    return _repair(source)


def _repair(source: str) -> object:
  try:
    import json_repair
  except ImportError as error:
    raise ImportError(
      "A call needs the repairs of prompt.profile='reference': install "
      'mem_alpha[reference], or use another profile.'
    ) from error
  try:
    return json_repair.loads(source)
  except (ValueError, RecursionError):
    return None


def _uid(name: object) -> int:
  try:
    return render.text_to_uid(name) if isinstance(name, str) else structs.NO_ID
  except ValueError:
    return structs.NO_ID
