"""Plans the published run for TPUs that are not here; one JSON line each.

python experiments/plan/run.py

Appends to results.jsonl. `:v5e` and `:v6e` should fit, and eight times the
micro-batch should not. Needs mem_alpha[tpu].
"""

import argparse
import datetime
import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = pathlib.Path(__file__).with_name('results.jsonl')
PLANS = {
  'v5e': ['--config=configs/qwen3_4b.py:v5e'],
  'v6e': ['--config=configs/qwen3_4b.py:v6e'],
  'v5e_rows_x8': [
    '--config=configs/qwen3_4b.py:v5e',
    '--config.batch.rows=64',
  ],
}


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument('--only', nargs='+', choices=PLANS, default=[*PLANS])
  for name in parser.parse_args().only:
    arguments = ['-m', 'mem_alpha.main', '--mode=plan', '--json', *PLANS[name]]
    start = time.perf_counter()
    done = subprocess.run(
      [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    if not done.stdout.startswith('{'):
      sys.exit(f'{name} printed no plan: {done.stdout!r}')
    line = {
      'name': name,
      'seconds': round(time.perf_counter() - start, 1),
      'date': f'{datetime.date.today()}',
      'commit': _commit(),
      'command': 'python ' + ' '.join(arguments),
      **json.loads(done.stdout),
    }
    with RESULTS.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')
    print(name, line['seconds'], 's:', 'fits' if line['fits'] else 'no fit')
    print(' ', line['because'])


def _commit() -> str:
  git = ['git', '-C', str(ROOT)]
  head = subprocess.check_output(
    [*git, 'rev-parse', '--short', 'HEAD'], text=True
  )
  changed = subprocess.check_output(
    [*git, 'status', '--short', '-uno'], text=True
  )
  return head.strip() + ('+changes' if changed.strip() else '')


if __name__ == '__main__':
  main()
