"""What goes to and comes from an OpenAI-compatible server, as plain values.

`Spec.request` writes the body of a request, `read` judges a response:

  200, a text            the answer, without what a model thought before it; ''
                         is an answer, too: that of a model which says nothing
  200, anything else     asked again: no JSON, half of it, no choice, null for
                         its text, thinking without an end
  408, 409, 425, 429,    asked again, not before Retry-After if it is given; a
  and 5xx                failure if that is more than 10 minutes away
  401, 403, 404          settings are wrong (key, address or name of the model):
                         the run stops, unless that model has answered before
  other                  the request is at fault (too long, say): a failure,
                         not asked again

What no response leads to, and one that is too large, stands in client.py. A
base model (`completions`) goes on writing after its answer: of its reply, the
first line that is not empty counts.

Nothing here opens a connection, see client.py.
"""

import dataclasses
import datetime
import email.utils
import functools
import hashlib
import json
from collections.abc import Callable, Mapping

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
        prompt=f'{system}\n\nQuestion: {user}\nAnswer:',
        stop=['\nQuestion:'],  # a line break alone may come first
      )
    if self.thinking is not None:  # vLLM, SGLang and llama.cpp read it
      body['chat_template_kwargs'] = {'enable_thinking': self.thinking}
    messages = [('system', system), ('user', user)]
    body['messages'] = [dict(role=r, content=text) for r, text in messages]
    return body

  def key(self, prompt: base.Prompt) -> bytes:
    """The SHA-256 of path and body, by which an answer is kept."""
    key = _of_settings(self).copy()
    key.update(_digest(prompt.system))  # of one length, so nothing is mistaken
    key.update(_bytes(prompt.user))
    return key.digest()


@functools.lru_cache
def _of_settings(spec: Spec):
  """What all requests of such settings have in common, as a hash to go on."""
  body = spec.request(base.Prompt('', ''))
  text = json.dumps({'path': spec.path, **body}, sort_keys=True)
  return hashlib.sha256(hashlib.sha256(text.encode()).digest())


@functools.lru_cache(1 << 10)  # questions about one memory share its text
def _digest(text: str) -> bytes:
  return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
  return text.encode('utf-8', 'surrogatepass')


@dataclasses.dataclass(frozen=True)
class Reply:
  """A response, judged. Without `failed`, `text` is the answer."""

  text: str = ''
  failed: str = ''
  retry: bool = False
  fatal: bool = False
  after: float = 0.0  # seconds that the server asks to wait


def read(
  status: int,
  headers: Mapping[str, str],
  content: bytes,
  hide: Callable[[str], str] = str,
) -> Reply:
  """Judges one response; `headers` are looked up in lower case.

  `hide` takes secrets out of the server's words, before they are cut short.
  """
  if status == 200:
    return _answer(content, hide)
  reason = f'HTTP {status}'
  if status in _SETTINGS:
    reason += f', {_SETTINGS[status]}'
  if said := _excerpt(content, hide):
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


def _answer(content: bytes, hide: Callable[[str], str]) -> Reply:
  try:
    choice = json.loads(content)['choices'][0]
    is_chat = 'message' in choice
    text = choice['message']['content'] if is_chat else choice['text']
  except (ValueError, LookupError, TypeError, RecursionError) as error:
    what = 'no JSON' if isinstance(error, ValueError) else 'no choice with text'
    return Reply(failed=f'the reply holds {what}', retry=True)
  if not isinstance(text, str):
    return Reply(failed='the reply holds no text', retry=True)
  said = base.completion(hide(text))
  if said.failed:
    return Reply(failed=said.failed, retry=True)
  return Reply(said.text if is_chat else said.text.partition('\n')[0].rstrip())


@functools.lru_cache(1 << 10)  # questions about one memory share its text
def _disarm(text: str) -> str:
  """Servers read `<|im_end|>` in a text as the end of the turn.

  A lone surrogate, which no request can hold, becomes a question mark.
  """
  text = text.replace('<|', '< |')
  return text.encode('utf-8', 'replace').decode()


def _excerpt(content: bytes, hide: Callable[[str], str]) -> str:
  """The server's own words, short and on one line."""
  text = content.decode('utf-8', 'replace')
  try:
    value = json.loads(content)
    for name in ('error', 'message', 'detail'):
      value = value.get(name, value) if isinstance(value, dict) else value
    text = value if isinstance(value, str) else text
  except (ValueError, RecursionError):
    pass
  text = hide(text)[: 4 * _EXCERPT]
  text = ''.join(c if c.isprintable() else ' ' for c in text)
  return ' '.join(text.split())[:_EXCERPT]
