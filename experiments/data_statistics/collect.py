"""Statistics of prepared data beside the published ones: a table and a plot.

python -m experiments.data_statistics.collect runs/data

Reads the report.json files that --mode=prepare left below a folder
(experiments/bench_data makes them all) and writes results/statistics.json,
results/statistics.txt and results/statistics.svg.
"""

import argparse
import html
import json
import math
import pathlib

from mem_alpha import files
from mem_alpha.data import statistics

RESULTS = pathlib.Path(__file__).parent / 'results'
PANELS = (
  ('tokens per chunk', 'tokens_per_chunk', 1),
  ('chunks per instance', 'chunks', 2),
  ('questions per instance', 'questions', 3),
)
OURS, PUBLISHED = '#0072b2', '#e69f00'
LEFT, WIDTH, ROW = 190, 190, 26


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('folder', type=pathlib.Path)
  rows, left_out = collect(parser.parse_args().folder)
  figures = {'sources': rows, 'rows': left_out}
  text = json.dumps(figures, indent=1, sort_keys=True) + '\n'
  files.write_text(RESULTS / 'statistics.json', text)
  files.write_text(RESULTS / 'statistics.txt', statistics.table(rows) + '\n')
  files.write_text(RESULTS / 'statistics.svg', plot(rows))
  print(statistics.table(rows))


def collect(folder: pathlib.Path):
  """Figures by `source/split`; rows left out or changed by source and reason.

  A benchmark variant replaces the figures of the same split. Instances of a
  length that was set by hand (`long_*`) are no part of the table.
  """
  rows, left_out = {}, {}
  for path in sorted(folder.glob('*/report.json')):
    if not path.parent.name.startswith('long_'):
      report = json.loads(path.read_text(encoding='utf-8'))
      rows |= report['sources']
      left_out |= report['rows']
  if not rows:
    raise SystemExit(f'{folder} holds no */report.json: run bench_data first.')
  return dict(sorted(rows.items())), dict(sorted(left_out.items()))


def plot(rows) -> str:
  """Bars of ours over the published, on a logarithmic scale, as one SVG."""
  height = 60 + ROW * len(rows)
  parts = []
  for panel, (title, column, index) in enumerate(PANELS):
    x = LEFT + panel * (WIDTH + 20)
    known = [p[index] for p in statistics.PUBLISHED.values()]
    top = math.log10(max(known + [row[column] for row in rows.values()])) + 0.1
    parts.append(f'<text x="{x}" y="38" font-weight="bold">{title}</text>')
    for place, (name, row) in enumerate(rows.items()):
      y = 48 + ROW * place
      published = statistics.PUBLISHED.get(tuple(name.split('/')))
      if panel == 0:
        label = html.escape(name)
        parts.append(
          f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{label}</text>'
        )
      parts += bar(x, y, row[column], top, OURS)
      if published:
        parts += bar(x, y + 10, published[index], top, PUBLISHED)
  total = LEFT + len(PANELS) * (WIDTH + 20)
  return (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" '
    'font-family="sans-serif" font-size="11">'
    f'<rect width="{total}" height="{height}" fill="white"/>'
    f'<text x="{LEFT}" y="16" fill="{OURS}">built here</text>'
    f'<text x="{LEFT + 90}" y="16" fill="#b37700">published</text>'
    f'{"".join(parts)}</svg>\n'
  )


def bar(x: int, y: int, value: float, top: float, colour: str) -> list[str]:
  """One bar with its figure; 1 has no length on a logarithmic scale."""
  length = max(1.0, math.log10(max(value, 1)) / top * (WIDTH - 45))
  return [
    f'<rect x="{x}" y="{y}" width="{length:.1f}" height="9" fill="{colour}"/>',
    f'<text x="{x + length + 4:.1f}" y="{y + 8}" font-size="9">'
    f'{value:g}</text>',
  ]


if __name__ == '__main__':
  main()
