"""Two processes with two devices each do what one with four does."""

import hashlib
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from mem_alpha import checkpoint
from mem_alpha import evaluate

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 240  # after which every process is killed
STEPS = 20

CONFIG = """
import sys
sys.path.insert(0, {root!r})
from tests import tiny

def get_config(arg=None):
  config = tiny.config()
  config.data.chunks = 2
  config.data.synthetic.small_talk = 1
  config.warm.steps, config.warm.instances = 10, 8
  config.grpo.steps, config.grpo.updates = {steps} - 10, 1
  config.grpo.instances, config.grpo.rollouts = 2, 4
  config.eval.batch = 8  # as many as rollouts: one shape, compiled once
  config.eval.systems, config.eval.every = ('grpo',), 10
  config.checkpoint.every = config.checkpoint.warm_every = {steps}
  return config
"""


def start(tmp_path, name, devices, distributed=None, flags=()):
  command = [
    sys.executable,
    '-m',
    'mem_alpha.main',
    f'--config={tmp_path}/small.py',
    f'--workdir={tmp_path}/{name}',
    *flags,
  ]
  if distributed:
    command.append(f'--distributed={distributed}')
  environment = {
    **os.environ,
    'JAX_NUM_CPU_DEVICES': str(devices),
    'JAX_PLATFORMS': 'cpu',
    'NPROC': '16',
    # What a process has compiled, another of as many devices need not.
    'JAX_COMPILATION_CACHE_DIR': str(tmp_path.parent / 'xla'),
    'JAX_COMPILATION_CACHE_MAX_SIZE': str(1 << 30),
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1',
  }
  log = (tmp_path / f'{name}_{len(list(tmp_path.glob("*.log")))}.log').open('w')
  # A session of its own, so that whatever it starts can be ended with it.
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env=environment,
    stdout=log,
    stderr=subprocess.STDOUT,
    start_new_session=True,
  )


def finish(processes, tmp_path):
  """Waits for all; kills all when one fails or time is over."""
  end = time.monotonic() + SECONDS
  try:
    while any(p.poll() is None for p in processes):
      assert time.monotonic() < end, _logs(tmp_path)
      assert not any(p.poll() for p in processes), _logs(tmp_path)
      time.sleep(0.2)
    assert [p.returncode for p in processes] == [0] * len(processes), _logs(
      tmp_path
    )
  finally:
    for process in processes:
      if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _logs(tmp_path):
  return '\n'.join(p.read_text()[-2000:] for p in tmp_path.glob('*.log'))


def free_port():
  with socket.socket() as s:
    s.bind(('localhost', 0))
    return s.getsockname()[1]


def start_two(tmp_path, name, flags=()):
  where = f'localhost:{free_port()},2,'
  return [start(tmp_path, name, 2, f'{where}{i}', flags) for i in (0, 1)]


def test_two_processes_equal_one(tmp_path):
  (tmp_path / 'small.py').write_text(CONFIG.format(root=str(ROOT), steps=STEPS))
  finish([start(tmp_path, 'one', 4)], tmp_path)
  finish(start_two(tmp_path, 'two'), tmp_path)
  one, two = (_params(tmp_path / name) for name in ('one', 'two'))
  for (path, a), b in zip(
    jax.tree.leaves_with_path(one), jax.tree.leaves(two), strict=True
  ):
    a, b = np.asarray(a), np.asarray(b)
    error = np.linalg.norm(a - b) / np.linalg.norm(a)
    assert error < 1e-6, (path, error)
  # The log was written once, by one of the two, and says the same.
  lines = [
    [json.loads(x) for x in (tmp_path / n / 'metrics.jsonl').open()]
    for n in ('one', 'two')
  ]
  assert len(lines[0]) == len(lines[1]) == STEPS + 1
  for a, b in zip(*lines):
    assert a.keys() == b.keys()
    for name in ('loss', 'reward/total'):
      if name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)
  assert (tmp_path / 'two' / 'report.html').exists()


def _params(workdir):
  """What a run ended with, on the devices of this process."""
  scope = {}
  exec((workdir.parent / 'small.py').read_text(), scope)
  like = {
    'params': evaluate.Parts(scope['get_config'](), workdir).first_params()
  }
  with checkpoint.Store(workdir / 'checkpoints') as store:
    restored = store.restore(like)
  assert restored.step == STEPS
  return restored.state['params']


@pytest.fixture
def server():
  """Says something that depends on what it is asked; keeps what that was."""
  asked = []

  class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):  # noqa: N802 (the name that http.server calls)
      body = self.rfile.read(int(self.headers['Content-Length']))
      messages = json.dumps(json.loads(body)['messages']).encode()
      asked.append(messages)
      text = hashlib.sha256(messages).hexdigest()[:8]
      reply = {'choices': [{'message': {'role': 'assistant', 'content': text}}]}
      data = json.dumps(reply).encode()
      self.send_response(200)
      self.send_header('Content-Length', str(len(data)))
      self.end_headers()
      self.wfile.write(data)

    def log_message(self, *args):
      del args

  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as made:
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{made.server_address[1]}/v1', asked
    made.shutdown()


def test_a_reader_elsewhere_is_asked_by_one_process(tmp_path, server):
  url, asked = server
  flags = [
    '--config.reader.name=endpoint',
    f'--config.endpoint.url={url}',
    '--config.endpoint.model=any',
    '--config.grpo.evidence=0',
    '--config.warm.steps=1',
    '--config.grpo.steps=1',
  ]
  (tmp_path / 'small.py').write_text(CONFIG.format(root=str(ROOT), steps=STEPS))
  finish(start_two(tmp_path, 'two', flags), tmp_path)
  # No question was paid for twice, and the process that asked nothing went on.
  assert len(asked) == len(set(asked)) > 0
