"""Published figures beside ours: as printed, and the mean of their cells."""

import json
import pathlib

from experiments import evaluations

_PATH = pathlib.Path(__file__).with_name('published.json')


def table(name: str) -> str:
  """A published table as Markdown, with both averages."""
  published = json.loads(_PATH.read_text())
  found = published[name]
  rows = [
    [
      label,
      *(f'{cell:.3f}' for cell in row['cells']),
      f'{row["printed"]:.3f}',
      f'{sum(row["cells"]) / len(row["cells"]):.3f}',
      row['memory'],
    ]
    for label, row in found['rows'].items()
  ]
  averages = 'average as printed', 'mean of the cells', 'memory tokens'
  heads = ['published', *found['columns'], *averages]
  return f'{published["source"]}.\n\n{evaluations.markdown(heads, rows)}'
