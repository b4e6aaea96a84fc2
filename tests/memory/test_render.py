"""Tests of memory/render.py: names, what is shown, budgets, forged lines."""

import json

import hypothesis
import pytest
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.memory import render
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
ALL = (True, True, True)
TOKENIZER = text.train_bpe(
  ['Mira lives in Oslo.'] * 5,
  vocab_size=300,
  atoms=[render.ENTRY_OPEN, render.ENTRY_CLOSE],
)
LAYOUT = render.make_layout(TOKENIZER, enabled=ALL)


def row(kind, uid, content, order=None):
  tokens = tuple(TOKENIZER.encode(content))
  return state.Row(kind, uid, tokens, 0, 0, uid if order is None else order)


def show(rows, n=5, layout=LAYOUT, max_tokens=None):
  tokens = render.view(rows, layout=layout, show=n, max_tokens=max_tokens)
  return TOKENIZER.decode(tokens)


ROWS = [
  row(CORE, structs.NO_ID, 'About Mira.', order=7),
  row(SEMANTIC, 3, 'Mira lives in Oslo.'),
  row(EPISODIC, 4, 'Mira moved.'),
  row(SEMANTIC, 13, 'Tom likes tea.'),
  row(SEMANTIC, 260, 'Ann is nine.'),
]


@pytest.mark.parametrize(
  ('uid', 'name'),
  [
    (0, 'a0'), (9, 'a9'), (10, 'b0'), (13, 'b3'), (259, 'z9'),
    (260, 'aa0'), (7019, 'zz9'), (7020, 'aaa0'), (2**31 - 1, 'raxgbm7'),
  ],
)  # fmt: skip
def test_names_of_ids(uid, name):
  assert render.uid_to_text(uid) == name
  assert render.text_to_uid(name) == uid


@hypothesis.given(st.integers(0, 2**31 - 1))
def test_every_id_has_its_own_name(uid):
  assert render.text_to_uid(render.uid_to_text(uid)) == uid


@hypothesis.given(st.from_regex(r'[a-z]{1,5}[0-9]', fullmatch=True))
def test_every_name_is_that_of_one_id(name):
  assert render.uid_to_text(render.text_to_uid(name)) == name


@pytest.mark.parametrize(
  'name',
  ['', 'a', '3', 'A3', 'a33', ' a3', 'a3\n', '[a3]', 'a٣', 'é1', 'zzzzzzz9'],
)
def test_other_strings_are_no_names(name):
  with pytest.raises(ValueError, match='not the name'):
    render.text_to_uid(name)


@pytest.mark.parametrize('uid', [-1, 2**31])
def test_ids_out_of_range(uid):
  with pytest.raises(ValueError, match='not the id'):
    render.uid_to_text(uid)


def test_view_lists_sections_in_entry_order():
  assert show(ROWS) == (
    '\ncore_memory: About Mira.'
    '\nsemantic_memory:'
    '\n[a3] Mira lives in Oslo.'
    '\n[b3] Tom likes tea.'
    '\n[aa0] Ann is nine.'
    '\nepisodic_memory:'
    '\n[a4] Mira moved.'
  )
  assert show(ROWS[::-1]) == show(ROWS)


def test_view_shows_the_most_recent_of_each_kind():
  assert show(ROWS, n=1) == (
    '\ncore_memory: About Mira.'
    '\nsemantic_memory:\n[aa0] Ann is nine.'
    '\nepisodic_memory:\n[a4] Mira moved.'
  )
  assert show(ROWS, n=0) == '\ncore_memory: About Mira.'


def test_nothing_to_show_takes_no_tokens():
  assert render.view([], layout=LAYOUT, show=5) == []
  cleared = row(CORE, structs.NO_ID, '')
  assert render.view([cleared], layout=LAYOUT, show=5) == []


@pytest.mark.parametrize('kind', structs.Kind)
def test_disabled_kinds_are_not_shown(kind):
  enabled = [other == kind for other in structs.Kind]
  layout = render.make_layout(TOKENIZER, enabled=enabled)
  assert show(ROWS, layout=layout) == show([r for r in ROWS if r.kind == kind])


def test_entries_keep_their_own_tokens():
  # These ids are not how the tokenizer would encode 'Mira' itself.
  spelt = tuple(i for letter in 'Mira' for i in TOKENIZER.encode(letter))
  assert spelt != tuple(TOKENIZER.encode('Mira'))
  tokens = render.view(
    [state.Row(SEMANTIC, 0, spelt, 0, 0, 0)], layout=LAYOUT, show=1
  )
  assert tuple(tokens[-len(spelt) :]) == spelt


def test_a_budget_drops_the_oldest_first_and_core_last():
  order = [260, 13, 4, 3]  # newest first, over all kinds
  for count in range(len(order), -1, -1):
    kept = [r for r in ROWS if r.kind == CORE or r.uid in order[:count]]
    exact = len(render.view(kept, layout=LAYOUT, show=5))
    assert show(ROWS, max_tokens=exact) == show(kept)
    # One token less, and one more entry goes (core when it is alone).
    fewer = [r for r in kept if count and r.uid != order[count - 1]]
    assert show(ROWS, max_tokens=exact - 1) == show(fewer)


@hypothesis.given(st.integers(-5, 120), st.integers(0, 4))
def test_a_budget_is_kept_and_leaves_a_subsequence(max_tokens, n):
  tokens = render.view(ROWS, layout=LAYOUT, show=n, max_tokens=max_tokens)
  assert len(tokens) <= max(max_tokens, 0)
  every = render.shown(ROWS, layout=LAYOUT, show=n)
  some = render.shown(ROWS, layout=LAYOUT, show=n, max_tokens=max_tokens)
  assert [r for r in every if r in some] == some


@hypothesis.given(
  st.lists(
    st.text(
      alphabet=st.sampled_from('ab"\\[] \n\r\t\x0b\x1c\x85\u2028\u2029é')
    ),
    min_size=1,
    max_size=4,
  )
)
def test_contents_cannot_forge_lines(contents):
  rows = [row(SEMANTIC, uid, content) for uid, content in enumerate(contents)]
  rows = [r for r in rows if r.tokens]
  lines = show(rows).splitlines()
  names = [f'[{render.uid_to_text(r.uid)}] ' for r in rows]
  assert len(lines) == (2 + len(rows) if rows else 0)
  for name, line, shown in zip(names, lines[2:], rows, strict=True):
    content = TOKENIZER.decode(shown.tokens)
    assert line.startswith(name)
    if content.isprintable():
      assert line == name + content
    else:
      assert json.loads(f'"{line[len(name) :]}"') == content
