"""What is kept of a turn: the sampled response, or only what is lost.

A text that the memory refused as TOO_LONG is in no memory, so it is written
down for every turn; whole turns are written for some rollouts of training only
and for all of an evaluation. Prompts stay out: they quote the source.
"""

import os

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.rollout import episode


def too_long(turn: episode.Turn) -> list[str]:
  """The texts that the memory refused as TOO_LONG."""
  pairs = zip(turn.calls, turn.statuses)
  return [c.content for c, s in pairs if s == structs.Status.TOO_LONG]


def of_turn(turn: episode.Turn, *, whole: bool) -> dict | None:
  """A line of `turns/`; None where there is nothing to keep."""
  line = dict(chunk=turn.chunk, too_long=too_long(turn))
  if not whole:
    return line if line['too_long'] else None
  return line | dict(
    prompt_tokens=len(turn.prompt),
    response=turn.text,
    response_ids=list(turn.response.tokens),
    finished=turn.response.finished,
    statuses=[status.name for status in turn.statuses],
  )


def read(path: str | os.PathLike) -> dict[tuple[str, int], str]:
  """Responses by (instance id, chunk), of a file of such lines.

  Of several responses to a chunk the last one is read. Lines of what was only
  refused are passed over; others without these three keys are an error.
  """
  said = {}
  for number, line in files.read_json_lines(path, what='The file of turns'):
    keys = set(line) if isinstance(line, dict) else set()
    if {'instance_id', 'chunk', 'response'} <= keys:
      said[line['instance_id'], line['chunk']] = line['response']
    elif 'too_long' not in keys:
      raise ValueError(
        f'Line {number} of {path} is no turn: it needs instance_id, chunk and '
        'response.'
      )
  return said
