"""The fixed text of the `reference` prompt, in the published structure.

System turn: role, the memories, their state, what to do, the tools, the form
of a call; user turn: what goes where, the chunk, a limit; then an empty
thinking block. The structure, names and numbers are the published ones, the
sentences are ours.
"""

import json
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import reference
from mem_alpha.agent import tools

RESPONSE_TOKENS = 1638  # the limit that the prompt names: 0.8 x 2048

_MEMORIES = {
  structs.Kind.CORE: 'Core memory: one short text that is always visible.',
  structs.Kind.SEMANTIC: 'Semantic memory: facts and knowledge, one per item.',
  structs.Kind.EPISODIC: 'Episodic memory: events and the time of each.',
}
_ADVICE = {
  structs.Kind.CORE: (
    'Core: rewrite it briefly if the chunk changes the profile of the user, '
    'the summary of a book or the rule of the labels.'
  ),
  structs.Kind.EPISODIC: (
    'Episodic: what the user, their friends and the assistant did, each as "At '
    'timestamp t, who did what".'
  ),
  structs.Kind.SEMANTIC: (
    'Semantic: the key facts; of labelled examples each as "Sample: x; Label: '
    'y".'
  ),
}


def before_view(enabled: Sequence[bool]) -> str:
  """From the start of the prompt to the state of the memory."""
  memories = [f'- {line}' for kind, line in _MEMORIES.items() if enabled[kind]]
  return '\n'.join([
    f'{text.TURN_START}system',
    'You are an agent that keeps a memory of a long interaction.',
    'The memory has these parts:',
    *memories,
    '',
    'Current memory state:',
  ])  # fmt: skip


def after_view(enabled: Sequence[bool]) -> str:
  """From the state of the memory to the chunk."""
  advice = [f'- {line}' for kind, line in _ADVICE.items() if enabled[kind]]
  return '\n'.join([
    '',
    '',
    'Use the tools to keep the memory right and complete. There is one turn '
    f'only: make every call now, or answer {tools.DONE} if nothing is left to '
    'store.',
    '',
    _tools(enabled) + text.TURN_END,
    f'{text.TURN_START}user',
    'Update the memory with the new chunk.',
    *advice,
    '<new_chunk>',
    '',
  ])  # fmt: skip


def after_chunk() -> str:
  """From the chunk to where the response begins."""
  return (
    f'\n</new_chunk>\nAnswer in at most {RESPONSE_TOKENS} tokens.'
    f'{text.TURN_END}\n{text.TURN_START}assistant\n<think>\n\n</think>\n\n'
  )


def _tools(enabled: Sequence[bool]) -> str:
  described = [_tool(schema['function']) for schema in tools.schema(enabled)]
  names = ','.join(tool.name for tool, _ in tools.offered(enabled))
  call = (
    f'{reference.FUNCTION}: the tool, one of [{names}]\n'
    f'{reference.ARGS}: its input'
  )
  return '\n\n'.join([
    '# Tools',
    '## You have these tools:',
    *described,
    '## Any number of calls may follow each other, in this form:',
    f'{call}\n{call}',
  ])  # fmt: skip


def _tool(function: dict) -> str:
  parameters = json.dumps(function['parameters'], ensure_ascii=False)
  return (
    f'### {function["name"]}\n\n{function["name"]}: {function["description"]} '
    f'Parameters: {parameters} Format the arguments as a JSON object.'
  )
