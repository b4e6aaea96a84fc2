"""Two processes with two devices each do what one with four does."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint.experimental.v1 as ocp

ROOT = pathlib.Path(__file__).parents[1]
SECONDS = 240  # after which every process is killed
STEPS = 20

CONFIG = """
import sys
sys.path.insert(0, {root!r})
from configs import embedded

def get_config(arg=None):
  config = embedded.get_config()
  config.data.chunks = 2
  counts = dict(changes=1, classes=1, topics=1, small_talk=1)
  config.data.synthetic.update(counts)
  config.tokenizer.vocab_size, config.tokenizer.instances = 512, 20
  config.model.num_layers, config.model.width = 1, 16
  config.memory.tokens = config.memory.terms = 128
  config.memory.rows = 16
  config.prompt.tokens, config.sampling.max_new_tokens = 128, 16
  config.warm.copy_steps = config.warm.keep_steps = 0
  config.warm.steps, config.warm.instances = 10, 8
  config.batch.rows, config.batch.length, config.batch.targets = 4, 160, 32
  config.grpo.steps, config.grpo.updates = {steps} - 10, 1
  config.grpo.instances, config.grpo.rollouts = 2, 4
  config.opt.warmup = 1
  config.eval.batch = config.eval.validation = config.eval.test = 4
  config.eval.every = 10
  config.checkpoint.every = config.checkpoint.warm_every = {steps}
  config.log.progress = False
  return config
"""


def start(tmp_path, name, devices, distributed=None):
  command = [
    sys.executable,
    '-m',
    'mem_alpha.main',
    f'--config={tmp_path}/small.py',
    f'--workdir={tmp_path}/{name}',
  ]
  if distributed:
    command.append(f'--distributed={distributed}')
  environment = {
    **os.environ,
    'JAX_NUM_CPU_DEVICES': str(devices),
    'JAX_PLATFORMS': 'cpu',
    'NPROC': '16',
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


def test_two_processes_equal_one(tmp_path):
  (tmp_path / 'small.py').write_text(CONFIG.format(root=str(ROOT), steps=STEPS))
  finish([start(tmp_path, 'one', 4)], tmp_path)
  where = f'localhost:{free_port()},2,'
  finish([start(tmp_path, 'two', 2, where + str(i)) for i in (0, 1)], tmp_path)
  one, two = (
    ocp.load(tmp_path / name / 'checkpoints' / f'step_{STEPS:08d}')['params']
    for name in ('one', 'two')
  )
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
    assert a.keys() - {'x'} == b.keys()
    for name in ('loss', 'reward/total'):
      if name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-4, atol=1e-6)
  assert (tmp_path / 'two' / 'report.html').exists()
