"""The table of the ablations, from the runs of run.py.

python -m experiments.ablations.collect WORKDIR
"""

import json
import pathlib
import sys

from experiments import evaluations
from experiments import published
from experiments.ablations import run

SYSTEMS = ('warm_start', 'grpo')


def figures(workdir: pathlib.Path) -> list[dict]:
  """One row per setting, seed and system, as in figures.csv."""
  rows = []
  for name in run.RUNS:
    for folder in sorted((workdir / name).glob('s*')):
      path = folder / 'summary.json'
      if not path.is_file():
        sys.exit(f'{folder} is not finished: run.py goes on with it.')
      summary = json.loads(path.read_text())
      made = json.loads((folder / 'provenance.json').read_text())
      for system in SYSTEMS:
        own = summary['intervals'][system]['mean']
        rows.append(
          dict(setting=name, seed=summary['seed'], system=system)
          | dict(mean=own['value'], low=own['low'], high=own['high'])
          | dict(memory_tokens=summary[system]['memory_tokens'])
          | dict(instances=summary['test_instances'])
          | {key: made[key] for key in ('commit', 'machine')}
        )
  if not rows:
    sys.exit(f'{workdir} holds no run of run.py.')
  return rows


def readme(rows: list[dict]) -> str:
  table = []
  for name in dict.fromkeys(row['setting'] for row in rows):
    cells = []
    for system in SYSTEMS:
      own = [r for r in rows if (r['setting'], r['system']) == (name, system)]
      means = [r['mean'] for r in own]
      tokens = sum(r['memory_tokens'] for r in own) / len(own)
      cells += [
        f'{sum(means) / len(means):.3f} ({min(means):.3f} to {max(means):.3f})',
        f'{tokens:.0f}',
      ]
    table.append([name, str(len(own)), *cells])
  heads = ['setting', 'seeds', 'warm start', 'tokens', 'GRPO', 'tokens']
  return (
    '# Ablations, embedded tier\n\nMade by `collect.py`: mean score over seeds '
    '(least to most), memory tokens. Intervals of each run are in '
    f'`figures.csv`.\n\n{evaluations.markdown(heads, table)}\n'
    '## Published, on other data and at another scale\n\n'
    f'{published.table("table_4")}'
  )


def main(workdir: str) -> None:
  rows = figures(pathlib.Path(workdir))
  results = pathlib.Path(__file__).parent / 'results'
  evaluations.write(results, readme=readme(rows), rows=rows)


if __name__ == '__main__':
  if len(sys.argv) != 2:
    sys.exit('Name the one folder that run.py trained in.')
  main(sys.argv[1])
