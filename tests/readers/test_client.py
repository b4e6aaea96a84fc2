"""Requests against a server that misbehaves: what each fault leads to."""

import re
import socket
import threading
import time

import pytest

from mem_alpha.readers import base
from tests.readers import sending


def ask(client, *questions):
  found = sending.send(client, [{'q': question} for question in questions])
  return [c.text or f'FAILED {c.failed}' for c in found]


def hang(handler):
  threading.Event().wait(20)


def half(handler):
  handler.send_response(200)
  handler.send_header('Content-Length', '1000')
  handler.end_headers()
  handler.wfile.write(b'{"choices": [{"mess')
  handler.close_connection = True


def drip(handler):
  """Never silent for long, and never done."""
  handler.send_response(200)
  handler.send_header('Content-Length', '1000')
  handler.end_headers()
  for _ in range(100):
    handler.wfile.write(b' ')
    handler.wfile.flush()
    time.sleep(0.05)


def cut(handler):
  handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
  'fault',
  [
    'status 500',
    'status 503',
    'status 429',
    hang,
    drip,
    half,
    cut,
    b'',
    b'<html>busy</html>',
    b'{"choices": []}',
    b'{"choices": [{"message": {"content": null}}]}',
    b'{"choices": [{"message": {"content": "<think>so"}}]}',
    b'{"choices": [{}]}',
    b'[1]',
    b'[' * 100_000,
  ],
)
def test_what_may_pass_is_tried_again(server, connect, fault):
  if isinstance(fault, str):
    fault = server.status(int(fault.split()[1]))
  elif isinstance(fault, bytes):
    fault = server.status(200, fault)
  server.behaviours.extendleft([fault, fault])
  silent = fault in (hang, drip)
  client = connect(read_seconds=1.0 if silent else 60.0, attempts=20)
  assert ask(client, 'a') == ['Oslo']
  # A busy machine may let a good answer wait for too long as well.
  assert len(server.requests) >= 3 if silent else len(server.requests) == 3


@pytest.mark.parametrize(
  'fault, requests, reason',
  [
    ((500,), 4, r'HTTP 500 \("bad luck"\)'),
    ((400, b'the prompt is too long'), 1, r'HTTP 400 \("the prompt is too lo'),
    ((200, b'{}'), 4, 'no choice with text'),
    ((200, b' ' * (10 << 20)), 1, 'larger than 1048576 bytes'),
    ((429, b'', '9999'), 1, 'HTTP 429'),  # nobody waits for hours
  ],
)
def test_what_does_not_pass_fails_with_a_reason(
  server, connect, fault, requests, reason
):
  code, *rest = fault
  headers = {'Retry_After': rest.pop()} if len(rest) > 1 else {}
  server.behaviours = [server.status(code, *rest, **headers)]
  client = connect()
  (completion,) = sending.send(client, [{'q': 'a'}])
  assert completion.text == ''
  assert re.search(reason, completion.failed)
  assert len(server.requests) == requests
  assert client.cache.get([sending.key({'q': 'a'})]) == {}


def test_retry_after_holds_back_all_requests(server, connect):
  server.behaviours.appendleft(server.status(429, Retry_After='0.6'))
  client = connect(concurrency=1)
  began = time.monotonic()
  assert ask(client, 'a', 'b', 'c') == ['Oslo'] * 3
  assert time.monotonic() - began >= 0.6
  assert len(server.requests) == 4


@pytest.mark.parametrize('code', [401, 403, 404])
def test_wrong_settings_stop_the_run_at_once(server, connect, code):
  body = b'{"error": {"message": "no model qwen-9"}}'
  server.behaviours = [server.status(code, body)]
  client = connect()
  with pytest.raises(base.ReaderError, match='"no model qwen-9".*the key.'):
    ask(client, *'abcdef')
  with pytest.raises(base.ReaderError, match='refuses to answer'):
    ask(client, 'g')  # it has stopped for good
  assert all(r[2]['q'] != 'g' for r in server.requests)


def test_a_server_that_dies_and_comes_back(server, connect):
  client = connect(attempts=50)
  assert ask(client, 'a') == ['Oslo']
  port = server.port
  server.stop()
  back = threading.Timer(0.5, server.start, [port])
  back.start()
  assert ask(client, 'a', 'b', 'c') == ['Oslo'] * 3
  back.join()
  # Two that were waiting may come back in any order.
  assert sorted(r[2]['q'] for r in server.requests) == ['a', 'b', 'c']
  # Restarted behind a proxy it may say 404 for a while: settings were right.
  server.behaviours.appendleft(server.status(404))
  assert ask(client, 'd') == ['Oslo']


def test_a_run_that_stops_sends_nothing_more(server, connect):
  server.behaviours = [server.status(400)]
  client = connect(failure_limit=0.2, concurrency=4)
  with pytest.raises(base.ReaderError, match='Of 11 .*, 11 failed.*HTTP 400'):
    for completion in sending.send(client, [{'q': str(i)} for i in range(100)]):
      client.ledger.record(completion.failed)
  with pytest.raises(base.ReaderError, match='11 failed'):
    ask(client, 'another')  # nor does anybody else
  client.close()
  assert len(server.requests) < 40


def test_completions_come_one_by_one(server, connect):
  release, say = threading.Event(), server.say('Rome')

  def wait(handler):
    release.wait(10)
    say(handler)

  server.behaviours.append(wait)  # the first is answered at once
  found = sending.send(connect(concurrency=1), [{'q': 'a'}, {'q': 'b'}])
  assert next(found).text == 'Oslo'
  release.set()
  assert [c.text for c in found] == ['Rome']


def test_a_judge_of_a_wrong_name_stops_the_run_at_once(server, connect):
  good, bad = server.say('yes'), server.status(404)

  def by_model(handler):
    (bad if server.requests[-1][2]['model'] == 'typo' else good)(handler)

  server.behaviours = [by_model]
  client = connect(concurrency=1)
  reader = [{'model': 'm', 'q': str(i)} for i in range(3)]
  assert all(c.text for c in sending.send(client, reader))
  with pytest.raises(base.ReaderError, match="as model 'typo'.*judge.model"):
    list(sending.send(client, [{'model': 'typo', 'q': 'a'}]))
  assert len(server.requests) == 4


def test_an_empty_answer_is_an_answer(server, connect):
  server.behaviours = [server.say('')]
  client = connect()
  assert list(sending.send(client, [{'q': 'a'}])) == [base.Completion('')]
  assert list(sending.send(client, [{'q': 'a'}])) == [base.Completion('')]
  assert len(server.requests) == 1


def test_an_answer_is_paid_for_once(server, connect):
  client = connect()
  assert ask(client, 'a', 'b', 'a') == ['Oslo'] * 3
  assert len(server.requests) == 2
  assert ask(client, 'b') == ['Oslo']
  # Another process, later.
  assert ask(connect(), 'a', 'b') == ['Oslo'] * 2
  assert len(server.requests) == 2


def test_equal_requests_under_way_are_sent_once(server, connect):
  release = threading.Event()
  say = server.say('Rome')

  def wait(handler):
    release.wait(10)
    say(handler)

  server.behaviours = [wait]
  client, found = connect(), []
  threads = [
    threading.Thread(target=lambda: found.extend(ask(client, 'a', 'b')))
    for _ in range(3)
  ]
  for thread in threads:
    thread.start()
  while len(server.requests) < 2:
    time.sleep(0.01)
  release.set()
  for thread in threads:
    thread.join()
  assert found == ['Rome'] * 6 and len(server.requests) == 2


def test_no_more_requests_at_a_time_than_allowed(server, connect):
  lock, now, most = threading.Lock(), [0], [0]
  say = server.say('x')

  def slow(handler):
    with lock:
      now[0] += 1
      most[0] = max(most[0], now[0])
    time.sleep(0.02)
    with lock:
      now[0] -= 1
    say(handler)

  server.behaviours = [slow]
  ask(connect(concurrency=3), *map(str, range(30)))
  assert most[0] == 3


def test_the_budget_holds_over_restarts(server, connect):
  client = connect(max_requests=3, run='r')
  assert ask(client, 'a', 'b') == ['Oslo'] * 2
  again = connect(max_requests=3, run='r')
  with pytest.raises(base.ReaderError, match='endpoint.max_requests=3 is used'):
    ask(again, 'a', 'b', 'c', 'd')
  again.close()  # what is under way is still kept
  assert len(server.requests) == 3
  assert ask(client, 'c') == ['Oslo'] and len(server.requests) == 3
  # What was paid for is kept, and another run has a budget of its own.
  other = connect(max_requests=3, run='s')
  assert ask(other, 'a', 'b', 'c', 'd') == ['Oslo'] * 4


def test_a_server_that_is_not_there_costs_nothing(server, connect):
  server.stop()
  client = connect(max_requests=1, attempts=3)
  (failed,) = sending.send(client, [{'q': 'a'}])
  assert 'Connect' in failed.failed
  assert client.cache.spend(0) == 0
