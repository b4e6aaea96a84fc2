"""The table and curve of length generalisation, from evaluated runs.

python -m experiments.length.collect runs/s0 runs/s1 …
"""

import math

from experiments import evaluations
from experiments import published
from experiments.length import run
from mem_alpha.evals import svg

BAR = 0.9  # share of the score at 1x that is kept at 16x


def figures(workdirs: list[str]) -> list[dict]:
  """One row per run, evaluation and system, as in figures.csv."""
  rows = []
  for workdir in workdirs:
    for evaluation, times in run.EVALUATIONS.items():
      summary = evaluations.load(workdir, evaluation)
      for system in run.SYSTEMS:
        own = summary['intervals'][system]
        costs = summary['costs'][system]
        rows.append(
          dict(run=summary['run'], seed=summary['seed'], evaluation=evaluation)
          | dict(times=times, system=system, mean=own['mean']['value'])
          | {key: own['mean'][key] for key in ('low', 'high')}
          | dict(memory_tokens=own['memory_tokens']['value'])
          | dict(read_tokens=costs['chunk_tokens'] / summary['test_instances'])
          | dict(instances=summary['test_instances'], **summary['made'])
        )
  return rows


def average(rows: list[dict], system: str, evaluation: str, key: str) -> float:
  wanted = system, evaluation
  own = [r[key] for r in rows if (r['system'], r['evaluation']) == wanted]
  return sum(own) / len(own)


def _kept(rows: list[dict]) -> float:
  """Share of GRPO's score at 1x that it has at 16x."""
  short, long = (average(rows, 'grpo', run.name(t), 'mean') for t in (1, 16))
  return long / short


def readme(rows: list[dict]) -> str:
  table = [
    [system]
    + [
      f'{average(rows, system, name, "mean"):.3f} '
      f'({average(rows, system, name, "memory_tokens"):.0f})'
      for name in map(run.name, run.TIMES)
    ]
    for system in run.SYSTEMS
  ]
  sparse = ', '.join(
    f'{system} {average(rows, system, run.SPARSE, "mean"):.3f}'
    for system in run.SYSTEMS
  )
  runs = dict.fromkeys(row['run'] for row in rows)
  instances = {row['evaluation']: row['instances'] for row in rows}
  kept = []
  for name in runs:
    own = [r for r in rows if r['run'] == name]
    kept.append(f'{name} {_kept(own):.3f}')
  ratio = _kept(rows)
  text, thin = (
    average(rows, 'grpo', name, 'read_tokens')
    for name in (run.name(16), run.SPARSE)
  )
  heads = [f'{t}x, {instances[run.name(t)]} instances' for t in run.TIMES]
  return (
    '# Length generalisation, embedded tier\n\n'
    f'Made by `collect.py` from {", ".join(runs)}, trained at 1x '
    f'({run.TOKENS} tokens). Mean of the kinds of questions, averaged over '
    'runs; in brackets memory tokens. Intervals of each run are in '
    '`figures.csv`.\n\n'
    f'{evaluations.markdown(["", *heads], table)}\n'
    f'GRPO at 16x over GRPO at 1x: {ratio:.3f} ({", ".join(kept)}); bar {BAR}: '
    f'{"met" if ratio >= BAR else "NOT met"}.\n\n'
    f'At 16x with less small talk, {thin:.0f} tokens of text in as many chunks '
    f'in place of {text:.0f}: {sparse}.\n\n'
    '## Published, on other data and at another scale\n\n'
    'Trained at 30k tokens at most, tested up to 474k (about 16 times).\n\n'
    f'{published.table("table_2")}'
  )


def results(workdirs: list[str]) -> dict:
  rows = figures(workdirs)
  lines = {
    system: [
      (math.log2(t), average(rows, system, run.name(t), 'mean'))
      for t in run.TIMES
    ]
    for system in run.SYSTEMS
  }
  chart = svg.line_chart('Mean score by log2(times training length)', lines)
  return {'readme': readme(rows), 'rows': rows, 'length': chart}


if __name__ == '__main__':
  evaluations.collect(__file__, results)
