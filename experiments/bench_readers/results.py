"""One line per figure in results.jsonl, and the machine that it is from."""

import json
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys

PATH = pathlib.Path(__file__).with_name('results.jsonl')


def add(
  name: str,
  unit: str,
  pairs: list[tuple[float, float]],
  *,
  peer: str,
  larger_is_better: bool,
  write: bool,
  **more,
) -> None:
  """Appends the medians of (ours, peer's) figures and of their ratios."""
  ratios = [
    ours / theirs if larger_is_better else theirs / ours
    for ours, theirs in pairs
  ]
  line = dict(
    name=name,
    value=_round(statistics.median(ours for ours, _ in pairs)),
    unit=unit,
    peer=peer,
    peer_value=_round(statistics.median(theirs for _, theirs in pairs)),
    ratio=_round(statistics.median(ratios)),
    runs=len(pairs),
    commit=_output('git', 'rev-parse', '--short', 'HEAD'),
    machine=_machine(),
    command=shlex.join(['python', *sys.argv]),
    **more,
  )
  print(json.dumps(line))
  if write:
    with PATH.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


def _round(value: float) -> float:
  return float(f'{value:.4g}')


def _machine() -> str:
  name = platform.processor() or platform.machine()
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    name = next(x.split(': ')[1] for x in lines if x.startswith('model name'))
  except (OSError, StopIteration):
    pass
  cores = _output('nproc')
  return f'{name}, {cores} cores'


def _output(*command: str) -> str:
  return subprocess.run(command, capture_output=True, text=True).stdout.strip()
