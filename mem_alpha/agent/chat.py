"""The fixed text of the `hermes` prompt: the chat template of the model.

A pretrained model learnt tools in the words of its template, a Jinja program
that comes with its tokenizer. The template is rendered once, by transformers,
with marks where the memory and the chunk belong; what lies between the marks is
the same in every prompt.

    <|im_start|>system
    You keep the memory … # Tools … {"name": "new_memory_insert", …}<|im_end|>
    <|im_start|>user
    The memory, and the chunk to update it with
    semantic_memory:
    [a3] Mira lives in Oslo.
    chunk:
    …<|im_end|>
    <|im_start|>assistant

Calls come back as Qwen and other models of that family write them, a line of
JSON between `<tool_call>` tags: `parser.py` takes those off.
"""

from collections.abc import Sequence

from mem_alpha import text
from mem_alpha.agent import tools

CHUNK = '\nchunk:\n'
_MEMORY_MARK, _CHUNK_MARK = '\ue000', '\ue001'  # no template has these
_SYSTEM = (
  'You keep the memory of a long interaction that arrives chunk by chunk. What '
  'the memory does not hold is lost when the chunk is gone. There is one turn '
  f'only: make every call now, or answer {tools.DONE} if nothing is worth it.'
)
# No full stop: with the line break after it, it would make another token.
_USER = 'The memory, and the chunk to update it with'


def messages(memory: str, chunk: str) -> list[dict[str, str]]:
  """The conversation of one turn."""
  return [
    {'role': 'system', 'content': _SYSTEM},
    {'role': 'user', 'content': f'{_USER}{memory}{CHUNK}{chunk}'},
  ]


def fixed(
  tokenizer: text.Tokenizer, enabled: Sequence[bool]
) -> tuple[str, str, str]:
  """What stands before the memory, between it and the chunk, and at the end.

  Raises ValueError where the tokenizer has no template, or one that does not
  show a message as it is. Thinking is switched off where a template can.
  """
  # They take two seconds to import, and no other profile needs them.
  import jinja2
  from transformers.utils import chat_template_utils

  if tokenizer.chat_template is None:
    raise ValueError(
      f"Prompt profile 'hermes' needs a chat template, and {tokenizer.name!r} "
      'comes with none; use the profile compact, or an instruct model.'
    )
  try:
    (rendered,), _ = chat_template_utils.render_jinja_template(
      [messages(_MEMORY_MARK, _CHUNK_MARK)],
      tools=tools.schema(enabled),
      chat_template=tokenizer.chat_template,
      add_generation_prompt=True,
      enable_thinking=False,
    )
  except jinja2.TemplateError as error:
    raise ValueError(
      f'The chat template of {tokenizer.name!r} does not take a system message '
      f'and tools ({error}); use the profile compact.'
    ) from error
  start, *rest = rendered.split(_MEMORY_MARK)
  parts = [part for piece in rest for part in piece.split(_CHUNK_MARK)]
  if len(rest) != 1 or len(parts) != 2:
    raise ValueError(
      f'The chat template of {tokenizer.name!r} does not show a message as it '
      'is, once; use the profile compact.'
    )
  missing = [
    tool.name for tool, _ in tools.offered(enabled) if tool.name not in start
  ]
  if missing:
    raise ValueError(
      f'The chat template of {tokenizer.name!r} shows no tools: it leaves out '
      f'{", ".join(missing)}; use the profile compact.'
    )
  return start, *parts
