"""Chunks: nothing lost, order kept, nothing over the limit."""

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha.data import chunking


def words(text):
  return len(text.split())


def pack(text, limit, count_tokens=words, **options):
  return list(chunking.pack(text, limit, count_tokens=count_tokens, **options))


TEXTS = strategies.text(alphabet='aZ. !?\n"\u3002\u00e9', max_size=200)


@hypothesis.settings(deadline=None)
@hypothesis.given(TEXTS)
def test_sentences_join_to_the_text(text):
  assert ''.join(chunking.sentences(text)) == text


@hypothesis.settings(deadline=None)
@hypothesis.given(TEXTS, strategies.integers(1, 30))
def test_chunks_join_to_the_text_and_keep_the_limit(text, limit):
  for count_tokens in (words, len):
    chunks = pack(text, limit, count_tokens)
    assert ''.join(chunks) == text
    assert all(0 < len(chunk) for chunk in chunks)
    assert all(count_tokens(chunk) <= limit for chunk in chunks)


@hypothesis.settings(deadline=None)
@hypothesis.given(
  strategies.lists(strategies.integers(1, 9), min_size=1, max_size=60),
  strategies.integers(9, 40),
)
def test_packing_equals_the_greedy_loop(lengths, limit):
  sentences = [' '.join(['Word'] * n) + '. ' for n in lengths]
  expected = ['']
  for sentence in sentences:
    if words(expected[-1] + sentence) > limit:
      expected.append('')
    expected[-1] += sentence
  assert pack(''.join(sentences), limit) == expected


def test_sentences_end_where_a_reader_would_say_so():
  text = 'Dr. Kay met J. Doe. "Why?" she asked. It cost 3.5 euros!\nThe end'
  assert list(chunking.sentences(text)) == [
    'Dr. Kay met J. Doe. ',
    '"Why?" she asked. ',
    'It cost 3.5 euros!\n',
    'The end',
  ]


def test_a_long_sentence_is_packed_by_words_and_a_long_word_by_letters():
  text = 'Short one. ' + 'word ' * 5 + 'abcdefghijklmnopqrstuvwxyz. Next.'
  chunks = pack(text, 12, len)
  assert chunks == [
    'Short one. ',
    'word word ',
    'word word ',
    'word ',
    'abcdefghijkl',
    'mnopqrstuvwx',
    'yz. Next.',
  ]


def test_the_wrapper_counts():
  wrap = chunking.dialogue_wrap('key')
  text = ' '.join(f'This is sentence {i}.' for i in range(200))
  pieces = pack(text, 60, wrap=wrap)
  assert ''.join(pieces) == text
  wrapped = [wrap(i, piece) for i, piece in enumerate(pieces)]
  assert all(40 < words(chunk) <= 60 for chunk in wrapped[:-1])


def test_no_room_for_any_text_is_an_error():
  wrap = chunking.dialogue_wrap('key')
  with pytest.raises(ValueError, match='A chunk of 5 tokens has no room'):
    pack('Some text.', 5, wrap=wrap)


def test_an_empty_text_has_no_chunk():
  assert pack('', 5) == []


def test_few_counts_are_needed():
  counted = []

  def count_tokens(text):
    counted.append(text)
    return words(text)

  pack('One two three. ' * 3000, 600, count_tokens)
  assert len(counted) <= 20 * 15


def test_dialogue_has_the_published_frame():
  text = chunking.dialogue(
    '  Text. \n', 31, user='Remember this.', assistant='I do.'
  )
  assert text == (
    '[Dialogue between User and Assistant on 2024-02-01 00:00]\n'
    '<User> Remember this.\nText.\n<Assistant> I do.'
  )


def test_wrapping_depends_on_key_and_index_alone():
  first, again = chunking.dialogue_wrap('a'), chunking.dialogue_wrap('a')
  assert first(3, 'x') == again(3, 'x')
  assert len({first(i, 'x').split('\n', 1)[1] for i in range(20)}) > 5
