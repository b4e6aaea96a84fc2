"""Prompts in token space: constant part, memory view, chunk, assistant header.

The constant part comes first so that its cache can be computed once per weight
update; the chunk comes last. Profile `compact` tells the model little more
than the names of its tools: the calls themselves are learnt in the warm start.
Profile `hermes` is the model's own chat template, tools included (`chat.py`);
`reference` keeps the order of the released checkpoint (`published.py`).

    <|im_start|>user
    Keep the memory right with new_memory_insert, … or answer Done.
    semantic_memory:
    [a3] Mira lives in Oslo.
    chunk:
    …<|im_end|>
    <|im_start|>assistant
"""

import dataclasses
import functools
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import chat
from mem_alpha.agent import published
from mem_alpha.agent import tools
from mem_alpha.memory import render as memory_render
from mem_alpha.memory import tagged

PROFILES = ('compact', 'hermes', 'reference')

_USER = 'user\n'
_ASSISTANT = 'assistant\n'


@dataclasses.dataclass(frozen=True)
class PromptParts:
  """Token ids of everything in a prompt but entries and chunk.

  The profile also says how the memory is shown and how calls are written.
  """

  profile: str
  prefix: tuple[int, ...]
  layout: memory_render.Layout
  chunk_header: tuple[int, ...]
  suffix: tuple[int, ...]

  @property
  def constant_tokens(self) -> int:
    """Tokens that every prompt has, whatever memory and chunk hold."""
    return len(self.prefix) + len(self.chunk_header) + len(self.suffix)


def build(
  tokenizer: text.Tokenizer, profile: str, *, enabled: Sequence[bool]
) -> PromptParts:
  """Encodes the fixed strings of a profile once for the whole run."""
  if profile not in PROFILES:
    raise ValueError(
      f'Unknown prompt profile {profile!r}: use one of {", ".join(PROFILES)}.'
    )
  if not any(enabled):
    raise ValueError(
      'All memories are disabled: enable core, semantic or episodic.'
    )
  for token in (text.TURN_START, text.TURN_END):
    if tokenizer.encode_markup(token) != [tokenizer.token_id(token)]:
      raise ValueError(
        f'Prompt profile {profile!r} needs the special token {token}, which '
        f'tokenizer {tokenizer.name!r} does not have; use a ChatML model.'
      )
  start, middle, end = _fixed(profile, tokenizer, enabled)
  return PromptParts(
    profile=profile,
    prefix=tuple(tokenizer.encode_markup(start)),
    layout=memory_render.make_layout(tokenizer, enabled=enabled),
    chunk_header=tuple(tokenizer.encode_markup(middle)),
    suffix=tuple(tokenizer.encode_markup(end)),
  )


def render(
  parts: PromptParts,
  rows: Sequence[memory_render.Row],
  chunk_ids: Sequence[int],
  *,
  max_tokens: int,
  show: int,
) -> tuple[list[int], int]:
  """A prompt of at most `max_tokens`, and how many chunk tokens were cut.

  To fit, the view gives up its oldest entries first; the end of the chunk is
  cut only when the chunk is too long even without a view.
  """
  room = max_tokens - parts.constant_tokens
  view_of = tagged.view if parts.profile == 'reference' else memory_render.view
  view_of = functools.partial(view_of, rows, layout=parts.layout)
  least = len(view_of(show=0, max_tokens=0))  # bare sections
  if room < least:
    raise ValueError(
      f'max_tokens={max_tokens} cannot hold the {parts.constant_tokens} '
      f'constant tokens of the prompt and the {least} of an empty view; raise '
      'it.'
    )
  chunk_ids = list(chunk_ids)
  cut = max(len(chunk_ids) - (room - least), 0)
  chunk_ids = chunk_ids[: len(chunk_ids) - cut]
  view = view_of(show=show, max_tokens=room - len(chunk_ids))
  ids = [*parts.prefix, *view, *parts.chunk_header, *chunk_ids, *parts.suffix]
  return ids, cut


def atoms(enabled: Sequence[bool]) -> list[str]:
  """Fixed strings of the compact prompt, each worth one token."""
  headers = [memory_render.header(k) for k in structs.Kind if enabled[k]]
  return [
    _USER + _instruction(enabled),
    *headers,
    memory_render.ENTRY_OPEN,
    memory_render.ENTRY_CLOSE,
    chat.CHUNK,
    _ASSISTANT,
  ]


def _fixed(
  profile: str, tokenizer: text.Tokenizer, enabled: Sequence[bool]
) -> tuple[str, str, str]:
  """What stands before the view, between it and the chunk, and at the end."""
  if profile == 'hermes':
    return chat.fixed(tokenizer, enabled)
  if profile == 'reference':
    return (
      published.before_view(enabled),
      published.after_view(enabled),
      published.after_chunk(),
    )
  return (
    text.TURN_START + _USER + _instruction(enabled),
    chat.CHUNK,
    f'{text.TURN_END}\n{text.TURN_START}{_ASSISTANT}',
  )


def _instruction(enabled: Sequence[bool]) -> str:
  names = [tool.name for tool, _ in tools.offered(enabled)]
  return f'Keep the memory right with {", ".join(names)}, or {tools.DONE}.'
