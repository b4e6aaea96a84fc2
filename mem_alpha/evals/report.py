"""report.html: what a run learnt, in one file that needs nothing else.

The result table with intervals, where points are lost with examples of each,
curves from metrics.jsonl, and one interaction chunk by chunk: what was read,
what was answered, what became of each call, and what the memory then said.
Every text of the run is escaped.
"""

import html
import os
from collections.abc import Mapping, Sequence

from mem_alpha import files
from mem_alpha.evals import report_parts
from mem_alpha.evals import summary
from mem_alpha.evals import svg

# Title of a chart, and label -> key in metrics.jsonl of each of its lines.
CHARTS = (
  (
    'Reward and its parts',
    {
      'total': 'reward/total',
      'answers': 'reward/answer',
      'calls': 'reward/calls',
      'compression': 'reward/compression',
      'content': 'reward/content',
    },
  ),
  ('Evidence credit of a turn', {'credit': 'reward/evidence'}),
  ('Share of valid calls', {'valid': 'valid_calls'}),
  ('Fidelity', {'grounded entries': 'fidelity'}),
  ('Memory tokens', {'tokens': 'memory_tokens'}),
  (
    'Sampler against trainer: gap of log-probabilities',
    {'mean': 'gap/mean', 'largest': 'gap/max'},
  ),
)

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;
max-width:60rem;margin:auto;padding:1rem}
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #8886}
th{vertical-align:bottom}
th:first-child,td:first-child{text-align:left;white-space:nowrap;
position:sticky;left:0;background:Canvas}
.charts{display:grid;gap:1rem;
grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr))}
figure{margin:0}figcaption{font-weight:600}
svg{width:100%;height:auto}
svg text{font:10px system-ui,sans-serif;fill:currentColor}
svg polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}
.grid{stroke:#8884}.interval{stroke:currentColor;fill:none}
.legend span{margin-right:1rem;white-space:nowrap;font-size:.85rem}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.35em}
pre,li code{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
pre{background:#8881;padding:.6rem;border-radius:.4rem;margin:.3rem 0}
h4{margin:.8rem 0 .2rem}
details{border-top:1px solid #8886;padding:.5rem 0}
summary{cursor:pointer;font-weight:600}
.ok{color:#009e73}.failed{color:#d55e00}
"""


def write(
  path: str | os.PathLike,
  *,
  title: str,
  table_rows: Mapping[str, Mapping[str, float]],
  metrics: Sequence[Mapping[str, float]],
  trajectory: Sequence[Mapping[str, object]] | None,
  facts: Mapping[str, Mapping] = {},
  predictions: Mapping[str, Sequence[Mapping[str, object]]] = {},
) -> None:
  """Writes the report; `facts` are those of results.py, `predictions` by
  system those of collect.py.

  Without metrics, or with None for `trajectory`, their sections are left out.
  An item of `trajectory` is {'chunk': int, 'text': str, 'response': str,
  'calls': [{'call': str, 'status': str}], 'memory': [str]}.
  """
  heading = html.escape(title)
  figures = [
    svg.line_chart(name, {k: _points(metrics, v) for k, v in lines.items()})
    for name, lines in CHARTS
  ]
  curves = f'<div class="charts">{"".join(figures)}</div>'
  curves = f'<h2>Training, by step</h2>{curves}' if metrics else ''
  files.write_text(
    path,
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1">'
    f'<title>{heading}</title><style>{_STYLE}</style></head><body>'
    f'<h1>{heading}</h1>'
    f'<h2>Results</h2>{_table(table_rows)}'
    f'{report_parts.of(facts, predictions)}'
    f'{curves}{"" if trajectory is None else _interaction(trajectory)}'
    '</body></html>\n',
  )


def _interaction(trajectory: Sequence[Mapping[str, object]]) -> str:
  turns = ''.join(map(_turn, trajectory)) or '<p>None was recorded.</p>'
  return f'<h2>One interaction, chunk by chunk</h2>{turns}'


def _points(metrics: Sequence[Mapping[str, float]], key: str) -> svg.Points:
  """(step, value) of the lines that have the key; null in JSON is NaN."""
  return [
    (line['step'], float('nan') if line[key] is None else line[key])
    for line in metrics
    if key in line and 'step' in line
  ]


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
  names = summary.columns(rows)
  lines = [
    [system.replace('_', ' ')]
    + [summary.cell(name, row.get(name)) for name in names]
    for system, row in rows.items()
  ]
  heads = ['', *(name.replace('_', ' ') for name in names)]
  return report_parts.table(heads, lines)


def _turn(item: Mapping[str, object]) -> str:
  """One chunk, folded away but for the first."""
  calls = ''.join(
    f'<li><code>{html.escape(call["call"])}</code> '
    f'<b class="{"ok" if call["status"] == "OK" else "failed"}">'
    f'{html.escape(call["status"])}</b></li>'
    for call in item['calls']
  )
  memory = ''.join(f'<li>{html.escape(entry)}</li>' for entry in item['memory'])
  good = sum(call['status'] == 'OK' for call in item['calls'])
  return (
    f'<details{"" if item["chunk"] else " open"}>'
    f'<summary>Chunk {item["chunk"]}: {good} of {len(item["calls"])} calls '
    f'accepted, {len(item["memory"])} in memory</summary>'
    f'<h4>Text</h4><pre>{html.escape(item["text"])}</pre>'
    f'<h4>Response</h4><pre>{html.escape(item["response"])}</pre>'
    f'<h4>Calls</h4><ol>{calls or "<li>none</li>"}</ol>'
    f'<h4>Memory afterwards</h4><ul>{memory or "<li>empty</li>"}</ul>'
    '</details>'
  )
