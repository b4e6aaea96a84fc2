"""How long is waited: before a request is sent again, and for a connection."""

import socket

import pytest

from tests.readers import sending


def waits(connect, monkeypatch, question, **limits):
  """How long a client would sleep between the attempts at one question."""
  client, found = connect(**limits), []

  async def note(seconds):
    found.append(seconds)

  monkeypatch.setattr(client, '_sleep', note)
  (completion,) = sending.send(client, [{'q': question}])
  assert completion.failed.startswith('HTTP 500')
  return found


def test_waits_double_up_to_the_longest(server, connect, monkeypatch):
  server.behaviours = [server.status(500)]
  limits = dict(attempts=10, first_wait=0.5, longest_wait=30.0)
  most = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
  for question in 'abc':
    found = waits(connect, monkeypatch, question, **limits)
    assert len(found) == len(most)
    for seconds, longest in zip(found, most):
      assert longest / 2 <= seconds <= longest


def test_requests_do_not_come_back_together(server, connect, monkeypatch):
  server.behaviours = [server.status(500)]
  found = [
    waits(connect, monkeypatch, q, attempts=2, first_wait=1, longest_wait=1)[0]
    for q in 'abcdefgh'
  ]
  assert len(set(found)) == len(found) and max(found) - min(found) > 0.01


@pytest.fixture
def full():
  """The port of a listener that takes no further connection."""
  with socket.socket() as listener:
    listener.bind(('127.0.0.1', 0))
    listener.listen(0)
    waiting = [socket.socket() for _ in range(4)]
    for each in waiting:
      each.setblocking(False)
      each.connect_ex(listener.getsockname())
    yield listener.getsockname()[1]
    for each in waiting:
      each.close()


def test_a_connection_that_does_not_come_is_named_and_costs_nothing(
  connect, full
):
  client = connect(
    url=f'http://127.0.0.1:{full}/v1', attempts=2, connect_seconds=0.3
  )
  (completion,) = sending.send(client, [{'q': 'a'}])
  assert completion.failed == 'no connection within 0.3 seconds'
  assert client.cache.spend(0) == 0
