"""Measures the memory engine; appends one line per figure to results.jsonl.

python -m experiments.bench_memory.run

`--runs` sets how often the fast ways are timed, `--only` picks some of
retrieval, turns and density. Density needs MEM_ALPHA_DATA and the files of the
Qwen3 tokenizer in `--tokenizer`; bm25s comes with mem_alpha[bench].
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

from mem_alpha import text

PARTS = ('retrieval', 'turns', 'density')
RESULTS = pathlib.Path(__file__).with_name('results.jsonl')


def main() -> None:
  parser = argparse.ArgumentParser()
  parser.add_argument('--runs', type=int, default=15)
  parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS)
  parser.add_argument('--tokenizer', default='models/qwen3-tokenizer')
  parser.add_argument('--dry', action='store_true', help='print, do not write')
  args = parser.parse_args()
  figures = []
  for part in args.only:
    made = {'retrieval': _retrieval, 'turns': _turns, 'density': _density}
    figures += made[part](args)
  about = {
    'date': f'{datetime.date.today()}',
    'commit': _commit(),
    'machine': _machine(),
    'command': 'python -m experiments.bench_memory.run '
    + ' '.join(sys.argv[1:]),
  }
  lines = [json.dumps(figure | about) for figure in figures]
  print('\n'.join(lines))
  if not args.dry:
    with RESULTS.open('a', encoding='utf-8') as file:
      file.write(''.join(line + '\n' for line in lines))


def _figure(name, value, unit, peer, peer_value, runs, *, lower=True, **more):
  ratio = peer_value / value if lower else value / peer_value
  return {
    'name': name,
    'value': value,
    'unit': unit,
    'peer': peer,
    'peer_value': peer_value,
    'ratio': ratio,
    'runs': runs,
    **more,
  }


def _retrieval(args) -> list[dict]:
  from experiments.bench_memory import retrieval

  figures = []
  slow = retrieval.published(runs=max(1, args.runs // 5))
  for pool in (131_072, 32_768):
    found = retrieval.measure(pool, runs=args.runs)
    more = {'pool': pool, 'all': found}
    for name, ours in (('', 'ours'), ('_reference', 'ours_reference')):
      figures += [
        _figure(
          f'retrieval/published{name}', found[ours], 's', 'rank_bm25 anew per '
          'question', slow, args.runs, **more,
        ),
        _figure(
          f'retrieval/bm25s{name}', found[ours], 's', 'bm25s index + query',
          found['bm25s'], args.runs, **more,
        ),
      ]  # fmt: skip
  return figures


def _turns(args) -> list[dict]:
  from experiments.bench_memory import turns

  times = turns.measure(runs=max(20, args.runs))
  size = turns.compiled_bytes()
  return [
    _figure(
      'apply_turn/capacity', times[turns.LARGE], 's',
      f'the same at {turns.SMALL} tokens', times[turns.SMALL],
      max(20, args.runs), pool=turns.LARGE,
    ),
    _figure(
      'apply_turn/temporary', size['temporary'], 'bytes', 'bytes of the pools',
      size['pools'], 1,
    ),
    _figure(
      'apply_turn/aliased', size['aliased'], 'bytes', 'bytes of the memories',
      size['memories'], 1, lower=False,
    ),
  ]  # fmt: skip


def _density(args) -> list[dict]:
  from experiments.bench_memory import density

  if 'MEM_ALPHA_DATA' not in os.environ:
    raise SystemExit('density needs the replay data: set MEM_ALPHA_DATA.')
  found = density.measure(text.load(args.tokenizer))
  return [
    _figure(
      'state/bytes_500k', found['ours'], 'bytes', 'a dense table',
      found['dense'], 1, all=found,
    )
  ]  # fmt: skip


def _commit() -> str:
  git = ['git', '-C', str(RESULTS.parent)]
  head = subprocess.check_output(
    [*git, 'rev-parse', '--short', 'HEAD'], text=True
  )
  status = subprocess.check_output(
    [*git, 'status', '--short', '-uno'], text=True
  )
  return head.strip() + ('+changes' if status.strip() else '')


def _machine() -> str:
  names = {'x86_64': 'x86-64'}
  kind = names.get(platform.machine(), platform.machine())
  return f'{os.cpu_count()} CPU cores, {kind}, {platform.system()}'


if __name__ == '__main__':
  main()
