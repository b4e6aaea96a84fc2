"""report.html: one file, nothing fetched, every text escaped."""

import html.parser
import re

import pytest

from mem_alpha.evals import report

EVIL = '<script>alert("x")</script> & \u2028 é'
ROWS = {'warm_start': {'a': 0.4, 'mean': 0.4}, EVIL: {'a': 0.7, 'mean': 0.7}}
METRICS = [
  {'step': step, 'reward/total': 1 + step / 10, 'memory_tokens': 90 - step}
  for step in range(10)
] + [{'step': 10, 'reward/total': None}, {'loss': 1.0}]
TRAJECTORY = [
  {
    'chunk': chunk,
    'text': f'text {chunk} {EVIL}',
    'response': f'response {EVIL}',
    'calls': [
      {'call': f'insert {EVIL}', 'status': 'OK'},
      {'call': 'delete', 'status': 'UNKNOWN_ID'},
    ],
    'memory': [f'[a{i}] {EVIL}' for i in range(chunk)],
  }
  for chunk in range(3)
]

LOST = {
  'grpo': {
    'misread': {'answers': 9, 'points': 0.25},
    'not_stored': {'answers': 1, 'points': 0.05},
  }
}
WRONG = [
  dict(question=EVIL, answer='', gold=[f'gold {n}'], score=0.5, loss='misread')
  for n in range(9)
]


@pytest.fixture(scope='module')
def page(tmp_path_factory):
  path = tmp_path_factory.mktemp('report') / 'report.html'
  report.write(
    path, title=EVIL, table_rows=ROWS, metrics=METRICS, trajectory=TRAJECTORY
  )
  return path.read_text(encoding='utf-8')


class _Balance(html.parser.HTMLParser):
  """Collects open tags and the text of the page."""

  def __init__(self):
    super().__init__()
    self.open, self.text, self.tags = [], [], set()

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    if tag != 'meta':
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.add(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def test_tags_are_balanced_and_texts_come_back_as_written(page):
  parser = _Balance()
  parser.feed(page)
  assert not parser.open
  text = ''.join(parser.text)
  for item in TRAJECTORY:
    assert item['text'] in text
  assert text.count(EVIL) == 2 + 1 + 3 * 3 + sum(range(3))


def test_nothing_is_run_or_fetched(page):
  assert '<script' not in page
  assert not re.search(r'(src|href)=|https?://|url\(|@import', page)


def test_a_phone_can_read_it(page):
  assert 'name="viewport" content="width=device-width' in page
  assert 'class="scroll"><table>' in page


def test_curves_and_results_are_there(page):
  for title, _ in report.CHARTS:
    assert title in page
  assert page.count('<polyline') == 2  # reward and memory tokens
  assert page.count('Nothing was logged') == 4
  assert '<td>0.700</td>' in page
  assert 'Chunk 2: 1 of 2 calls accepted, 2 in memory' in page
  assert page.count('<details open>') == 1


def test_an_empty_run_still_has_a_report(tmp_path):
  path = tmp_path / 'report.html'
  report.write(path, title='', table_rows={}, metrics=[], trajectory=[])
  assert 'None was recorded' in path.read_text()


def test_what_an_evaluation_found_is_shown_and_escaped(tmp_path):
  path = tmp_path / 'report.html'
  estimate = dict(value=0.7, low=0.6, high=0.8)
  gain = dict(value=0.2, low=0.1, high=0.3, left_out_instances=4)
  even, unknown = gain | dict(low=-0.1), dict.fromkeys(gain)
  report.write(
    path,
    title='t',
    table_rows=ROWS,
    metrics=[],
    trajectory=None,
    facts=dict(
      intervals={EVIL: {'mean': estimate, 'memory_tokens': estimate}},
      comparisons={'a_minus_b': gain, 'a_minus_c': even, 'a_minus_d': unknown},
      losses=LOST,
      costs={EVIL: {'reader_calls': 1234}},
      lengths={'grpo': [(8.0, 0.5), (10.0, 0.4)]},
    ),
    predictions={'grpo': WRONG},
  )
  page = path.read_text(encoding='utf-8')
  parser = _Balance()
  parser.feed(page)
  assert not parser.open and '<script' not in page
  assert page.count('class="interval"') == 1
  text = ''.join(parser.text)
  assert 'grpo: 10 wrong answers' in text and 'misread: 9 answers' in text
  assert 'gold 0' in text and 'gold 8' not in text
  assert 'a minus b0.2000.1000.300better4' in text
  assert 'a minus c0.200-0.1000.300nothing4' in text
  assert 'a minus d----' in text and '1,234' in text
  assert 'By length' in text and page.count('<polyline') == 1
  assert 'Training, by step' not in text and 'One interaction' not in text
