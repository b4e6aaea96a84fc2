"""r4 and fidelity: only what the chunk states is grounded."""

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha.rewards import content

CHUNK = 'Hello! The boss of Bela is Kira. Her town: Odan; it rains.'


@pytest.mark.parametrize(
  'text, expected',
  [
    ('The boss of Bela is Kira.', True),
    ('the BOSS of bela, is kira', True),
    ('Kira. Her town', True),
    ('The boss of Bela is Odan.', False),  # right words, wrong sentence
    ('The boss of Bela is Kir', False),  # half a word
    ('boss Bela', False),  # not consecutive
    ('Now: The boss of Bela is Kira.', False),
    ('', False),
    (' .;! ', False),
  ],
)
def test_entries_are_quotes(text, expected):
  assert content.is_grounded(text, CHUNK) == expected


@pytest.mark.parametrize(
  'text, previous, expected',
  [
    ('Kira Odan', '', True),  # any order
    ('hotel Kira', 'Hotel talk', True),
    ('hotel Kira', '', False),
    ('hotel talk', 'Hotel talk', True),
    (' ', 'Hotel talk', False),
  ],
)
def test_new_words_of_the_core_come_from_the_chunk(text, previous, expected):
  assert content.is_grounded(text, CHUNK, previous) == expected


@hypothesis.settings(deadline=None)
@hypothesis.given(
  strategies.lists(strategies.sampled_from('abc'), min_size=1, max_size=8),
  strategies.lists(strategies.sampled_from('abc'), max_size=12),
)
def test_grounded_means_contiguous(words, chunk):
  found = any(chunk[i : i + len(words)] == words for i in range(len(chunk) + 1))
  assert content.is_grounded(' '.join(words), ', '.join(chunk)) == found


def call(action, text, kind=structs.Kind.SEMANTIC):
  return structs.Call(action, kind, 0, text)


def test_a_turn_judges_accepted_inserts_and_updates():
  A, S, core = structs.Action, structs.Status, structs.Kind.CORE
  turn = [
    (call(A.INSERT, 'Kira is here'), S.OK, False),
    (call(A.UPDATE, 'it rains'), S.OK, True),
    (call(A.INSERT, 'it rains'), S.DUPLICATE, None),
    (call(A.DELETE, ''), S.OK, None),
    (call(A.UPDATE, 'rumours Odan', core), S.OK, True),  # rumours: before
    (call(A.UPDATE, 'Odan Kira', core), S.TOO_LONG, None),
    (call(A.DELETE, '', core), S.OK, None),
    (call(A.UPDATE, 'rumours', core), S.OK, False),  # cleared meanwhile
  ]
  calls, statuses, expected = zip(*turn)
  verdicts = content.judge(calls, statuses, chunk=CHUNK, core='Rumours!')
  assert verdicts == [v for v in expected if v is not None]
  assert content.reward(verdicts) == 0.5


def test_nothing_stored_is_left_out():
  assert content.reward(content.judge([], [], chunk=CHUNK, core='')) is None


def test_refused_calls_are_judged_only_as_published():
  A, S = structs.Action, structs.Status
  made = [
    call(A.INSERT, 'kept'),
    call(A.INSERT, 'kept'),
    call(A.UPDATE, 'nobody knows the id'),
    call(A.DELETE, ''),
    call(A.INSERT, '  '),
    structs.Call(status=S.INVALID),
  ]
  statuses = [S.OK, S.DUPLICATE, S.UNKNOWN_ID, S.OK, S.EMPTY, S.INVALID]
  assert content.judged(made, statuses) == made[:1]
  assert content.judged(made, statuses, published=True) == made[:3]


@pytest.mark.parametrize(
  'verdicts, published_calls, expected',
  [
    ([True, False], None, 0.5),
    ([True, None], None, 1),  # a failed judge is left out
    ([None], None, None),
    ([True, True], 4, 0.5),  # a delete and a broken call count as 0
    ([True, None], 3, 0.5),
    ([], 0, 0),
    ([], 2, 0),
    ([None], 1, None),
  ],
)
def test_rewards_by_hand(verdicts, published_calls, expected):
  found = content.reward(verdicts, published_calls=published_calls)
  assert found == expected
