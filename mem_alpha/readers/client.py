"""Requests to one server: many at a time, patiently, and each paid for once.

A thread of its own runs all requests, at most `concurrency` at a time. One that
fails in a way that may pass (see protocol.py; also no connection, a hang, a
response that is too large) is sent again after an exponential wait with jitter,
up to `attempts` times; a server's Retry-After holds back all requests. What
still fails is a completion with a reason, counted by the ledger, which stops
the run when there are too many. Answers are cached, equal requests that are
under way are sent once, and every request counts towards the run's budget.

The key goes into one header and nowhere else: it is cut out of every message.
"""

import asyncio
import contextlib
import dataclasses
import os
import random
import threading
import urllib.request
from collections.abc import Mapping, Sequence

import aiohttp
import yarl
from absl import logging

from mem_alpha.readers import base
from mem_alpha.readers import cache as cache_lib
from mem_alpha.readers import failures
from mem_alpha.readers import protocol

_MAX_BYTES = 1 << 20  # of a response; an answer has a few hundred
_MAX_AFTER = 600.0  # seconds; a longer Retry-After is no use to a run


@dataclasses.dataclass(frozen=True)
class Limits:
  """How to treat the server."""

  concurrency: int = 64
  connect_seconds: float = 10.0
  read_seconds: float = 120.0  # of a whole response
  attempts: int = 8
  first_wait: float = 0.5  # seconds before the second attempt, then doubled
  longest_wait: float = 30.0
  max_requests: int | None = None  # per run, restarts included


def key_from(variable: str) -> str | None:
  """The key in an environment variable; None where it is not set."""
  return os.environ.get(variable) or None


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
    self._answered = False  # settings are right: an answer has come
    self._resume_at = 0.0  # time of the loop before which nothing is sent
    self._flying: dict[bytes, asyncio.Task] = {}
    self._loop: asyncio.AbstractEventLoop | None = None
    self._lock = threading.Lock()

  def ask(
    self, path: str, requests: Sequence[Mapping[str, object]]
  ) -> list[base.Completion]:
    """One completion per request, in their order; called from any thread."""
    if self._stopped:
      raise self._stopped
    keys = [cache_lib.key({'path': path, **body}) for body in requests]
    known = self.cache.get(list(dict.fromkeys(keys)))
    missing = {k: b for k, b in zip(keys, requests) if k not in known}
    found = {k: base.Completion(text) for k, text in known.items()}
    if missing:
      waiting = asyncio.run_coroutine_threadsafe(
        self._all(path, missing), self._running_loop()
      )
      found |= waiting.result()
    return [found[k] for k in keys]

  def close(self) -> None:
    """Ends the thread; requests under way are dropped."""
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
    self._halt = asyncio.Event()
    self._slots = asyncio.Semaphore(self.limits.concurrency)
    self._http = aiohttp.ClientSession(
      headers={'Authorization': f'Bearer {self._key}'} if self._key else {},
      connector=aiohttp.TCPConnector(limit=self.limits.concurrency),
      timeout=aiohttp.ClientTimeout(
        total=None, sock_connect=self.limits.connect_seconds
      ),
      proxy=_proxy(self.url),
    )

  async def _end(self) -> None:
    for task in list(self._flying.values()):
      task.cancel()
    await asyncio.gather(*self._flying.values(), return_exceptions=True)
    await self._http.close()

  async def _all(self, path, missing) -> dict[bytes, base.Completion]:
    tasks = {}
    for key, body in missing.items():
      if key not in self._flying:
        task = asyncio.create_task(self._one(path, key, body))
        task.add_done_callback(lambda _, key=key: self._flying.pop(key, None))
        self._flying[key] = task
      tasks[key] = self._flying[key]
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    for result in (self._stopped, *results):
      if isinstance(result, BaseException):
        raise result
    return dict(zip(tasks, results))

  def _stop(self, message: str) -> base.ReaderError:
    """Nothing is sent from now on; what is under way is still kept."""
    self._stopped = self._stopped or base.ReaderError(message)
    self._halt.set()
    return self._stopped

  async def _sleep(self, seconds: float) -> None:
    """Sleeps, unless the run stops."""
    with contextlib.suppress(TimeoutError):
      async with asyncio.timeout(seconds):
        await self._halt.wait()

  async def _one(self, path: str, key: bytes, body) -> base.Completion:
    """Asks until there is an answer, or no more hope for one."""
    for attempt in range(self.limits.attempts):
      async with self._slots:
        reply = await self._attempt(path, body)
      if not reply.failed:
        self._answered = True
        self.cache.put(key, reply.text)
        break
      if reply.fatal and not self._answered:
        raise self._stop(
          f'{self.url} refuses to answer: {reply.failed}. Check endpoint.url, '
          'endpoint.model and the key.'
        )
      logging.log_every_n_seconds(
        logging.WARNING, 'A reader request failed: %s', 10, reply.failed
      )
      hopeless = not (reply.retry or reply.fatal) or reply.after > _MAX_AFTER
      if hopeless or attempt + 1 == self.limits.attempts:
        break
      await self._wait(attempt, reply.after)
    try:
      self.ledger.record(reply.failed)
    except base.ReaderError as error:
      raise self._stop(str(error)) from None
    return base.Completion(reply.text, reply.failed)

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
    except TimeoutError:
      seconds = self.limits.read_seconds
      return self._passing(f'no whole response within {seconds:g} seconds')
    except (aiohttp.ClientError, OSError) as error:
      return self._passing(error)
    reply = protocol.read(response.status, response.headers, content)
    return dataclasses.replace(reply, failed=self._redact(reply.failed))

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
    if self.cache.spend(1) > (most or float('inf')):
      self.cache.spend(-1)
      raise self._stop(
        f'The budget of endpoint.max_requests={most} is used up. Answers so '
        'far are kept: raise it and start again to go on.'
      )

  def _redact(self, text: str) -> str:
    return text.replace(self._key, '[key]') if self._key else text


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
