"""Chunks: nothing lost, order kept, nothing over the limit."""

import itertools

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha.data import chunking

TEXTS = strategies.text(alphabet='aZ. !?\n"\u3002\u00e9', max_size=200)


def words(text):
  return len(text.split())


def pack(units, limit, *, targets=None, **options):
  if isinstance(units, str):
    units = chunking.text_units(units)
  options = {'count_tokens': words, **options}
  targets = itertools.repeat(limit) if targets is None else targets
  return list(chunking.pack(units, iter(targets), limit=limit, **options))


def texts(chunks):
  return [chunk.text for chunk in chunks]


@hypothesis.given(TEXTS)
def test_sentences_join_to_the_text(text):
  assert ''.join(chunking.sentences(text)) == text


@hypothesis.given(
  TEXTS,
  strategies.integers(1, 30),
  strategies.lists(strategies.integers(1, 40), min_size=250, max_size=250),
  strategies.sampled_from([len, words, lambda text: 1]),
)
def test_nothing_is_lost_and_nothing_is_over_the_limit(
  text, limit, targets, size
):
  for count_tokens in (words, len):
    chunks = pack(
      text, limit, targets=targets, count_tokens=count_tokens, size=size
    )
    assert ''.join(texts(chunks)) == text
    assert all(chunk.text for chunk in chunks)
    assert all(chunk.tokens <= limit for chunk in chunks)
    assert all(chunk.tokens == count_tokens(chunk.text) for chunk in chunks)


@hypothesis.given(
  strategies.lists(strategies.integers(1, 9), min_size=1, max_size=60),
  strategies.lists(strategies.integers(9, 40), min_size=60, max_size=60),
)
def test_packing_equals_the_greedy_loop(lengths, targets):
  units = [chunking.Unit('word ' * n, owner=i) for i, n in enumerate(lengths)]
  expected = [[]]
  for unit in units:
    together = ''.join(u.text for u in [*expected[-1], unit])
    if expected[-1] and words(together) > targets[len(expected) - 1]:
      expected.append([])
    expected[-1].append(unit)
  chunks = pack(units, 40, targets=targets)
  assert [list(chunk.units) for chunk in chunks] == expected


def test_a_unit_over_the_target_but_under_the_limit_stays_whole():
  units = [chunking.Unit('a ' * 30), chunking.Unit('b ' * 3)]
  assert [c.tokens for c in pack(units, 40, targets=[10, 10, 10])] == [30, 3]


def test_packing_ends_with_its_targets():
  chunks = pack('One two. ' * 50, 10, targets=[10, 4])
  assert [chunk.tokens for chunk in chunks] == [10, 4]


def test_sentences_end_where_a_reader_would_say_so():
  text = 'Dr. Kay met J. Doe. "Why?" she asked. It cost 3.5 euros!\nThe end'
  assert list(chunking.sentences(text)) == [
    'Dr. Kay met J. Doe. ',
    '"Why?" she asked. ',
    'It cost 3.5 euros!\n',
    'The end',
  ]


def test_what_is_too_long_is_split_by_sentences_then_words_then_letters():
  text = 'Short one. ' + 'word ' * 5 + 'abcdefghijklmnopqrstuvwxyz. Next.'
  unit = chunking.Unit(text, owner=7)
  chunks = pack([unit], 12, count_tokens=len)
  assert texts(chunks) == [
    'Short one. ',
    'word word ',
    'word word ',
    'word ',
    'abcdefghijkl',
    'mnopqrstuvwx',
    'yz. Next.',
  ]
  pieces = [piece for chunk in chunks for piece in chunk.units]
  assert all(piece.owner == 7 and not piece.whole for piece in pieces)
  assert [piece.last for piece in pieces].count(True) == 1
  assert pieces[-1].last


def test_pieces_of_a_unit_are_joined_without_a_separator():
  units = [
    chunking.Unit('a', 0),
    chunking.Unit('b ', 1, last=False, whole=False),
    chunking.Unit('c', 1, whole=False),
    chunking.Unit('d', 2),
  ]
  assert chunking.joined(units, '|') == 'a|b c|d'


def test_the_frame_counts():
  render = chunking.dialogue_render('key', ['Read this.'], ['Yes.'], ' ')
  chunks = pack('This is a sentence. ' * 200, 60, render=render)
  assert all(40 < chunk.tokens <= 60 for chunk in chunks[:-1])
  assert chunks[1].text.startswith('[Dialogue between User and Assistant on')


def test_no_room_for_any_text_is_an_error():
  render = chunking.dialogue_render('key', ['Read this.'], ['Yes.'])
  with pytest.raises(ValueError, match='A chunk of 5 tokens has no room'):
    pack('Some text.', 5, render=render)


def test_an_empty_text_has_no_chunk():
  assert pack('', 5) == []


def test_two_counts_per_chunk_do_where_sizes_are_right():
  counted = []

  def count_tokens(text):
    counted.append(text)
    return words(text)

  chunks = pack(
    'One two three. ' * 3000, 600, count_tokens=count_tokens, size=words
  )
  assert len(chunks) == 15
  assert len(counted) <= 3 * 15


def test_dialogue_has_the_published_frame():
  text = chunking.dialogue(
    '  Text. \n', 31, user='Remember this.', assistant='I do.'
  )
  assert text == (
    '[Dialogue between User and Assistant on 2024-02-01 00:00]\n'
    '<User> Remember this.\nText.\n<Assistant> I do.'
  )


def test_the_wording_depends_on_key_and_index_alone():
  def make():
    return chunking.dialogue_render('a', ['1', '2', '3'], ['4', '5'])

  units = [chunking.Unit('x')]
  first, again = make(), make()
  assert first(3, units) == again(3, units)
  assert len({first(i, units).split('\n', 1)[1] for i in range(30)}) > 3
