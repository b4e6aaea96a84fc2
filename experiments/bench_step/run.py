"""One training step of SmolLM2 by phase; appends to results.jsonl.

python experiments/bench_step/run.py --data=/path/to/raw

Trains `configs/smollm2.py:short` for a few GRPO steps in a temporary workdir,
and takes the median of each phase's time over the steps after the first, which
still compiles. The figure `step/other` is the share of everything but sampling,
reading (with its searches) and updates; at most 0.05 is wanted. Validation is
no part of a step. `--config` takes any other config.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = pathlib.Path(__file__).with_name('results.jsonl')
MAIN = ('sample', 'read', 'search', 'update')
NO_PART = ('validate',)
MOST = 0.05


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument('--config', default='configs/smollm2.py:short')
  parser.add_argument('--data', help='folder of raw files')
  parser.add_argument('--steps', type=int, default=4)
  parser.add_argument('--dry', action='store_true', help='print, do not write')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as workdir:
    command = [
      *('-m', 'mem_alpha.main', f'--config={args.config}'),
      f'--config.grpo.steps={args.steps}',
      '--config.warm.steps=2',
      '--config.warm.copy_steps=0',
      '--config.warm.keep_steps=0',
      '--config.opt.warmup=1',
      '--config.checkpoint.every=1',
      f'--config.eval.every={args.steps}',
      '--config.log.progress=False',
    ]
    if args.data:
      command.append(f'--config.data.root={args.data}')
    subprocess.run(
      [sys.executable, *command, f'--workdir={workdir}'], cwd=ROOT, check=True
    )
    lines = [
      json.loads(line)
      for line in (pathlib.Path(workdir) / 'metrics.jsonl').open()
    ]
  steps = [line for line in lines if line['phase'] == 'grpo'][1:]
  phases = sorted(
    {key for line in steps for key in line if key.startswith('time/')}
  )
  seconds = {
    key.removeprefix('time/'): statistics.median(
      line.get(key, 0.0) for line in steps
    )
    for key in phases
  }
  total = sum(v for k, v in seconds.items() if k not in NO_PART)
  other = sum(v for k, v in seconds.items() if k not in (*MAIN, *NO_PART))
  figure = {
    'name': 'step/other',
    'value': other / total,
    'unit': 'share of the step',
    'peer': 'most that is wanted',
    'peer_value': MOST,
    'ratio': MOST / (other / total),
    'runs': len(steps),
    'seconds': seconds,
    'commit': _git('rev-parse', '--short', 'HEAD')
    + ('+changes' if _git('status', '--short', '-uno') else ''),
    'machine': f'{os.cpu_count()} CPU cores, {platform.machine()}',
    'date': f'{datetime.date.today()}',
    'command': f'python experiments/bench_step/run.py --config={args.config} '
    f'--steps={args.steps}',
  }
  print(json.dumps(figure, indent=2))
  if not args.dry:
    with RESULTS.open('a', encoding='utf-8') as file:
      file.write(json.dumps(figure) + '\n')


def _git(*arguments: str) -> str:
  return subprocess.check_output(
    ['git', '-C', str(ROOT), *arguments], text=True
  ).strip()


if __name__ == '__main__':
  main()
