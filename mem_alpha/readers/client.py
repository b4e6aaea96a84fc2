"""Requests to one server: many at a time, patiently, and each paid for once.

A thread of its own runs all requests, at most `concurrency` at a time. What a
response leads to stands in protocol.py. Besides:

  no connection            asked again; it reached no server and costs nothing
  a hang, half a response, asked again: all of a response must have come within
  a connection cut         `read_seconds`
  more than 1 MiB          a failure, not asked again

What is asked again waits before that, exponentially and with jitter, up to
`attempts` times in all; a server's Retry-After holds back all requests. What
still fails is a completion with a reason. Answers are cached, equal requests
that are under way are sent once, and every request counts towards the budget
of the run, per process (each has a cache file of its own). A ledger that stops
the run stops the requests; answers that are under way are still kept.

The key goes into one header and nowhere else: it is cut out of every message
and of every answer.
"""

import asyncio
import contextlib
import dataclasses
import functools
import os
import queue
import random
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence

import aiohttp
import yarl
from absl import logging

from mem_alpha.readers import base
from mem_alpha.readers import cache as cache_lib
from mem_alpha.readers import failures
from mem_alpha.readers import protocol

_MAX_BYTES = 1 << 20  # of a response; an answer has a few hundred
_MAX_AFTER = 600.0  # seconds; a longer Retry-After is no use to a run
_LAST = 5.0  # seconds that a closing client waits for what is under way
_LEAST_KEY = 8  # characters; a shorter key is no secret


@dataclasses.dataclass(frozen=True)
class Limits:
  """How to treat the server."""

  concurrency: int = 64
  connect_seconds: float = 10.0
  read_seconds: float = 120.0  # of a whole response
  attempts: int = 8
  first_wait: float = 0.5  # seconds before the second attempt, then doubled
  longest_wait: float = 30.0
  max_requests: int | None = None  # per run and process, restarts included


def key_from(variable: str) -> str | None:
  """The key in an environment variable; None where it is not set."""
  key = os.environ.get(variable) or None
  if key and not (key.isascii() and key.isprintable() and ' ' not in key):
    raise ValueError(
      f'The key in the environment variable {variable} holds a line break, a '
      'space or another character that no key has: set it again.'
    )
  return key


class Client:
  """Sends requests to `url` and returns completions."""

  def __init__(
    self,
    url: str,
    *,
    limits: Limits,
    cache: cache_lib.Cache,
    ledger: failures.Ledger,
    key: str | None = None,
  ):
    _check_url(url)
    self.url, self.limits = url.rstrip('/'), limits
    self.cache, self.ledger, self._key = cache, ledger, key
    self._stopped: base.ReaderError | None = None
    self._answered = set()  # models whose settings are right: one has answered
    self._resume_at = 0.0  # time of the loop before which nothing is sent
    self._flying: dict[bytes, asyncio.Task] = {}
    self._unkept: list[tuple[bytes, str]] = []  # arrived, not yet in the cache
    self._halt = asyncio.Event()
    self._loop: asyncio.AbstractEventLoop | None = None
    self._lock = threading.Lock()
    ledger.when_stopped(self._stop)

  def ask(
    self,
    path: str,
    keys: Sequence[bytes],
    body_of: Callable[[int], Mapping[str, object]],
  ) -> Iterator[base.Completion]:
    """One completion per key, in their order, each as soon as it is there.

    A key stands for all of a request (protocol.Spec.key); `body_of` makes the
    body of the one at a place, if it must be sent. All are sent at once. Called
    from any thread.
    """
    if self._stopped:
      raise self._stopped
    completion = functools.cache(base.Completion)
    known = self.cache.get(list(dict.fromkeys(keys)))
    found = {key: completion(text) for key, text in known.items()}
    missing = {}
    for place, key in enumerate(keys):
      if key not in found and key not in missing:
        missing[key] = body_of(place)
    arrived = queue.SimpleQueue()  # (key, finished task)
    if missing:
      send = functools.partial(self._send, path, missing, arrived)
      self._running_loop().call_soon_threadsafe(send)
    return _in_order(keys, found, arrived)

  def close(self) -> None:
    """Ends the thread; what is under way has a few seconds to arrive."""
    if self._loop is not None:
      asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
      self._loop.call_soon_threadsafe(self._loop.stop)
      self._thread.join()
      self._loop.close()
      self._loop = None

  def _running_loop(self) -> asyncio.AbstractEventLoop:
    with self._lock:
      if self._loop is None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
          target=self._loop.run_forever, name='readers', daemon=True
        )
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
    return self._loop

  async def _begin(self) -> None:
    self._slots = asyncio.Semaphore(self.limits.concurrency)
    self._http = aiohttp.ClientSession(
      headers={'Authorization': f'Bearer {self._key}'} if self._key else {},
      connector=aiohttp.TCPConnector(limit=self.limits.concurrency),
      timeout=aiohttp.ClientTimeout(
        total=None, connect=self.limits.connect_seconds
      ),
      proxy=_proxy(self.url),
    )

  async def _end(self) -> None:
    self._stop(base.ReaderError('The connection to the server was closed.'))
    tasks = list(self._flying.values())
    if tasks:
      await asyncio.wait(tasks, timeout=_LAST)
    for task in tasks:
      task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await self._http.close()

  def _send(self, path: str, missing, arrived: queue.SimpleQueue) -> None:
    for key, body in missing.items():
      if key not in self._flying:
        task = self._loop.create_task(self._one(path, key, body))
        task.add_done_callback(lambda task, key=key: self._landed(key, task))
        self._flying[key] = task
      self._flying[key].add_done_callback(
        lambda task, key=key: arrived.put((key, task))
      )

  def _landed(self, key: bytes, task: asyncio.Task) -> None:
    self._flying.pop(key, None)
    if not task.cancelled():
      task.exception()  # where nobody waits any longer, asyncio would complain

  def _stop(self, error: base.ReaderError) -> base.ReaderError:
    """Nothing is sent from now on; what is under way is still kept."""
    self._stopped = self._stopped or error
    if self._loop is not None:
      self._loop.call_soon_threadsafe(self._halt.set)
    return self._stopped

  async def _sleep(self, seconds: float) -> None:
    """Sleeps, unless the run stops."""
    with contextlib.suppress(TimeoutError):
      async with asyncio.timeout(seconds):
        await self._halt.wait()

  async def _one(self, path: str, key: bytes, body) -> base.Completion:
    """Asks until there is an answer, or no more hope for one."""
    model = body.get('model')
    for attempt in range(self.limits.attempts):
      async with self._slots:
        reply = await self._attempt(path, body)
      if not reply.failed:
        self._answered.add(model)
        await self._keep(key, reply.text)
        break
      if reply.fatal and model not in self._answered:
        raise self._stop(
          base.ReaderError(
            f'{self.url} refuses to answer as model {model!r}: {reply.failed}. '
            'Check endpoint.url, endpoint.model, judge.model and the key.'
          )
        )
      logging.log_every_n_seconds(
        logging.WARNING, 'A reader request failed: %s', 10, reply.failed
      )
      hopeless = not (reply.retry or reply.fatal) or reply.after > _MAX_AFTER
      if hopeless or attempt + 1 == self.limits.attempts:
        break
      await self._wait(attempt, reply.after)
    return base.Completion(reply.text, reply.failed)

  async def _keep(self, key: bytes, text: str) -> None:
    """Puts an answer into the cache, with those that arrive at the same time.

    That is after the next requests have left: the server need not wait.
    """
    if not self._unkept:
      self._kept = self._loop.create_task(self._keep_all())
    self._unkept.append((key, text))
    await asyncio.shield(self._kept)

  async def _keep_all(self) -> None:
    for _ in range(2):  # those that got the slots begin, then send
      await asyncio.sleep(0)
    arrived, self._unkept = self._unkept, []
    self.cache.put(arrived)

  async def _attempt(self, path: str, body) -> protocol.Reply:
    while (pause := self._resume_at - self._loop.time()) > 0:
      await self._sleep(pause)
      if self._stopped:
        break
    self._spend()
    try:
      async with (
        asyncio.timeout(self.limits.read_seconds),
        self._http.post(
          self.url + path, json=body, allow_redirects=False
        ) as response,
      ):
        content = bytearray()
        async for part in response.content.iter_any():
          content += part
          if len(content) > _MAX_BYTES:
            what = f'the response is larger than {_MAX_BYTES} bytes'
            return protocol.Reply(failed=what)
    except aiohttp.ClientConnectorError as error:
      self.cache.spend(-1)  # it reached no server, so it cost nothing
      return self._passing(error)
    except aiohttp.ConnectionTimeoutError:
      self.cache.spend(-1)
      seconds = self.limits.connect_seconds
      return self._passing(f'no connection within {seconds:g} seconds')
    except TimeoutError:
      seconds = self.limits.read_seconds
      return self._passing(f'no whole response within {seconds:g} seconds')
    except (aiohttp.ClientError, OSError) as error:
      return self._passing(error)
    # A placeholder such as EMPTY may well be a word of an answer.
    placeholder = response.status == 200 and len(self._key or '') < _LEAST_KEY
    hide = str if placeholder else self._redact
    return protocol.read(response.status, response.headers, content, hide)

  def _passing(self, what: str | Exception) -> protocol.Reply:
    """A failure that may pass."""
    if isinstance(what, Exception):
      what = f'{type(what).__name__} {what}'.strip()
    return protocol.Reply(failed=self._redact(what), retry=True)

  async def _wait(self, attempt: int, after: float) -> None:
    """Exponential, with jitter so that requests do not come back together."""
    if after:
      self._resume_at = max(self._resume_at, self._loop.time() + after)
    longest = min(self.limits.longest_wait, self.limits.first_wait * 2**attempt)
    await self._sleep(longest * random.uniform(0.5, 1))

  def _spend(self) -> None:
    """Counts a request, or stops the run that has none left."""
    if self._stopped:
      raise self._stopped
    most = self.limits.max_requests
    if self.cache.spend(1) > (float('inf') if most is None else most):
      self.cache.spend(-1)
      raise self._stop(
        base.ReaderError(
          f'The budget of endpoint.max_requests={most} is used up. Answers so '
          'far are kept: raise it and start again to go on.'
        )
      )

  def _redact(self, text: str) -> str:
    return text.replace(self._key, '[key]') if self._key else text


def _in_order(keys, found, arrived) -> Iterator[base.Completion]:
  """Waits for one completion after the other."""
  for key in keys:
    while key not in found:
      other, task = arrived.get()
      if task.cancelled():
        raise base.ReaderError('The connection was closed before an answer.')
      found[other] = task.result()
    yield found[key]


def _proxy(url: str) -> str | None:
  """The proxy that the environment names for an address.

  Looked up once: aiohttp's `trust_env` asks for it, and reads ~/.netrc, whose
  keys nobody offered to this server, in a thread before every request.
  """
  parsed = yarl.URL(url)
  if urllib.request.proxy_bypass(parsed.host):
    return None
  return urllib.request.getproxies().get(parsed.scheme)


def _check_url(url: str) -> None:
  try:
    parsed = yarl.URL(url)
  except ValueError as error:
    raise ValueError(f'endpoint.url is no address ({error}).') from error
  if parsed.scheme not in ('http', 'https') or not parsed.host:
    raise ValueError(
      'endpoint.url must be an address such as http://localhost:8000/v1.'
    )
  if parsed.user or parsed.password or parsed.query_string:
    raise ValueError(
      'endpoint.url holds a name, key or query: give the key in the '
      'environment variable that endpoint.key_env names.'
    )
