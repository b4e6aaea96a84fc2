"""The table of the baselines, with paired intervals, from evaluated runs.

python -m experiments.baselines.collect runs/s0 runs/s1 …
"""

from experiments import evaluations
from experiments import published
from experiments.baselines import run
from mem_alpha.data import synthetic
from mem_alpha.evals import svg

LOSSES = ('not_in_text', 'not_stored', 'not_retrieved', 'misread')


def figures(found: list[dict]) -> list[dict]:
  """One row per run and system, as in figures.csv."""
  rows = []
  for summary in found:
    for system in run.SYSTEMS:
      figure = summary['intervals'][system]['mean']
      gain = summary['comparisons'].get(f'grpo_minus_{system}', {})
      rows.append(
        dict(run=summary['run'], seed=summary['seed'], system=system)
        | {kind: summary[system][kind] for kind in synthetic.KINDS}
        | dict(mean=figure['value'], low=figure['low'], high=figure['high'])
        | {
          key: summary[system][key] for key in ('memory_tokens', 'valid_calls')
        }
        | summary['costs'][system]
        | {f'grpo_minus_{k}': gain.get(k) for k in ('value', 'low', 'high')}
        | {f'lost_{n}': summary['losses'][system][n]['points'] for n in LOSSES}
        | dict(instances=summary['test_instances'], **summary['made'])
      )
  return rows


def averages(rows: list[dict]) -> dict[str, dict[str, float]]:
  """Per system, the mean over runs of every figure."""
  names = (
    *synthetic.KINDS,
    'mean',
    'memory_tokens',
    *(f'lost_{n}' for n in LOSSES),
  )
  found = {}
  for system in run.SYSTEMS:
    own = [row for row in rows if row['system'] == system]
    found[system] = {n: sum(r[n] for r in own) / len(own) for n in names}
    three = [
      found[system][kind] for kind in synthetic.KINDS if kind != 'long_range'
    ]
    found[system]['without_long_range'] = sum(three) / len(three)
  return found


def readme(found: list[dict], rows: list[dict]) -> str:
  means = averages(rows)
  names = (*synthetic.KINDS, 'mean', 'without_long_range', 'memory_tokens')
  scores = [
    [system]
    + [f'{m[n]:.1f}' if n == 'memory_tokens' else f'{m[n]:.3f}' for n in names]
    for system, m in means.items()
  ]
  gains = [
    [system]
    + [
      evaluations.interval(summary['comparisons'][f'grpo_minus_{system}'])
      for summary in found
    ]
    for system in run.SYSTEMS
    if system != 'grpo'
  ]
  losses = [
    [system, *(f'{m[f"lost_{n}"]:.3f}' for n in LOSSES)]
    for system, m in means.items()
  ]
  runs = [summary['run'] for summary in found]
  return (
    '# The agent against baselines, embedded tier\n\n'
    f'Made by `collect.py` from {", ".join(runs)}, '
    f'{found[0]["test_instances"]} held-out instances each; means over runs. '
    f'Budgets of {run.BUDGET} tokens. Baselines have no core, and the lexical '
    'reader answers long-range questions from core alone, so the mean is given '
    'without them too. `overwrite` and `state` are written by extraction.\n\n'
    f'{evaluations.markdown(["", *names], scores)}\n'
    'GRPO minus each system, mean of the kinds, paired by instance, per run; '
    'bold where the 95 % interval excludes 0:\n\n'
    f'{evaluations.markdown(["GRPO minus", *runs], gains)}\n'
    'Where points are lost (shares of all points; with the mean over questions '
    'they sum to 1):\n\n'
    f'{evaluations.markdown(["", *LOSSES], losses)}\n'
    '## Published, on other data and at another scale\n\n'
    f'{published.table("table_1")}'
  )


def results(workdirs: list[str]) -> dict:
  found = [evaluations.load(workdir, run.NAME) for workdir in workdirs]
  rows = figures(found)
  bars = {
    system: tuple(
      sum(r[k] for r in rows if r['system'] == system) / len(found)
      for k in ('mean', 'low', 'high')
    )
    for system in run.SYSTEMS
  }
  chart = svg.bar_chart('Mean score; lines: mean interval of a run', bars)
  return {'readme': readme(found, rows), 'rows': rows, 'baselines': chart}


if __name__ == '__main__':
  evaluations.collect(__file__, results)
