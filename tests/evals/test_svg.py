"""Charts: well-formed, inside their frame, and honest about gaps."""

import math
import re
import xml.etree.ElementTree as ElementTree

import hypothesis
from hypothesis import strategies

from mem_alpha.evals import svg

NUMBERS = strategies.floats(-1e6, 1e6) | strategies.just(math.nan)


def coordinates(chart):
  text = ' '.join(re.findall(r'points="([^"]+)"', chart))
  return [tuple(map(float, pair.split(','))) for pair in text.split()]


@hypothesis.settings(deadline=None)
@hypothesis.given(
  strategies.lists(
    strategies.tuples(strategies.integers(0, 500), NUMBERS), max_size=30
  )
)
def test_any_curve_is_well_formed_and_inside_the_frame(points):
  chart = svg.line_chart('A & <B>', {'x < y': points})
  ElementTree.fromstring(chart)
  for u, v in coordinates(chart):
    assert 0 <= u <= 360 and 0 <= v <= 200
  assert 'nan' not in chart


def test_larger_values_are_higher_and_later_steps_to_the_right():
  (u0, v0), (u1, v1) = coordinates(svg.line_chart('', {'': [(0, 1), (5, 2)]}))
  assert u0 < u1 and v0 > v1


def test_a_gap_parts_the_line():
  points = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, 3.0)]
  assert svg.line_chart('', {'': points}).count('<polyline') == 2


def test_one_point_is_a_dot_and_none_is_said():
  assert svg.line_chart('', {'': [(0, 1.0)]}).count('<circle') == 1
  assert 'Nothing was logged' in svg.line_chart('', {'': [(0, math.nan)]})


def test_ticks_are_few_and_round():
  assert svg._ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
  assert svg._ticks(0, 140) == [0, 50, 100]
  for low, high in ((0, 1), (-3, 17), (0.001, 0.0013), (1e5, 9e6)):
    ticks = svg._ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert low <= ticks[0] and ticks[-1] <= high * (1 + 1e-9)


@hypothesis.given(
  strategies.lists(
    strategies.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5
  )
)
def test_any_bars_are_well_formed_and_inside_the_frame(figures):
  bars = {f'<{n}>': figure for n, figure in enumerate(figures)}
  for element in ElementTree.fromstring(svg.bar_chart('A & B', bars)).iter():
    if element.tag.endswith('rect'):
      left, width = float(element.get('x')), float(element.get('width'))
      assert width >= 0 and left + width <= 360


def test_stacked_parts_stand_end_to_end_and_share_their_colours():
  chart = svg.stacked_chart('t', {'a': {'x': 0.2, 'y': 0.3}, 'b': {'y': 0.5}})
  rects = [
    e for e in ElementTree.fromstring(chart).iter() if e.tag.endswith('rect')
  ]
  (x, y, other) = rects
  assert float(x.get('x')) + float(x.get('width')) == float(y.get('x'))
  assert y.get('fill') == other.get('fill') != x.get('fill')
  assert float(other.get('width')) > float(y.get('width'))
