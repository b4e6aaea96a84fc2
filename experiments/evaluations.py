"""Evaluations of finished runs, for the experiments that only evaluate.

An experiment is a table of evaluations: eval.name -> settings. Its run.py calls
`launch`, its collect.py reads what that left with `load`. Nothing is typed in.
"""

import argparse
import csv
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

Settings = Mapping[str, object]
FACTS = ('commit', 'machine', 'command')


def launch(
  settings: Callable[[int], Mapping[str, Settings]],
  *,
  about: str,
  test: int = 128,
) -> None:
  """Evaluates the run directories on the command line, one after the other.

  `settings(test)` are the evaluations at a number of test instances. Flags
  behind `--` go to each of them. Started again, it goes on.
  """
  parser = argparse.ArgumentParser(description=about)
  parser.add_argument('workdirs', nargs='+', type=pathlib.Path)
  parser.add_argument('--test', type=int, default=test, help='test instances')
  parser.add_argument('--only', nargs='+', help='names of evaluations')
  own, flags = sys.argv[1:], []
  if '--' in own:
    place = own.index('--')
    own, flags = own[:place], own[place + 1 :]
  given = parser.parse_args(own)
  for workdir in given.workdirs:
    if not (workdir / 'config.json').is_file():
      sys.exit(f'{workdir} is no run: it has no config.json.')
    for name, values in settings(given.test).items():
      if not given.only or name in given.only:
        print(f'{workdir}: {name}', flush=True)
        done = subprocess.run(command(workdir, name, values, flags))
        if done.returncode:
          sys.exit(f'{workdir}: {name} did not finish: start this again.')


def command(
  workdir: pathlib.Path, name: str, values: Settings, flags: Sequence[str]
) -> list[str]:
  """--mode=evaluate of a run under its own seed."""
  seed = json.loads((workdir / 'config.json').read_text())['seed']
  values = {'seed': seed, 'eval.name': name, **values}
  return [
    *(sys.executable, '-m', 'mem_alpha.main', '--mode=evaluate'),
    *('--config=configs/embedded.py', f'--workdir={workdir}'),
    *(f'--config.{key}={value}' for key, value in values.items()),
    *flags,
  ]


def load(workdir: str, name: str) -> dict:
  """The summary of an evaluation, with what made it under `made`."""
  folder = pathlib.Path(workdir) / 'eval' / name
  paths = folder / 'summary.json', folder / 'provenance.json'
  for path in paths:
    if not path.is_file():
      sys.exit(f'{folder} is not finished: run.py goes on with it.')
  summary, made = (json.loads(path.read_text()) for path in paths)
  made = {key: made[key] for key in FACTS if key != 'command'}
  return summary | {'made': made, 'run': pathlib.Path(workdir).name}


def collect(file: str, results: Callable[[list[str]], dict]) -> None:
  """The main of a collect.py: run directories in, results/ beside it out."""
  if len(sys.argv) < 2:
    sys.exit('Name the run directories that run.py evaluated.')
  write(pathlib.Path(file).parent / 'results', **results(sys.argv[1:]))


def interval(figure: Mapping[str, float]) -> str:
  """A difference with its interval; bold where that excludes 0."""
  text = '{value:+.3f} [{low:+.3f}, {high:+.3f}]'.format_map(figure)
  clear = figure['low'] > 0 or figure['high'] < 0
  return f'**{text}**' if clear else text


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [heads, ['---'] * len(heads), *rows]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def write(
  folder: pathlib.Path, *, readme: str, rows: Sequence[Mapping], **charts: str
) -> None:
  """results/ of an experiment: README.md, figures.csv and SVG charts."""
  folder.mkdir(exist_ok=True)
  (folder / 'README.md').write_text(readme)
  with (folder / 'figures.csv').open('w', newline='') as file:
    writer = csv.DictWriter(file, list(rows[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
  for name, chart in charts.items():
    (folder / f'{name}.svg').write_text(chart + '\n')
