"""The prompt of a model: one line an entry, never over its limit."""

import re

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.readers import base
from mem_alpha.readers import local
from mem_alpha.readers import prompt

SEMANTIC, EPISODIC = structs.Kind.SEMANTIC, structs.Kind.EPISODIC


def count(text):
  return len(text.split())


def entry(kind, uid, text, order=None):
  return structs.Entry(kind, uid, text, 0, 0, uid if order is None else order)


FOUND = [
  entry(SEMANTIC, 7, 'Ann lives in Oslo.'),
  entry(SEMANTIC, 2, 'Bo has\na cat.'),
  entry(EPISODIC, 5, 'It rained.'),
]


def test_layout_by_hand():
  fitted, shown = prompt.Layout(count, 300).fit('Who?\n Ann?', 'pets', FOUND)
  first, *lines = fitted.system.split('\n')
  assert first.startswith('Answer the question') and 'SEARCH' not in first
  assert lines == [
    'core_memory: pets',
    'semantic_memory:',
    '1. Bo has a cat.',
    '2. Ann lives in Oslo.',
    'episodic_memory:',
    '1. It rained.',
  ]
  assert fitted.user == 'Who? Ann?'
  assert [e.uid for e in shown] == [2, 5, 7]


def test_by_rank_the_best_comes_first():
  layout = prompt.Layout(count, 300, order='rank')
  fitted, shown = layout.fit('Who?', '', FOUND, may_search=True)
  assert '1. Ann lives in Oslo.\n2. Bo has a cat.' in fitted.system
  assert 'SEARCH: ' in fitted.system and 'core_memory' not in fitted.system
  assert [e.uid for e in shown] == [7, 2, 5]


def test_questions_of_a_small_memory_share_their_system_turn():
  layout = prompt.Layout(count, 300)
  one, _ = layout.fit('Who?', 'pets', FOUND)
  other, _ = layout.fit('Where?', 'pets', FOUND[::-1])
  assert one.system == other.system


def test_an_empty_memory_is_said_to_be_empty():
  fitted, shown = prompt.Layout(count, 300).fit('Who?', '', [])
  assert fitted.system.endswith('\nThe memory is empty.') and shown == []


def test_the_lowest_ranks_are_dropped_first():
  found = [entry(SEMANTIC, i, 'word ' * 10) for i in range(9)]
  found += [entry(EPISODIC, i, 'word ' * 10) for i in range(9)]
  _, shown = prompt.Layout(count, 150).fit('Who?', '', found)
  ranks = [e.uid for e in shown if e.kind == SEMANTIC]
  assert ranks == list(range(len(ranks)))
  episodic = sum(e.kind == EPISODIC for e in shown)
  assert 0 < len(ranks) - episodic <= 1 or len(ranks) == episodic > 0


# Tokenizers of all kinds, and limits that some memories are above.
COUNTERS = [
  (lambda s: len(re.findall(r'\w+|\S', s)), 200),
  (lambda s: len(s.encode()), 1000),  # a token per byte
  (lambda s: 2 * len(s), 2000),
  (lambda s: len(s) // 5 + s.count('\n') * 20, 400),  # line breaks are dear
  (lambda s: (len(s) // 30) ** 2, 400),  # joined texts cost more than parts
]
texts = strategies.text(max_size=60)


@hypothesis.settings(max_examples=100)
@hypothesis.given(
  strategies.text(max_size=400),
  strategies.text(max_size=2000),
  strategies.lists(
    strategies.tuples(strategies.sampled_from([SEMANTIC, EPISODIC]), texts),
    max_size=30,
  ),
  strategies.sampled_from(COUNTERS),
  strategies.sampled_from(prompt.ORDERS),
  strategies.booleans(),
)
def test_it_never_fails_and_keeps_to_the_limit(
  question, core, contents, kind_of_count, order, may_search
):
  counter, tokens = kind_of_count
  layout = prompt.Layout(counter, tokens, order)
  found = [entry(kind, i, text) for i, (kind, text) in enumerate(contents)]
  fitted, shown = layout.fit(question, core, found, may_search=may_search)
  assert counter(fitted.system) + counter(fitted.user) <= tokens
  # Nothing stored makes a line of its own.
  headers = len({e.kind for e in shown})
  core_line = '\ncore_memory:' in fitted.system
  lines = 1 + len(shown) + headers + core_line
  assert len(fitted.system.split('\n')) == max(lines, 2)


@hypothesis.settings(max_examples=300)
@hypothesis.given(
  strategies.lists(strategies.integers(0, 60), min_size=2, max_size=8),
  strategies.integers(0, 120),
  strategies.lists(strategies.integers(1, 12), max_size=12),
)
def test_what_was_asked_before_changes_no_prompt(lengths, core, sizes):
  """Else a repeat would ask something else, and pay for it again."""

  def counter(text):
    return len(text) // 4 + 1  # parts cost more than the whole

  layout = prompt.Layout(counter, 150)
  found = [entry(SEMANTIC, i, 'ab ' * n) for i, n in enumerate(sizes)]
  for n in lengths:
    fitted = layout.fit('who ' * n, 'cd ' * core, found)
    alone = prompt.Layout(counter, 150).fit('who ' * n, 'cd ' * core, found)
    assert fitted == alone


def test_bad_settings_are_named():
  with pytest.raises(ValueError, match="in the order 'date': use one of rank"):
    prompt.Layout(count, 300, order='date')
  with pytest.raises(ValueError, match='prompt_tokens=40 leaves no room'):
    prompt.Layout(count, 40)


def test_a_tiny_vocabulary_stays_within_the_limit():
  vocab = text_lib.train_bpe(
    ['Ann has a cat. What is it?'] * 50, vocab_size=300
  )
  model = local.Local(
    lambda groups: [[[] for _ in tails] for _, tails in groups],
    vocab,
    prefix=2048,
    tail=64,
  )
  layout = prompt.Layout(
    lambda s: len(vocab.encode(s)),
    2048,
    markup=local.markup_tokens(vocab),
    question_tokens=model.question_tokens,
  )
  found = [
    entry((EPISODIC, SEMANTIC)[i % 2], i, f'Ann has cat {i}. {"x " * 12}')
    for i in range(80)
  ]
  for question in ('What is it?', 'What is it? ' * 20):
    fitted, shown = layout.fit(question, 'core', found)
    texts = len(vocab.encode(fitted.system)) + len(vocab.encode(fitted.user))
    assert 1900 < texts + local.markup_tokens(vocab) <= 2048
    assert 0 < len(shown) < len(found)
    assert model([fitted]) == [base.Completion('')]  # not refused


def test_a_question_may_have_a_limit_of_its_own():
  layout = prompt.Layout(count, 300, question_tokens=3)
  fitted, _ = layout.fit('one two three four', '', FOUND)
  assert fitted.user == 'one two three'


def test_the_finished_prompt_is_counted_not_its_parts():
  counter = lambda s: (len(s) // 30) ** 2  # noqa: E731  (each line costs 0)
  found = [
    entry(SEMANTIC, i, 'twenty-nine letters in a row') for i in range(40)
  ]
  fitted, shown = prompt.Layout(counter, 400).fit('Who?', '', found)
  assert counter(fitted.system) <= 400
  assert [e.uid for e in shown] == list(range(len(shown)))
