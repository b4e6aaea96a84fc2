"""What goes to and comes from an OpenAI-compatible server, as plain values.

`Spec.request` writes the body of a request, `read` judges a response:

  200, an answer         the text, without what a model thought before it
  200, anything else     asked again: no JSON, half of it, no choice, no text,
                         thinking without an end
  408, 409, 425, 429,    asked again, not before Retry-After if it is given
  and 5xx
  401, 403, 404          settings are wrong (key, address or name of the model):
                         the run stops, unless an answer has come before
  other                  the request is at fault (too long, say): a failure

Nothing here opens a connection, see client.py.
"""

import dataclasses
import datetime
import email.utils
import json
from collections.abc import Mapping

from mem_alpha.readers import base

APIS = ('chat', 'completions')

_RETRY = frozenset((408, 409, 425, 429))
_SETTINGS = {
  401: 'the key is missing or wrong',
  403: 'the key does not allow this',
  404: 'no such model or address',
}
_EXCERPT = 200  # characters of a server's own words in a message


@dataclasses.dataclass(frozen=True)
class Spec:
  """Model and parameters of requests; all of it is part of the cache's key."""

  model: str
  max_tokens: int
  temperature: float = 0.0
  api: str = 'chat'
  thinking: bool | None = None  # None: as the server has it

  def __post_init__(self):
    if self.api not in APIS:
      raise ValueError(
        f'endpoint.api={self.api!r} is unknown: use one of {", ".join(APIS)}.'
      )

  @property
  def path(self) -> str:
    return '/chat/completions' if self.api == 'chat' else '/completions'

  def request(self, prompt: base.Prompt) -> dict[str, object]:
    """The JSON body. Tokens that end a turn are taken apart in all texts."""
    system, user = _disarm(prompt.system), _disarm(prompt.user)
    body = dict(
      model=self.model,
      max_tokens=self.max_tokens,
      temperature=self.temperature,
    )
    if self.api == 'completions':
      return body | dict(
        prompt=f'{system}\n\nQuestion: {user}\nAnswer:', stop=['\n']
      )
    if self.thinking is not None:  # vLLM, SGLang and llama.cpp read it
      body['chat_template_kwargs'] = {'enable_thinking': self.thinking}
    messages = [('system', system), ('user', user)]
    body['messages'] = [dict(role=r, content=text) for r, text in messages]
    return body


@dataclasses.dataclass(frozen=True)
class Reply:
  """A response, judged. Without `failed`, `text` is the answer."""

  text: str = ''
  failed: str = ''
  retry: bool = False
  fatal: bool = False
  after: float = 0.0  # seconds that the server asks to wait


def read(status: int, headers: Mapping[str, str], content: bytes) -> Reply:
  """Judges one response; `headers` are looked up in lower case."""
  if status == 200:
    return _answer(content)
  reason = f'HTTP {status}'
  if status in _SETTINGS:
    reason += f', {_SETTINGS[status]}'
  if said := _excerpt(content):
    reason += f' ("{said}")'
  return Reply(
    failed=reason,
    retry=status in _RETRY or status >= 500,
    fatal=status in _SETTINGS,
    after=retry_after(headers.get('retry-after', '')),
  )


def retry_after(value: str) -> float:
  """Seconds to wait, from a number or a date; 0 where there is neither."""
  try:
    seconds = float(value)
  except ValueError:
    try:
      date = email.utils.parsedate_to_datetime(value)
    except ValueError:
      return 0.0
    if date.tzinfo is None:  # dates of HTTP are in GMT
      date = date.replace(tzinfo=datetime.UTC)
    seconds = (date - datetime.datetime.now(datetime.UTC)).total_seconds()
  return seconds if 0 < seconds < float('inf') else 0.0


def _answer(content: bytes) -> Reply:
  try:
    choice = json.loads(content)['choices'][0]
    text = (
      choice['message']['content'] if 'message' in choice else choice['text']
    )
  except (ValueError, LookupError, TypeError, RecursionError) as error:
    what = 'no JSON' if isinstance(error, ValueError) else 'no choice with text'
    return Reply(failed=f'the reply holds {what}', retry=True)
  if not isinstance(text, str) or not text.strip():
    return Reply(failed='the reply holds no text', retry=True)
  text, closed = _after_thinking(text)
  if not closed:
    return Reply(failed='the reply ends before its answer', retry=True)
  return Reply(text=text)


def _after_thinking(text: str) -> tuple[str, bool]:
  """What follows the thinking, and whether that came to an end."""
  before, closed, after = text.rpartition('</think>')
  if not closed:
    return text.strip(), not text.lstrip().startswith('<think>')
  return after.strip(), bool(after.strip())


def _disarm(text: str) -> str:
  """Servers read `<|im_end|>` in a text as the end of the turn.

  A lone surrogate, which no request can hold, becomes a question mark.
  """
  text = text.replace('<|', '< |')
  return text.encode('utf-8', 'replace').decode()


def _excerpt(content: bytes) -> str:
  """The server's own words, short and on one line."""
  text = content[: 4 * _EXCERPT].decode('utf-8', 'replace')
  try:
    value = json.loads(content)
    for name in ('error', 'message', 'detail'):
      value = value.get(name, value) if isinstance(value, dict) else value
    text = value if isinstance(value, str) else text
  except (ValueError, RecursionError):
    pass
  text = ''.join(c if c.isprintable() else ' ' for c in text)
  return ' '.join(text.split())[:_EXCERPT]
