"""Parts of the report that come from an evaluation: bars, gains, losses, costs.

What they show is in results.py; every text is escaped.
"""

import html
import math
from collections.abc import Mapping, Sequence

from mem_alpha.evals import losses as losses_lib
from mem_alpha.evals import svg

_EXAMPLES = 3  # of each class of wrong answers, per system
_KEYS = ('value', 'low', 'high')
_UNITS = ('memory_tokens', 'valid_calls')  # figures that are no score


def of(
  facts: Mapping[str, Mapping],
  predictions: Mapping[str, Sequence[Mapping[str, object]]],
) -> str:
  """All parts, as far as there are facts."""
  if not facts:
    return ''
  return (
    _bars(facts['intervals'])
    + _lengths(facts.get('lengths', {}))
    + _gains(facts['comparisons'])
    + _losses(facts['losses'], predictions)
    + _costs(facts['costs'])
  )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table that scrolls sideways on a phone."""
  lines = [_line('th', heads), *(_line('td', row) for row in rows)]
  return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _line(tag: str, cells: Sequence[str]) -> str:
  inner = ''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)
  return f'<tr>{inner}</tr>'


def _plain(name: str) -> str:
  return name.replace('_', ' ')


def _bars(intervals: Mapping[str, Mapping[str, Mapping]]) -> str:
  """A chart for the mean, and one for each kind and source."""
  names = dict.fromkeys(name for own in intervals.values() for name in own)
  charts = [
    svg.bar_chart(
      _plain(name),
      {
        _plain(system): tuple(_number(own[name][k]) for k in _KEYS)
        for system, own in intervals.items()
        if name in own
      },
    )
    for name in names
    if name not in _UNITS
  ]
  return (
    '<p>Bars: means; lines: 95 % bootstrap intervals over instances.</p>'
    f'<div class="charts">{"".join(charts)}</div>'
  )


def _lengths(lengths: Mapping[str, Sequence[Sequence[float]]]) -> str:
  """Mean score by the length of what was read, where lengths differ."""
  if not lengths:
    return ''
  lines = {_plain(system): points for system, points in lengths.items()}
  chart = svg.line_chart('Mean score by tokens read (log2)', lines)
  return f'<h2>By length</h2><div class="charts">{chart}</div>'


def _gains(comparisons: Mapping[str, Mapping]) -> str:
  """Paired differences; `better` only where the interval excludes 0."""
  if not comparisons:
    return ''
  rows = [
    [
      _plain(name),
      *(_cell(gain[key]) for key in _KEYS),
      _verdict(gain),
      str(gain['left_out_instances']),
    ]
    for name, gain in comparisons.items()
  ]
  heads = ['paired difference', 'mean', 'low', 'high', 'shows', 'left out']
  return (
    '<h2>Who is better</h2><p>On the same instances and questions, with 95 % '
    f'bootstrap intervals over instances.</p>{table(heads, rows)}'
  )


def _verdict(gain: Mapping) -> str:
  if gain['low'] is None:
    return '-'
  if gain['low'] > 0:
    return 'better'
  return 'worse' if gain['high'] < 0 else 'nothing'


def _losses(losses, predictions) -> str:
  """How many points each step costs, and the first wrong answers of each."""
  shares = {
    _plain(system): {_plain(n): own[n]['points'] for n in own}
    for system, own in losses.items()
  }
  chart = svg.stacked_chart('Share of all points', shares)
  examples = ''.join(
    _examples(system, predictions.get(system, ()), own)
    for system, own in losses.items()
  )
  return (
    '<h2>Where points are lost</h2><p>Each answer that scores less than 1, by '
    'the step at which the accepted answer went missing: <i>not in text</i>, '
    'no chunk says it word for word; <i>not stored</i>; <i>not retrieved</i>, '
    'it is stored but was not shown to the reader; <i>misread</i>, it was '
    f'shown.</p><div class="charts">{chart}</div>{examples}'
  )


def _examples(system: str, predictions, own) -> str:
  parts = []
  for name in losses_lib.CLASSES:
    wrong = [p for p in predictions if p.get('loss') == name][:_EXAMPLES]
    rows = ''.join(
      f'<li><div>{html.escape(p["question"])}</div>'
      f'<b class="failed">{html.escape(p["answer"]) or "(nothing)"}</b> '
      f'instead of <b class="ok">{html.escape(" | ".join(p["gold"]))}</b>, '
      f'score {p["score"]:.2f}</li>'
      for p in wrong
    )
    if rows:
      title = f'{_plain(name)}: {own[name]["answers"]} answers'
      parts.append(f'<h4>{title}</h4><ul>{rows}</ul>')
  total = sum(figures['answers'] for figures in own.values())
  return (
    f'<details><summary>{html.escape(_plain(system))}: {total} wrong '
    f'answers, examples</summary>{"".join(parts) or "<p>None.</p>"}</details>'
  )


def _costs(costs: Mapping[str, Mapping[str, int]]) -> str:
  names = list(dict.fromkeys(name for own in costs.values() for name in own))
  rows = [
    [_plain(system), *(f'{own[name]:,}' for name in names)]
    for system, own in costs.items()
  ]
  return f'<h2>Costs</h2>{table(["", *map(_plain, names)], rows)}'


def _number(value: float | None) -> float:
  return math.nan if value is None else value


def _cell(value: float | None) -> str:
  return '-' if value is None else f'{value:.3f}'
