"""What each part of the memory adds, from evaluated runs.

python -m experiments.components.collect runs/s0 runs/s1 …
"""

from experiments import evaluations
from experiments.components import run
from mem_alpha.data import synthetic

NAMES = ('all_parts', *(f'no_{part}' for part in run.PARTS))


def figures(workdirs: list[str]) -> list[dict]:
  """One row per run, part and system, as in figures.csv."""
  rows = []
  for workdir in workdirs:
    for name in NAMES:
      summary = evaluations.load(workdir, name)
      for system in run.SYSTEMS:
        figure = summary['intervals'][system]['mean']
        rows.append(
          dict(run=summary['run'], seed=summary['seed'], parts=name)
          | dict(system=system)
          | {kind: summary[system][kind] for kind in synthetic.KINDS}
          | dict(mean=figure['value'], low=figure['low'], high=figure['high'])
          | dict(memory_tokens=summary[system]['memory_tokens'])
          # Null where nothing was called.
          | dict(valid_calls=summary[system]['valid_calls'] or 0.0)
          | dict(instances=summary['test_instances'], **summary['made'])
        )
  return rows


def readme(rows: list[dict]) -> str:
  names = (*synthetic.KINDS, 'mean', 'memory_tokens', 'valid_calls')
  table = []
  for system in run.SYSTEMS:
    for name in NAMES:
      own = [r for r in rows if (r['system'], r['parts']) == (system, name)]
      cells = [sum(r[n] for r in own) / len(own) for n in names]
      table.append([system, name, *(f'{cell:.3f}' for cell in cells)])
  runs = dict.fromkeys(row['run'] for row in rows)
  return (
    '# Parts of the memory switched off, embedded tier\n\n'
    f'Made by `collect.py` from {", ".join(runs)}, {rows[0]["instances"]} '
    'held-out instances each; means over runs, intervals of each run in '
    '`figures.csv`. Switched off when evaluated, not when trained: the agents '
    'were trained with all parts and have not learnt to do without one.\n\n'
    f'{evaluations.markdown(["", "", *names], table)}'
  )


def results(workdirs: list[str]) -> dict:
  rows = figures(workdirs)
  return {'readme': readme(rows), 'rows': rows}


if __name__ == '__main__':
  evaluations.collect(__file__, results)
