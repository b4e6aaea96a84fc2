"""A real OpenAI-compatible server, `transformers serve`, from end to end.

It serves two tiny Llamas. One has random weights: its greedy answers must be
those of our own decoder with the same weights on the same prompts. The other's
weights are set so that it says a verdict, whatever it reads.
"""

import contextlib
import os
import socket
import sqlite3
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
from mem_alpha.readers import judge

SECONDS = 240  # until it answers, on a busy machine
VERDICT = '{"valid": true}'


@pytest.fixture(scope='module')
def judging_model(make_tiny_model):
  """Each token of a verdict makes the next one the likeliest; any other token
  makes the first. Layers add nothing to a token's own direction."""

  def fill(model, vocab):
    said = [*vocab.encode(VERDICT), vocab.end_of_turn]
    assert len(said) == len(set(said)) == 6
    for layer in model.model.layers:
      layer.self_attn.o_proj.weight.zero_()
      layer.mlp.down_proj.weight.zero_()
    embed, head = model.model.embed_tokens.weight, model.lm_head.weight
    embed.zero_()
    head.zero_()
    embed[:, 0] = 1
    for i, token in enumerate(said):
      head[token, i] = 1
      embed[token] = 0
      embed[token, i + 1] = 1

  return make_tiny_model([VERDICT] * 50, fill)


@pytest.fixture(scope='module')
def url(tmp_path_factory):
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  log = tmp_path_factory.mktemp('serve') / 'log'
  command = (
    'from transformers.cli.transformers import main; main()',
    'serve',  # whichever model a request names
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


def graded(panel, answers):
  """What the judge says of the answers, and of one content."""
  questions = [
    [structs.Question(q, ('Ann',), 'a', 'judge') for q in row]
    for row in QUERIES
  ]
  call = structs.Call(structs.Action.INSERT, content='Ann has a cat.')
  marks = panel.marker(questions, answers)
  return marks, panel.judge([(call, 'Ann has a cat.')])


def test_reader_and_judge_end_to_end(url, tiny_model, judging_model, tmp_path):
  asked = dict(
    endpoint__url=url,
    judge__name='endpoint',
    judge__content=True,
    judge__model=str(judging_model),
  )
  panel = make(tiny_model, tmp_path, 'endpoint', **asked)
  answers = panel.reader(memories(), QUERIES)
  assert not any(answer.failed for row in answers for answer in row)
  mesh = jax.make_mesh((1, 1), ('fsdp', 'tp'), devices=jax.devices()[:1])
  with jax.set_mesh(mesh):
    ours = make(tiny_model, tmp_path, 'local').reader(memories(), QUERIES)
  assert answers == ours
  assert graded(panel, answers) == ([[1.0, 1.0], [1.0]], [True])
  ledger, cache = panel.reader.ledger, panel.reader.model.client.cache
  assert (ledger.failed, ledger.total) == (0, 3 + 4)
  # All of it was paid for: nothing is asked a second time.
  spent = cache.spend(0)
  assert spent >= 7
  assert panel.reader(memories(), QUERIES) == answers
  assert graded(panel, answers) == ([[1.0, 1.0], [1.0]], [True])
  assert cache.spend(0) == spent
  panel.close()
  assert [path.name for path in tmp_path.iterdir()] == ['answers.sqlite']


def test_replies_without_a_verdict_are_left_out(
  url, tiny_model, tmp_path, monkeypatch
):
  """Random weights say nothing that could be parsed."""
  asked = dict(endpoint__url=url, judge__name='endpoint', judge__content=True)
  panel = make(tiny_model, tmp_path, 'endpoint', **asked)
  ledger, cache, reasons = (
    panel.judge.ledger,
    panel.judge.model.client.cache,
    [],
  )
  monkeypatch.setattr(ledger, 'amend', lambda _, why: reasons.append(why))
  said = [[structs.Answer('Ann'), structs.Answer('Bo')], [structs.Answer('no')]]
  assert graded(panel, said) == ([[None, None], [None]], [None])
  assert reasons == [judge.UNCLEAR] * 4 and ledger.total == 4
  # Each was answered over HTTP, as often as it was asked in other words.
  assert cache.spend(0) == 3 * 4
  panel.close()
  with contextlib.closing(sqlite3.connect(cache.path)) as db:
    assert db.execute('SELECT count(*) FROM answers').fetchone() == (12,)


def test_the_other_api(url, tiny_model, tmp_path):
  asked = dict(endpoint__url=url, endpoint__api='completions')
  panel = make(tiny_model, tmp_path, 'endpoint', **asked)
  answers = panel.reader(memories(), QUERIES)
  assert not any(answer.failed for row in answers for answer in row)
  assert [len(row) for row in answers] == [2, 1]
  panel.close()
