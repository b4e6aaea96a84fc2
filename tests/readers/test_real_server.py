"""A real OpenAI-compatible server, `transformers serve`, from end to end.

It serves a tiny random Llama. Its greedy answers must be those of our own
decoder with the same weights on the same prompts.
"""

import os
import socket
import subprocess
import sys
import time

import jax
import pytest

from configs import base
from mem_alpha import build_panel
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.readers import base as readers

SECONDS = 240  # until it answers, on a busy machine


@pytest.fixture(scope='module')
def url(tiny_model, tmp_path_factory):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  log = tmp_path_factory.mktemp('serve') / 'log'
  command = (
    'from transformers.cli.transformers import main; main()',
    'serve',
    str(tiny_model),
    *('--host', '127.0.0.1', '--port', str(port)),
    *('--device', 'cpu', '--dtype', 'float32'),
  )
  with open(log, 'wb') as out:
    process = subprocess.Popen(
      [sys.executable, '-c', *command],
      stdout=out,
      stderr=subprocess.STDOUT,
      env=os.environ | {'HF_HUB_OFFLINE': '1', 'NO_PROXY': '127.0.0.1'},
    )
  try:
    end = time.monotonic() + SECONDS
    while True:
      assert process.poll() is None, log.read_text()
      assert time.monotonic() < end, log.read_text()
      with socket.socket() as attempt:
        if attempt.connect_ex(('127.0.0.1', port)) == 0:
          break
      time.sleep(0.2)
    yield f'http://127.0.0.1:{port}/v1'
  finally:
    process.terminate()
    process.wait(30)


def make(tiny_model, workdir, name, **changes):
  config = base.get_config()
  config.reader.name = name
  config.reader.weights = str(tiny_model)
  config.reader.prompt_tokens = 640
  config.reader.question_tokens = 64
  config.reader.max_new_tokens = 8
  config.reader.groups, config.reader.questions = 1, 4
  config.judge.max_new_tokens = 8
  config.endpoint.model = str(tiny_model)
  config.endpoint.concurrency = 2
  config.endpoint.failure_limit = 0.99
  for key, value in changes.items():
    section, key = key.split('__')
    config[section][key] = value
  build_panel.check(config)
  return build_panel.panel(config, text.load(tiny_model), workdir)


def memories():
  entries = [
    structs.Entry(structs.Kind.SEMANTIC, i, f'{name} has a cat.', 0, 0, i)
    for i, name in enumerate(('Ann', 'Bo', 'Kira'))
  ]
  return readers.Memories(
    ['cats and dogs', ''],
    lambda queries: [
      [entries[: 3 - m]] * len(q) for m, q in enumerate(queries)
    ],
  )


QUERIES = [['Who has a cat?', 'What is it about?'], ['Has Bo a cat?']]


def test_reader_and_judge_end_to_end(url, tiny_model, tmp_path):
  asked = dict(endpoint__url=url, judge__name='endpoint', judge__content=True)
  panel = make(tiny_model, tmp_path, 'endpoint', **asked)
  answers = panel.reader(memories(), QUERIES)
  assert not any(answer.failed for row in answers for answer in row)
  mesh = jax.make_mesh((1, 1), ('fsdp', 'tp'), devices=jax.devices()[:1])
  with jax.set_mesh(mesh):
    ours = make(tiny_model, tmp_path, 'local').reader(memories(), QUERIES)
  assert answers == ours
  # Random weights say nothing that could be parsed: verdicts are left out.
  questions = [
    [structs.Question(q, ('Ann',), 'a', 'judge') for q in row]
    for row in QUERIES
  ]
  marks = panel.marker(questions, answers)
  call = structs.Call(structs.Action.INSERT, content='Ann has a cat.')
  assert marks == [[None, None], [None]]
  assert panel.judge([(call, 'Ann has a cat.')]) == [None]
  ledger = panel.reader.model.client.ledger
  assert ledger.failed == 4
  # All of it was paid for: nothing is asked a second time.
  before = ledger.total
  assert panel.reader(memories(), QUERIES) == answers
  assert ledger.total == before
  panel.reader.model.client.close()


def test_the_other_api(url, tiny_model, tmp_path):
  asked = dict(endpoint__url=url, endpoint__api='completions')
  panel = make(tiny_model, tmp_path, 'endpoint', **asked)
  answers = panel.reader(memories(), QUERIES)
  assert [len(row) for row in answers] == [2, 1]
  panel.reader.model.client.close()
