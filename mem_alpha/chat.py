"""Chat templates: messages and tools to token ids, as a model was trained.

A pretrained model brings its template, a Jinja program, in
tokenizer_config.json or chat_template.jinja. It is rendered in a sandbox. Text
from outside stays text: special tokens that are spelt inside a message are
hidden from the tokenizer, so no message can end its turn or open another.

    template = chat.load('models/Qwen3-4B', tokenizer)
    ids = template.encode(messages, tools=tools)
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence

import jinja2
from jinja2 import sandbox

from mem_alpha import text

TEMPLATE_FILE = 'chat_template.jinja'


class Template:
  """The template of a tokenizer."""

  def __init__(self, source: str, tokenizer: text.Tokenizer, variables=()):
    self.tokenizer = tokenizer
    self.variables = dict(variables)  # of the template, such as bos_token
    environment = sandbox.ImmutableSandboxedEnvironment(
      trim_blocks=True,
      lstrip_blocks=True,
      extensions=['jinja2.ext.loopcontrols'],
    )
    environment.filters['tojson'] = _to_json
    environment.globals['raise_exception'] = _refuse
    self._template = environment.from_string(source)
    specials = sorted(tokenizer.specials(), key=len, reverse=True)
    self._specials = re.compile('|'.join(map(re.escape, specials)))

  def encode(
    self,
    messages: Sequence[Mapping[str, object]],
    *,
    tools: Sequence[Mapping[str, object]] | None = None,
    add_generation_prompt: bool = True,
    **options,
  ) -> list[int]:
    """Ids of a conversation; `options` are the template's own switches."""
    # A character that occurs nowhere splits special tokens in messages.
    mark = _unused(json.dumps([messages, tools], ensure_ascii=False))
    try:
      rendered = self._template.render(
        messages=self._hide(messages, mark),
        tools=self._hide(tools, mark),
        add_generation_prompt=add_generation_prompt,
        **{**self.variables, **options},
      )
    except jinja2.TemplateError as error:
      raise ValueError(
        f'The chat template of {self.tokenizer.name!r} does not take these '
        f'messages: {error}.'
      ) from error
    ids, start = [], 0
    for match in self._specials.finditer(rendered):
      ids += self._plain(rendered[start : match.start()], mark)
      ids += [self.tokenizer.token_id(match.group())]
      start = match.end()
    return ids + self._plain(rendered[start:], mark)

  def _hide(self, value, mark):
    """The value with a mark inside every special token of its strings."""
    if isinstance(value, str):
      return self._specials.sub(
        lambda match: match.group()[0] + mark + match.group()[1:], value
      )
    if isinstance(value, Mapping):
      return {k: self._hide(v, mark) for k, v in value.items()}
    if isinstance(value, Sequence):
      return [self._hide(v, mark) for v in value]
    return value

  def _plain(self, part: str, mark: str) -> list[int]:
    part = part.replace(mark, '')
    return self.tokenizer.encode(part) if part else []


def load(directory: str | os.PathLike, tokenizer: text.Tokenizer) -> Template:
  """The template in the directory of a Hugging Face model."""
  directory = pathlib.Path(directory)
  config = text.read_config(directory / text.CONFIG_FILE)
  path = directory / TEMPLATE_FILE
  source = config.get('chat_template')
  if path.is_file():
    source = path.read_text(encoding='utf-8')
  if not isinstance(source, str):
    raise ValueError(
      f'{directory} has no chat template, neither {TEMPLATE_FILE} nor in '
      f'{text.CONFIG_FILE}: choose a prompt profile that needs none.'
    )
  variables = {
    key: value['content'] if isinstance(value, dict) else value
    for key, value in config.items()
    if key.endswith('_token') and value is not None
  }
  return Template(source, tokenizer, variables)


def _unused(used: str) -> str:
  """A character for private use that the text does not hold."""
  return next(c for c in map(chr, range(0xE000, 0xF8FF)) if c not in used)


def _to_json(value, indent=None):
  return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message):
  raise jinja2.TemplateError(message)
