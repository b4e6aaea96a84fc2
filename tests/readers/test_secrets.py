"""What is secret stays so: keys, and addresses that would hold one."""

import json

import pytest

from mem_alpha.readers import client as client_lib
from tests.readers import sending

KEY = 'sk-' + 'K' * 150


def ask(client, *questions):
  found = sending.send(client, [{'q': question} for question in questions])
  return [c.text or f'FAILED {c.failed}' for c in found]


def test_the_key_goes_into_a_header_and_nowhere_else(
  server, connect, tmp_path, caplog
):
  key = 'sk-very-secret'
  echo = b'{"error": {"message": "your key sk-very-secret is fine, you not"}}'
  server.behaviours = [server.status(400, echo)]
  client = connect(key=key)
  (completion,) = sending.send(client, [{'q': 'a'}])
  assert '[key]' in completion.failed and key not in completion.failed
  _, headers, body = server.requests[0]
  assert headers['Authorization'] == f'Bearer {key}'
  assert key not in str(body)
  server.behaviours = [server.say('fine')]
  assert ask(client, 'b') == ['fine']
  client.cache.close()
  assert key not in caplog.text
  for path in tmp_path.iterdir():
    assert key.encode() not in path.read_bytes()


@pytest.mark.parametrize('before', [0, 90, 150, 197, 700])
@pytest.mark.parametrize('escaped', [False, True])
def test_no_part_of_a_key_is_in_a_message(server, connect, before, escaped):
  said = json.dumps({'error': {'message': 'w' * before + KEY + ' is wrong'}})
  said = said.replace('K', '\\u004b') if escaped else said
  for body in (said, said[:-1]):  # and as no JSON
    server.behaviours = [server.status(400, body.encode())]
    (completion,) = sending.send(connect(key=KEY), [{'q': body}])
    assert completion.failed.startswith('HTTP 400')
    assert 'K' not in completion.failed


def test_a_key_that_an_answer_repeats_is_not_kept(server, connect, tmp_path):
  server.behaviours = [server.say(f'Your key is {KEY}, is it?')]
  client = connect(key=KEY)
  assert ask(client, 'a') == ['Your key is [key], is it?']
  assert ask(client, 'a') == ['Your key is [key], is it?']
  client.cache.close()
  assert KEY.encode() not in (tmp_path / 'answers.sqlite').read_bytes()


def test_a_placeholder_is_no_key(server, connect):
  server.behaviours = [server.say('The box is EMPTY.')]
  assert ask(connect(key='EMPTY'), 'a') == ['The box is EMPTY.']


def test_the_environment_names_a_proxy_and_netrc_no_key(
  server, connect, tmp_path, monkeypatch
):
  netrc = tmp_path / 'netrc'
  netrc.write_text('machine models.example login me password pw')
  netrc.chmod(0o600)
  monkeypatch.setenv('NETRC', str(netrc))
  monkeypatch.setenv('http_proxy', f'http://127.0.0.1:{server.port}')
  monkeypatch.setenv('no_proxy', 'localhost,inside.example')
  outside = connect(url='http://models.example/v1')
  assert ask(outside, 'a') == ['Oslo']
  path, headers, _ = server.requests[0]
  assert path.startswith('http://models.example/v1')  # as a proxy is asked
  assert 'Authorization' not in headers
  (failed,) = sending.send(
    connect(url='http://inside.example/v1', attempts=1), [{'q': 'b'}]
  )
  assert failed.failed and len(server.requests) == 1


@pytest.mark.parametrize(
  'url, message',
  [
    ('localhost:8000', 'must be an address such as'),
    ('ftp://x/v1', 'must be an address such as'),
    ('http://me:pw@x/v1', 'holds a name, key or query'),
    ('http://x/v1?key=1', 'holds a name, key or query'),
    ('http://[::1/v1', 'is no address'),
  ],
)
def test_addresses_are_checked_and_hold_no_secret(connect, url, message):
  with pytest.raises(ValueError, match=message):
    connect(url=url)


def test_the_key_is_read_from_the_environment(monkeypatch):
  monkeypatch.setenv('A_KEY', 'k')
  assert client_lib.key_from('A_KEY') == 'k'
  monkeypatch.setenv('A_KEY', '')
  assert client_lib.key_from('A_KEY') is None


@pytest.mark.parametrize('key', ['sk-abc\r', 'sk abc', 'sk-abc\n', 'sk-\u00e9'])
def test_a_key_that_no_header_can_hold_is_named(monkeypatch, key):
  monkeypatch.setenv('A_KEY', key)
  with pytest.raises(ValueError, match='environment variable A_KEY') as error:
    client_lib.key_from('A_KEY')
  assert key not in str(error.value) and '\n' not in str(error.value)
