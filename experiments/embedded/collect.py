"""Copies finished runs into results/ and checks them against the issue's bar.

python experiments/embedded/collect.py [--alone] NAME=WORKDIR [NAME=WORKDIR …]

`--alone` says that the runs named in this call had the machine to themselves;
of others the wall time is no measurement, and is not checked.

Writes results/NAME.json, the run's summary with the commit and machine of its
start, and results/README.md, the table of all of them. Nothing is typed in.
"""

import json
import pathlib
import sys

from mem_alpha.data import synthetic

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / 'results'
COLUMNS = (*synthetic.KINDS, 'mean', 'valid_calls', 'fidelity', 'memory_tokens')


def checks(summary: dict) -> dict[str, bool]:
  """The bar of the embedded tier, point by point."""
  grpo, warm = summary['grpo'], summary['warm_start']
  scripted, perfect = summary['scripted'], summary['perfect']
  least = min(warm['memory_tokens'], scripted['memory_tokens'])
  return {
    'GRPO - warm start >= 0.10': grpo['mean'] - warm['mean'] >= 0.10,
    'GRPO - scripted >= 0.10': grpo['mean'] - scripted['mean'] >= 0.10,
    'GRPO tokens <= warm, scripted': grpo['memory_tokens'] <= least,
    'fidelity >= warm - 0.02': grpo['fidelity'] >= warm['fidelity'] - 0.02,
    'warm >= 90 % of scripted': warm['mean'] >= 0.9 * scripted['mean'],
    'warm valid calls >= 0.95': warm['valid_calls'] >= 0.95,
    'no kind falls by more than 0.03': all(
      grpo[kind] >= warm[kind] - 0.03 for kind in synthetic.KINDS
    ),
    'scripted <= 1.5 x perfect tokens': (
      perfect['memory_tokens']
      < scripted['memory_tokens']
      <= 1.5 * perfect['memory_tokens']
    ),
  } | (
    {'finished within 10 minutes': summary['seconds'] <= 600}
    if summary['alone']
    else {}
  )


def controls(runs: dict[str, dict]) -> dict[str, bool | None]:
  """What the two control runs must show, each against seed 0; None: not run."""
  seed, longer = runs.get('seed_0'), runs.get('control_warm_longer')
  shuffled = runs.get('control_shuffled')
  found: dict[str, bool | None] = {}
  if seed and longer:
    gain = seed['grpo']['mean'] - longer['warm_start']['mean']
    claim = f'GRPO - warm start continued for as long: {gain:.3f} >= 0.07'
    found[claim] = gain >= 0.07
  else:
    found['GRPO - warm start continued for as long >= 0.07'] = None
  if shuffled:
    gain = shuffled['grpo']['mean'] - shuffled['warm_start']['mean']
    found[f'gain with shuffled advantages: {gain:.3f} < 0.03'] = gain < 0.03
  else:
    found['gain with shuffled advantages < 0.03'] = None
  return found


def main(arguments: list[str]) -> None:
  RESULTS.mkdir(exist_ok=True)
  alone = '--alone' in arguments
  arguments = [a for a in arguments if a != '--alone']
  for argument in arguments:
    name, _, workdir = argument.partition('=')
    path = pathlib.Path(workdir) / 'summary.json'
    if not workdir or not path.is_file():
      sys.exit(f'{argument!r} names no finished run: write NAME=WORKDIR.')
    summary = json.loads(path.read_text())
    made = json.loads((path.parent / 'provenance.json').read_text())
    for key in ('commit', 'machine', 'jax'):
      summary[key] = made[key]
    summary['command'] = _command(made['command'])
    summary['alone'] = alone
    text = json.dumps(summary, indent=2) + '\n'
    (RESULTS / f'{name}.json').write_text(text)
  (RESULTS / 'README.md').write_text(table())


def table() -> str:
  """All results, one section per run."""
  lines = ['# Results of the embedded tier', '', 'Made by `collect.py`.']
  runs = {p.stem: json.loads(p.read_text()) for p in RESULTS.glob('*.json')}
  lines += ['', '## Controls', '', *_marked(controls(runs))]
  for name, summary in sorted(runs.items()):
    lines += [
      '',
      f'## {name}',
      '',
      f'`{summary["command"]}`, commit {summary["commit"]}, '
      f'{summary["machine"]}, {summary["seconds"]:.0f} s'
      f'{"" if summary["alone"] else " beside other jobs"}, '
      f'{summary["test_instances"]} instances, '
      f'{summary["test_questions"]} questions.',
      '',
      '| system | ' + ' | '.join(COLUMNS) + ' |',
      '|---' * (len(COLUMNS) + 1) + '|',
    ]
    for system, row in summary.items():
      if isinstance(row, dict) and 'memory_tokens' in row:
        cells = [_cell(row.get(column)) for column in COLUMNS]
        lines.append(f'| {system} | ' + ' | '.join(cells) + ' |')
    lines.append('')
    for claim, estimate in summary['comparisons'].items():
      lines.append(
        f'- {claim}: {estimate["value"]:.3f} '
        f'[{estimate["low"]:.3f}, {estimate["high"]:.3f}]'
      )
    lines.append('')
    if name.startswith('seed_'):
      lines += _marked(checks(summary))
  return '\n'.join(lines) + '\n'


def _marked(claims: dict[str, bool | None]) -> list[str]:
  words = {True: 'met', False: '**NOT met**', None: '**not run**'}
  return [f'- {words[met]}: {claim}' for claim, met in claims.items()]


def _command(typed: str) -> str:
  """What was typed, without the flags that say where and how to report."""
  passed = ('--workdir=', '--config.log.')
  return ' '.join(w for w in typed.split() if not w.startswith(passed))


def _cell(value) -> str:
  return '-' if value is None else f'{value:.3f}'


if __name__ == '__main__':
  main(sys.argv[1:])
