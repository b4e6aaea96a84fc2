"""An OpenAI-compatible server in this process that misbehaves on purpose."""

import collections
import http.server
import json
import threading

import pytest

from mem_alpha.readers import cache
from mem_alpha.readers import client
from mem_alpha.readers import failures


def answer(text):
  """The body of a good chat response."""
  choice = {'message': {'role': 'assistant', 'content': text}}
  return json.dumps({'choices': [choice]}).encode()


class Server:
  """Answers each request by the next of `behaviours`, the last one for ever.

  A behaviour is a function of the handler; `say` and `status` make common ones.
  `requests` holds (path, headers, body) of each request.
  """

  def __init__(self):
    self.requests = []
    self.behaviours = collections.deque([self.say('Oslo')])
    self._lock = threading.Lock()
    self._http = None

  @staticmethod
  def say(text):
    return Server.status(200, answer(text))

  @staticmethod
  def status(code, body=b'{"error": {"message": "bad luck"}}', **headers):
    def behave(handler):
      handler.send_response(code)
      for name, value in headers.items():
        handler.send_header(name.replace('_', '-'), value)
      handler.send_header('Content-Length', str(len(body)))
      handler.end_headers()
      handler.wfile.write(body)

    return behave

  def start(self, port=0):
    server = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = 'HTTP/1.1'
      # The body follows the headers at once: TCP would hold it back until they
      # are acknowledged, which takes 40 ms.
      disable_nagle_algorithm = True

      def do_POST(self):  # noqa: N802 (the name that http.server calls)
        size = int(self.headers['Content-Length'])
        body = json.loads(self.rfile.read(size))
        with server._lock:
          server.requests.append((self.path, dict(self.headers), body))
          behave = server.behaviours[0]
          if len(server.behaviours) > 1:
            server.behaviours.popleft()
        behave(self)

      def log_message(self, *args):
        del args

    self._http = http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)
    self._http.daemon_threads = True
    self._http.block_on_close = False
    threading.Thread(target=self._http.serve_forever, daemon=True).start()
    self.port = self._http.server_address[1]
    self.url = f'http://127.0.0.1:{self.port}/v1'
    return self

  def stop(self):
    if self._http:
      self._http.shutdown()
      self._http.server_close()
      self._http = None


@pytest.fixture
def server():
  made = Server().start()
  yield made
  made.stop()


@pytest.fixture
def connect(server, tmp_path):
  """Makes clients of the server; waits are short, the cache is one file."""
  made = []

  def make(*, failure_limit=1.0, key=None, url=None, run='', **limits):
    limits = dict(first_wait=0.01, longest_wait=0.05, attempts=4) | limits
    made.append(
      client.Client(
        url or server.url,
        limits=client.Limits(**limits),
        cache=cache.Cache(tmp_path / 'answers.sqlite', run=run),
        ledger=failures.Ledger(failure_limit),
        key=key,
      )
    )
    return made[-1]

  yield make
  for each in made:
    each.close()
    each.cache.close()
