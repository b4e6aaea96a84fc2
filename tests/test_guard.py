"""Pre-emption, numbers that are none, and disks that take nothing."""

import os
import pathlib
import resource
import signal
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import checkpoint
from mem_alpha import guard
from mem_alpha.rollout import batch

ROOT = pathlib.Path(__file__).parents[1]


def terminate():
  os.kill(os.getpid(), signal.SIGTERM)


def test_sigterm_waits_until_the_state_is_whole():
  done = []
  with pytest.raises(guard.Preempted), guard.Preemption() as preemption:
    preemption.check()
    terminate()
    done.append('update')  # not interrupted
    preemption.check()
    done.append('next step')
  assert done == ['update']


def test_sigterm_ends_a_long_block_at_once():
  done = []
  with pytest.raises(guard.Preempted), guard.Preemption() as preemption:
    with preemption.interruptible():
      terminate()
      done.append('rest of the block')
  assert not done


def test_sigterm_that_came_before_a_block_ends_it():
  with pytest.raises(guard.Preempted), guard.Preemption() as preemption:
    terminate()
    with preemption.interruptible():
      raise AssertionError('must not begin')


def test_afterwards_sigterm_means_what_it_did_before():
  before = signal.getsignal(signal.SIGTERM)
  with guard.Preemption():
    assert signal.getsignal(signal.SIGTERM) != before
  assert signal.getsignal(signal.SIGTERM) == before


def test_a_kept_batch_can_be_read_again(tmp_path):
  shape = batch.Shape(rows=2, length=8, targets=4, turns=4, response=4)
  parts = batch.pack([[1, 2]], [[3]], shape=shape, pad=0, logps=[[np.nan]])
  where = guard.keep_batch(tmp_path / 'bad', 7, parts)
  assert where.endswith('step_00000007_*.npz')
  with np.load(tmp_path / 'bad' / 'step_00000007_000.npz') as file:
    assert set(file) == set(vars(parts[0]))
    for name, value in vars(parts[0]).items():
      np.testing.assert_array_equal(file[name], value)


# A file may not grow past a limit: what a full disk looks like to a writer.
FULL = """
import resource, sys
import jax.numpy as jnp
import numpy as np
from mem_alpha import checkpoint
state = {'x': jnp.asarray(np.random.default_rng(0).random(200_000))}
with checkpoint.Store(sys.argv[1]) as store:
  store.save(1, state, {})
  store.wait()
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
  store.save(2, state, {})
  try:
    store.wait()
  except OSError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path):
  done = subprocess.run(
    [sys.executable, '-c', FULL, str(tmp_path / 'run')],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=200,
  )
  assert 'make room there and start the run again' in done.stdout, done.stderr
  assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 4096  # only there
  with checkpoint.Store(tmp_path / 'run') as store:
    restored = store.restore({'x': jnp.zeros(200_000)})
    assert restored.step == 1
    store.save(2, restored.state, {})  # what was half written is no hindrance
  assert (tmp_path / 'run' / 'step_00000002').is_dir()


def test_a_workdir_that_takes_nothing_is_one_sentence():
  # Nobody, not even root, can make a directory there.
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'mem_alpha.main',
      f'--config={ROOT}/configs/embedded.py',
      '--workdir=/proc/mem_alpha/run',
    ],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=200,
  )
  assert done.returncode != 0
  assert 'nothing can be written to the workdir' in done.stderr
  assert 'Traceback' not in done.stderr
