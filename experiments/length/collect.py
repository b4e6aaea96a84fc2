"""From evaluations at several lengths to a table, a CSV and a curve.

python experiments/length/collect.py runs/s0 runs/s1

Reads WORKDIR/eval/length_x*/summary.json and writes results/README.md,
results/length.csv and results/length.svg. Nothing is typed in.
"""

import csv
import json
import pathlib
import re
import sys

from mem_alpha.evals import svg

RESULTS = pathlib.Path(__file__).parent / 'results'
COLUMNS = (
  'run',
  'times',
  'system',
  'mean',
  'low',
  'high',
  'memory_tokens',
  'instances',
  'questions',
  'commit',
  'machine',
)


def rows(workdir: pathlib.Path) -> list[dict]:
  """One row per length and system of a run."""
  found = []
  for folder in sorted((workdir / 'eval').glob('length_x*')):
    path = folder / 'summary.json'
    if not path.is_file():
      sys.exit(f'{folder} is not finished: run.py goes on with it.')
    summary = json.loads(path.read_text())
    made = json.loads((folder / 'provenance.json').read_text())
    for system, figures in summary['intervals'].items():
      found.append(
        dict(
          run=workdir.name,
          times=int(re.search(r'\d+$', folder.name)[0]),
          system=system,
          mean=figures['mean']['value'],
          low=figures['mean']['low'],
          high=figures['mean']['high'],
          memory_tokens=figures['memory_tokens']['value'],
          instances=summary['test_instances'],
          questions=summary['test_questions'],
          commit=made['commit'],
          machine=made['machine'],
        )
      )
  if not found:
    sys.exit(f'{workdir} was not evaluated by run.py yet.')
  return found


def table(found: list[dict]) -> str:
  """Means over the runs at each length, and GRPO's share of its own 1x."""
  times = sorted({row['times'] for row in found})
  runs = sorted({row['run'] for row in found})
  lines = [
    '# Length generalisation',
    '',
    f'Made by `collect.py` from {", ".join(runs)}: mean of the question kinds, '
    'averaged over runs; in brackets memory tokens. Intervals of each run are '
    'in `length.csv`.',
    '',
    '| system | ' + ' | '.join(f'{t}x' for t in times) + ' |',
    '|---' * (len(times) + 1) + '|',
  ]
  for system in dict.fromkeys(row['system'] for row in found):
    cells = []
    for t in times:
      mean, tokens = averages(found, system, t)
      cells.append(f'{mean:.3f} ({tokens:.0f})')
    lines.append(f'| {system} | ' + ' | '.join(cells) + ' |')
  if {1, 16} <= set(times):
    ratio = averages(found, 'grpo', 16)[0] / averages(found, 'grpo', 1)[0]
    met = 'met' if ratio >= 0.9 else 'NOT met'
    lines += ['', f'GRPO at 16x / at 1x: {ratio:.3f}; bar 0.90: {met}.']
  return '\n'.join(lines) + '\n'


def averages(found: list[dict], system: str, times: int):
  """Mean and memory tokens over the runs; every run must have the row."""
  own = [r for r in found if (r['system'], r['times']) == (system, times)]
  if len(own) != len({row['run'] for row in found}):
    sys.exit(
      f'Not every run has {system} at {times}x: evaluate it with run.py.'
    )
  return tuple(
    sum(row[key] for row in own) / len(own) for key in ('mean', 'memory_tokens')
  )


def main(workdirs: list[str]) -> None:
  if not workdirs:
    sys.exit('Name the run directories that run.py evaluated.')
  found = [row for workdir in workdirs for row in rows(pathlib.Path(workdir))]
  text = table(found)
  RESULTS.mkdir(exist_ok=True)
  with (RESULTS / 'length.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(found)
  times = sorted({row['times'] for row in found})
  lines = {
    system: [(t, averages(found, system, t)[0]) for t in times]
    for system in dict.fromkeys(row['system'] for row in found)
  }
  chart = svg.line_chart('Mean score by length (times training)', lines)
  (RESULTS / 'length.svg').write_text(chart + '\n')
  (RESULTS / 'README.md').write_text(text)


if __name__ == '__main__':
  main(sys.argv[1:])
