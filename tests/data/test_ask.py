"""The endpoint: answers in order, tries again, gives up with one sentence."""

import http.server
import json
import threading

import pytest

from mem_alpha.data import ask


@pytest.fixture
def server(monkeypatch):
  """A server that echoes, after as many failures as its list says."""
  monkeypatch.setattr(ask.time, 'sleep', lambda seconds: None)
  seen, failures = [], []

  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
      seen.append((self.path, self.headers.get('Authorization'), body))
      if failures:
        status, text = failures.pop()
      else:
        content = body['messages'][0]['content'].upper()
        status, text = 200, {'choices': [{'message': {'content': content}}]}
      self.send_response(status)
      self.end_headers()
      self.wfile.write(
        text.encode() if isinstance(text, str) else json.dumps(text).encode()
      )

    def log_message(self, *arguments):
      pass

  found = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
  threading.Thread(target=found.serve_forever, daemon=True).start()
  found.seen, found.failures = seen, failures
  found.url = f'http://127.0.0.1:{found.server_port}/v1/'
  yield found
  found.shutdown()
  found.server_close()


def test_answers_come_in_the_order_of_the_questions(server, monkeypatch):
  monkeypatch.setenv('OPENAI_API_KEY', 'secret')
  prompts = [f'question {n}' for n in range(40)]
  assert ask.endpoint(server.url, 'm')(prompts) == [p.upper() for p in prompts]
  path, key, body = server.seen[0]
  assert path == '/v1/chat/completions' and key == 'Bearer secret'
  assert body['model'] == 'm' and body['temperature'] == 0


def test_failures_are_tried_again(server):
  server.failures += [(500, 'oops'), (200, 'not json'), (200, {'choices': []})]
  assert ask.endpoint(server.url, 'm')(['hello']) == ['HELLO']
  assert len(server.seen) == 4


def test_a_server_that_stays_away_is_named(server):
  server.failures += [(503, 'busy')] * 9
  with pytest.raises(OSError, match='gave no answer in 4 tries.*prepare.url'):
    ask.endpoint(server.url, 'm')(['hello'])
