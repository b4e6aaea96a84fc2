"""Charts as inline SVG: no script, no network, any screen width."""

import html
import math
from collections.abc import Mapping, Sequence

Points = Sequence[tuple[float, float]]

# Okabe and Ito's colours, told apart with any kind of colour vision.
_COLOURS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
_WIDTH, _HEIGHT = 360, 200
_NAMES, _ROW = 130, 22  # of bars: width of the labels, height of a bar
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 352, 10, 172


def line_chart(title: str, lines: Mapping[str, Points]) -> str:
  """A figure with a legend; points that are not finite are gaps."""
  clean = {
    label: [(x, y) if math.isfinite(y) else None for x, y in points]
    for label, points in lines.items()
  }
  present = [p for points in clean.values() for p in points if p]
  heading = f'<figcaption>{html.escape(title)}</figcaption>'
  if not present:
    return f'<figure>{heading}<p>Nothing was logged.</p></figure>'
  xs, ys = zip(*present)
  x_low, x_high = _widened(min(xs), max(xs))
  y_low, y_high = _widened(min(ys), max(ys))

  def place(x, y):
    return (
      _LEFT + (x - x_low) / (x_high - x_low) * (_RIGHT - _LEFT),
      _BOTTOM - (y - y_low) / (y_high - y_low) * (_BOTTOM - _TOP),
    )

  body = _axes(x_low, x_high, y_low, y_high, place)
  legend = []
  for i, (label, points) in enumerate(clean.items()):
    colour = _COLOURS[i % len(_COLOURS)]
    body += [_path(run, place, colour) for run in _runs(points)]
    legend.append(
      f'<span><i style="background:{colour}"></i>{html.escape(label)}</span>'
    )
  return (
    f'<figure>{heading}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-label="{html.escape(title)}">{"".join(body)}</svg>'
    f'<div class="legend">{"".join(legend)}</div></figure>'
  )


def bar_chart(
  title: str, bars: Mapping[str, tuple[float, float, float]]
) -> str:
  """Horizontal bars from 0 to 1: label -> value, and low and high of a line."""
  marks = [
    f'<path class="grid" d="M{_bar_x(x):.1f} 0V{_ROW * len(bars)}"/>'
    for x in (0, 0.5, 1)
  ]
  for row, (label, figures) in enumerate(bars.items()):
    if not all(map(math.isfinite, figures)):
      continue
    x, low, high = (_bar_x(min(max(f, 0.0), 1.0)) for f in figures)
    top, middle = row * _ROW + 4, row * _ROW + _ROW / 2
    colour = _COLOURS[0]
    marks.append(
      f'<rect x="{_NAMES}" y="{top}" width="{x - _NAMES:.1f}" '
      f'height="{_ROW - 8}" fill="{colour}" fill-opacity=".55"/>'
      f'<path class="interval" d="M{low:.1f} {middle}H{high:.1f}'
      f'M{low:.1f} {middle - 3}v6M{high:.1f} {middle - 3}v6"/>'
    )
    marks.append(_bar_text(row, label, figures[0]))
  return _bars(title, marks, len(bars))


def stacked_chart(title: str, bars: Mapping[str, Mapping[str, float]]) -> str:
  """Horizontal bars whose parts sum to at most 1: label -> part -> share."""
  parts = list(dict.fromkeys(part for row in bars.values() for part in row))
  marks = []
  for row, (label, shares) in enumerate(bars.items()):
    left = 0.0
    for part, share in shares.items():
      colour = _COLOURS[parts.index(part) % len(_COLOURS)]
      x, end = _bar_x(left), _bar_x(left + share)
      marks.append(
        f'<rect x="{x:.1f}" y="{row * _ROW + 4}" width="{end - x:.1f}" '
        f'height="{_ROW - 8}" fill="{colour}"/>'
      )
      left += share
    marks.append(_bar_text(row, label, left))
  return _bars(title, marks, len(bars), legend=parts)


def _bar_x(value: float) -> float:
  return _NAMES + value * (_WIDTH - 40 - _NAMES)


def _bar_text(row: int, label: str, value: float) -> str:
  y = row * _ROW + _ROW / 2 + 3.5
  return (
    f'<text x="{_NAMES - 6}" y="{y}" text-anchor="end">{html.escape(label)}'
    f'</text><text x="{_WIDTH - 34}" y="{y}">{value:.3f}</text>'
  )


def _bars(title: str, marks, rows: int, legend: Sequence[str] = ()) -> str:
  names = ''.join(
    f'<span><i style="background:{_COLOURS[i % len(_COLOURS)]}"></i>'
    f'{html.escape(name)}</span>'
    for i, name in enumerate(legend)
  )
  below = f'<div class="legend">{names}</div>' if names else ''
  return (
    f'<figure><figcaption>{html.escape(title)}</figcaption>'
    f'<svg viewBox="0 0 {_WIDTH} {max(rows, 1) * _ROW}" role="img" '
    f'aria-label="{html.escape(title)}">{"".join(marks)}</svg>{below}</figure>'
  )


def _axes(x_low, x_high, y_low, y_high, place) -> list[str]:
  """Grid lines with their values; steps below, figures to the left."""
  marks = []
  for y in _ticks(y_low, y_high):
    _, v = place(x_low, y)
    marks.append(
      f'<path class="grid" d="M{_LEFT} {v:.1f}H{_RIGHT}"/>'
      f'<text x="{_LEFT - 5}" y="{v + 3.5:.1f}" text-anchor="end">{y:g}</text>'
    )
  for x in _ticks(x_low, x_high):
    u, _ = place(x, y_low)
    marks.append(
      f'<text x="{u:.1f}" y="{_BOTTOM + 16}" text-anchor="middle">{x:g}</text>'
    )
  return marks


def _path(run, place, colour: str) -> str:
  if len(run) == 1:
    u, v = place(*run[0])
    return f'<circle cx="{u:.1f}" cy="{v:.1f}" r="2.5" fill="{colour}"/>'
  points = ' '.join('{:.1f},{:.1f}'.format(*place(x, y)) for x, y in run)
  return f'<polyline points="{points}" stroke="{colour}"/>'


def _runs(points) -> list[list[tuple[float, float]]]:
  """Stretches of points without a gap."""
  runs = [[]]
  for point in points:
    if point:
      runs[-1].append(point)
    else:
      runs.append([])
  return [run for run in runs if run]


def _widened(low: float, high: float) -> tuple[float, float]:
  # A constant still needs an axis of some length.
  pad = 0.5 * max(abs(low), 1e-9) if low == high else 0.0
  return low - pad, high + pad


def _ticks(low: float, high: float) -> list[float]:
  """Two to six round values between the ends."""
  rough = (high - low) / 5
  power = 10.0 ** math.floor(math.log10(rough))
  step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
  first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
  return [float(f'{n * step:.6g}') for n in range(first, last + 1)]
