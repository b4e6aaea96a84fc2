"""One line per figure in results.jsonl, and the machine that it is from.

python -m experiments.bench_readers.results   # puts the table into README.md
"""

import json
import pathlib
import shlex
import statistics
import sys

from mem_alpha import provenance

_MARK = '<!-- table: python -m experiments.bench_readers.results -->\n'
_RUN = ('python', '-m', 'experiments.bench_readers.run')
PATH = pathlib.Path(__file__).with_name('results.jsonl')


def add(
  name: str,
  unit: str,
  pairs: list[tuple[float, float]],
  *,
  peer: str,
  larger_is_better: bool,
  write: bool,
  **more,
) -> None:
  """Appends the medians of (ours, peer's) figures and of their ratios."""
  ratios = [
    ours / theirs if larger_is_better else theirs / ours
    for ours, theirs in pairs
  ]
  made = provenance.describe()
  line = dict(
    name=name,
    value=_round(statistics.median(ours for ours, _ in pairs)),
    unit=unit,
    peer=peer,
    peer_value=_round(statistics.median(theirs for _, theirs in pairs)),
    ratio=_round(statistics.median(ratios)),
    runs=len(pairs),
    commit=made['commit'],
    machine=f'{made["machine"]}, {made["devices"]}',
    command=shlex.join([*_RUN, *sys.argv[1:]]),
    **more,
  )
  print(json.dumps(line))
  if write:
    with PATH.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


def _round(value: float) -> float:
  return float(f'{value:.4g}')


def table() -> str:
  """The newest line of every figure, as Markdown."""
  lines = PATH.read_text(encoding='utf-8').splitlines()
  newest = {line['name']: line for line in map(json.loads, lines)}
  columns = ('name', 'value', 'unit', 'peer', 'peer_value', 'ratio', 'runs')
  columns += ('commit', 'machine')
  rows = [columns, ['---'] * len(columns)]
  rows += [[str(line[c]) for c in columns] for line in newest.values()]
  return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def main():
  readme = PATH.with_name('README.md')
  before, mark, _ = readme.read_text(encoding='utf-8').partition(_MARK)
  readme.write_text(f'{before}{mark}\n{table()}', encoding='utf-8')


if __name__ == '__main__':
  main()
