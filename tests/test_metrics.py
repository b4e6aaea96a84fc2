import json
import os
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import metrics


def test_lines_are_on_disk_where_the_position_is_and_in_order(tmp_path):
  path = tmp_path / 'run' / 'metrics.jsonl'
  writer = metrics.Writer(path)
  writer.write(1, {'loss': jnp.float32(0.5), 'n': np.int64(3), 'note': 'a\nb'})
  assert writer.position == path.stat().st_size > 0
  writer.write(2, {'loss': 1, 'good': np.bool_(True)})
  writer.close()
  assert metrics.read(path) == [
    {'step': 1, 'loss': 0.5, 'n': 3, 'note': 'a\nb'},
    {'step': 2, 'loss': 1, 'good': True},
  ]
  assert list(metrics.read(path)[0]) == ['step', 'loss', 'n', 'note']


def test_floats_survive_exactly(tmp_path):
  value = np.float32(1) / 3
  writer = metrics.Writer(tmp_path / 'm.jsonl')
  writer.write(0, {'x': value})
  writer.wait()
  assert np.float32(metrics.read(tmp_path / 'm.jsonl')[0]['x']) == value


def test_resume_neither_doubles_nor_misses_a_line(tmp_path):
  path, whole = tmp_path / 'm.jsonl', tmp_path / 'whole.jsonl'
  unbroken = metrics.Writer(whole)
  for step in range(6):
    unbroken.write(step, {'loss': step / 7})
  writer = metrics.Writer(path)
  for step in range(3):
    writer.write(step, {'loss': step / 7})
  position = writer.position  # as a checkpoint stores it
  writer.write(3, {'loss': 3 / 7})
  writer.close()
  with open(path, 'ab') as file:
    file.write(b'{"step": 4, "lo')  # the process was killed here
  writer = metrics.Writer(path, position=position)
  for step in range(3, 6):
    writer.write(step, {'loss': step / 7})
  assert writer.position == unbroken.position
  assert path.read_bytes() == whole.read_bytes()


def test_a_fresh_run_starts_an_empty_file(tmp_path):
  path = tmp_path / 'm.jsonl'
  before = metrics.Writer(path)
  before.write(1, {'x': 1})
  before.close()
  assert metrics.Writer(path).position == 0
  assert path.read_bytes() == b''


def test_read_leaves_out_a_torn_line(tmp_path):
  path = tmp_path / 'm.jsonl'
  path.write_text('{"step": 1}\n{"step": 2')
  assert metrics.read(path) == [{'step': 1}]


@pytest.mark.parametrize('value', [np.nan, jnp.inf, -float('inf')])
def test_undefined_figures_are_errors_and_write_nothing(tmp_path, value):
  writer = metrics.Writer(tmp_path / 'm.jsonl')
  with pytest.raises(ValueError, match="'kl/k3' at step 9"):
    writer.write(9, {'loss': 1.0, 'kl/k3': value})
  assert writer.position == 0
  assert metrics.read(tmp_path / 'm.jsonl') == []


def test_other_misuse_is_an_error(tmp_path):
  writer = metrics.Writer(tmp_path / 'm.jsonl')
  with pytest.raises(ValueError, match='shape'):
    writer.write(1, {'x': np.zeros(2)})
  with pytest.raises(ValueError, match="called 'step'"):
    writer.write(1, {'step': 2})
  with pytest.raises(ValueError, match='has 0 bytes but the checkpoint'):
    metrics.Writer(tmp_path / 'm.jsonl', position=10)


def test_timer_adds_up_phases():
  timer = metrics.Timer()
  for _ in range(2):
    with timer.phase('sleep'):
      time.sleep(0.02)
  with pytest.raises(KeyError), timer.phase('failed'):
    raise KeyError
  seconds = timer.pop()
  assert set(seconds) == {'time/sleep', 'time/failed'}
  assert 0.04 <= seconds['time/sleep'] < 1
  assert timer.pop() == {}


def test_written_lines_survive_a_kill(tmp_path):
  path = tmp_path / 'm.jsonl'
  script = (
    'import sys; from mem_alpha import metrics\n'
    'writer = metrics.Writer(sys.argv[1])\n'
    'for step in range(10**9): writer.write(step, {"loss": step / 7})\n'
  )
  child = subprocess.Popen([sys.executable, '-c', script, str(path)])
  deadline = time.time() + 60
  while time.time() < deadline and (
    not path.exists() or path.stat().st_size < 500
  ):
    time.sleep(0.02)
  os.kill(child.pid, signal.SIGKILL)
  child.wait()
  lines = metrics.read(path)
  assert [line['step'] for line in lines] == list(range(len(lines)))
  assert len(lines) > 10
  assert json.dumps(lines[7]) == json.dumps({'step': 7, 'loss': 1.0})


def test_nested_phases_count_once(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(metrics.time, 'perf_counter', lambda: now[0])
  timer = metrics.Timer()

  def work(seconds):
    now[0] += seconds

  work_inside = timer.wrap('inside', work)
  with timer.phase('outside'):
    work(1)
    work_inside(2)
    work(4)
  with timer.phase('all', whole=True):
    work_inside(8)
  assert timer.pop() == {
    'time/inside': 2,
    'time/outside': 5,
    'time/all': 8,
  }
  assert timer.pop() == {}
