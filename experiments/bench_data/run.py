"""Times the building and feeding of data; appends figures to results.jsonl.

python -m third_party.fetch qwen3-tokenizer models/qwen3-tokenizer
MEM_ALPHA_DATA=../shared/data python -m experiments.bench_data.run \\
    --out=runs/data --metrics=runs/embedded/metrics.jsonl

1. Every config of configs/data/ whose raw files are there, two at a time on two
   cores: seconds until the last is done, and memory.
2. One instance of 512k tokens from each of several sources.
3. Drawing the batch of a training step from the prepared files, against the
   step time of a finished run (its metrics.jsonl); left out without one.

The prepared data stays in --out: experiments/data_statistics reads it.
"""

import argparse
import json
import pathlib
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from concurrent import futures

from mem_alpha import provenance
from mem_alpha import text
from mem_alpha.data import iterator
from mem_alpha.data import schema

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
VARIANTS = ('nlu:benchmark', 'trec_coarse:benchmark')
NOT_BUILT = {'__init__', 'mix', 'variants'}
LONG = ('squad', 'hotpotqa', 'trec_coarse', 'booksum', 'locomo')
LONG_TOKENS = 512_000
JOBS = 2  # configs that are prepared at a time
LIMITS = {'seconds': 300, 'gb': 2, 'long': 30, 'share': 0.01}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--out', type=pathlib.Path, default='runs/data')
  parser.add_argument('--tokenizer', default='models/qwen3-tokenizer')
  parser.add_argument('--metrics', type=pathlib.Path)
  parser.add_argument('--only', nargs='*', help='configs, in place of all')
  arguments = parser.parse_args()
  build_all(arguments)
  if not arguments.only:
    build_long(arguments)
  if arguments.metrics:
    feed(arguments)


def build_all(arguments) -> None:
  """Prepares every config; those without raw files are named."""
  names = sorted(
    path.stem
    for path in (ROOT / 'configs' / 'data').glob('*.py')
    if path.stem not in NOT_BUILT
  )
  chosen, built, absent = arguments.only or [*names, *VARIANTS], [], []
  started = time.perf_counter()
  with futures.ThreadPoolExecutor(JOBS) as pool:
    runs = pool.map(
      lambda name: prepare(
        arguments, name, arguments.out / name.replace(':', '_')
      ),
      chosen,
    )
    for name, (seconds, done) in zip(chosen, runs):
      if done.returncode == 0:
        built.append(name)
        print(f'{name}: {seconds:.1f} s\n{done.stdout}', flush=True)
      elif re.search(r'is not (at|in) ', done.stderr):
        absent.append(name)
      else:
        sys.exit(f'{name} failed:\n{done.stderr}')
  total = time.perf_counter() - started
  print('No raw files for', ', '.join(absent) or 'none')
  if arguments.only:
    return
  # The largest process, as many times as there may be at once.
  peak = JOBS * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
  note = {'built': built, 'absent': absent}
  record('data/build_all', total, 's', LIMITS['seconds'], note)
  record('data/build_all_peak', peak, 'GB', LIMITS['gb'], note)


def build_long(arguments) -> None:
  """The slowest of several instances of 512k tokens."""
  slowest, note = 0.0, {}
  for name in LONG:
    seconds, done = prepare(
      arguments,
      name,
      arguments.out / f'long_{name}',
      f'--config.data.tokens={LONG_TOKENS}',
      '--config.data.chunk_tokens=2048',
      '--config.data.min_questions=1',
      '--config.prepare.train=1',
      '--config.prepare.validation=0',
      '--config.prepare.test=0',
      '--config.prepare.against=()',
    )
    if done.returncode:
      sys.exit(f'{name} failed:\n{done.stderr}')
    report = arguments.out / f'long_{name}' / 'report.json'
    rows = json.loads(report.read_text(encoding='utf-8'))['sources']
    note[name] = {
      'seconds': round(seconds, 2),
      'tokens': rows[f'{name}/train']['tokens'],
    }
    print(name, note[name], flush=True)
    slowest = max(slowest, seconds)
  record('data/512k_instance', slowest, 's', LIMITS['long'], note)


def feed(arguments) -> None:
  """Seconds of drawing a batch as a share of a training step."""
  files = sorted(arguments.out.glob('*/train.parquet'))
  train = [i for path in files for i in schema.read(path)]
  tokenizer = text.load(arguments.tokenizer)
  lengths = [sum(len(tokenizer.encode(c)) for c in i.chunks) for i in train]
  data = iterator.Iterator(
    train,
    0,
    weights={train[0].source: 1.5},
    lengths=lengths,
    curriculum=1,
    question_share=0.5,
  )
  seconds = []
  for step in range(200):
    started = time.perf_counter()
    data.batch(8 * step, 8)
    seconds.append(time.perf_counter() - started)
  steps = [
    sum(row.get(f'time/{phase}', 0.0) for phase in ('rollout', 'update'))
    for row in map(json.loads, arguments.metrics.read_text().splitlines())
    if row.get('phase') == 'grpo'
  ]
  share = statistics.fmean(seconds) / statistics.median(steps)
  note = {
    'instances': len(train),
    'step_seconds': round(statistics.median(steps), 4),
    'batch_seconds': round(statistics.fmean(seconds), 6),
  }
  record('data/feed', share, 'share of a step', LIMITS['share'], note)


def prepare(arguments, name: str, workdir: pathlib.Path, *more: str):
  """Runs --mode=prepare in a process of its own."""
  config, _, variant = name.partition(':')
  command = [
    sys.executable,
    '-m',
    'mem_alpha.main',
    '--mode=prepare',
    f'--config=configs/data/{config}.py{":" * bool(variant)}{variant}',
    f'--workdir={workdir.resolve()}',
    f'--config.prepare.tokenizer={pathlib.Path(arguments.tokenizer).resolve()}',
    *more,
  ]
  started = time.perf_counter()
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
  return time.perf_counter() - started, done


def record(name, value, unit, limit, note) -> None:
  """One line per figure; the peer is the limit that was set."""
  what = provenance.describe()
  line = {
    'name': name,
    'value': round(value, 6),
    'unit': unit,
    'peer': 'limit',
    'peer_value': limit,
    'ratio': round(limit / value, 3),
    'runs': 1,
    'commit': what['commit'],
    'machine': f'{what["machine"]}, Python {platform.python_version()}',
    'command': 'python -m experiments.bench_data.run '
    + ' '.join(a for a in sys.argv[1:] if not a.startswith('--out')),
    'note': note,
  }
  print(json.dumps(line))
  with (HERE / 'results.jsonl').open('a', encoding='utf-8') as file:
    file.write(json.dumps(line) + '\n')


if __name__ == '__main__':
  main()
