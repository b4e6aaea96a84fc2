import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from mem_alpha.rollout import batch

SHAPE = batch.Shape(rows=2, length=8, targets=5, turns=3, response=4)


def test_pack_lays_turns_out_side_by_side():
  (part,) = batch.pack(
    [[5, 6], [7], [9]],
    [[1, 2], [3, 4], [8, 8, 8]],
    logps=[[-0.1, -0.2], [-0.3, -0.4], [-1, -2, -3]],
    advantages=[[1.5, 1], [-1.5, 0], [2, 3, 4]],
    shape=SHAPE,
    pad=0,
  )
  expected = dict(
    tokens_RL=[[5, 6, 1, 2, 7, 3, 4, 0], [9, 8, 8, 8, 0, 0, 0, 0]],
    segment_RL=[[1, 1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 0, 0, 0, 0]],
    before_RM=[[1, 2, 4, 5, 0], [0, 1, 2, 0, 0]],
    target_RM=[[1, 2, 3, 4, 0], [8, 8, 8, 0, 0]],
    place_BN=[[0, 1, 0, 0], [2, 3, 0, 0], [5, 6, 7, 0]],
    response_valid_BN=[[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]],
    logp_BN=np.float32(
      [[-0.1, -0.2, 0, 0], [-0.3, -0.4, 0, 0], [-1, -2, -3, 0]]
    ),
    advantage_BN=[[1.5, 1, 0, 0], [-1.5, 0, 0, 0], [2, 3, 4, 0]],
    weight_B=[1, 1, 1],
  )
  for name, value in expected.items():
    np.testing.assert_array_equal(getattr(part, name), value, err_msg=name)


LENGTHS = st.lists(
  st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=40
)


@hypothesis.given(LENGTHS)
def test_every_turn_is_packed_once_and_nothing_overflows(lengths):
  prompts, responses = zip(*lengths)
  planned = batch.plan(prompts, responses, SHAPE)
  seen = [turn for rows in planned for row in rows for turn in row]
  assert sorted(seen) == list(range(len(lengths)))
  for rows in planned:
    assert len(rows) == SHAPE.rows
    assert sum(map(len, rows)) <= SHAPE.turns
    for row in rows:
      assert sum(prompts[t] + responses[t] for t in row) <= SHAPE.length
      assert sum(responses[t] for t in row) <= SHAPE.targets


@hypothesis.given(LENGTHS)
def test_packed_turns_can_be_read_back(lengths):
  texts = iter(range(1, 1000))
  prompts = [[next(texts) for _ in range(p)] for p, _ in lengths]
  responses = [[next(texts) for _ in range(n)] for _, n in lengths]
  parts = batch.pack(prompts, responses, shape=SHAPE, pad=0)
  found = set()
  for part in parts:
    assert part.tokens_RL.shape == (SHAPE.rows, SHAPE.length)
    for b in np.flatnonzero(part.weight_B):
      place_N = part.place_BN[b][part.response_valid_BN[b]]
      response = part.target_RM.reshape(-1)[place_N].tolist()
      row, first = divmod(place_N[0], SHAPE.targets)
      end = part.before_RM[row, first]
      segment_L = part.segment_RL[row]
      start = np.flatnonzero(segment_L == segment_L[end])[0]
      found.add((tuple(part.tokens_RL[row, start : end + 1]), tuple(response)))
  assert found == {(tuple(p), tuple(r)) for p, r in zip(prompts, responses)}


def test_texts_to_imitate_need_no_log_probs():
  (part,) = batch.pack([[5]], [[1, 2]], shape=SHAPE, pad=0)
  np.testing.assert_array_equal(part.logp_BN, 0)
  np.testing.assert_array_equal(part.advantage_BN, 0)
  np.testing.assert_array_equal(part.weight_B, [1, 0, 0])


def test_empty_prompt_is_a_row_of_padding():
  tokens_BT, length_B = batch.left_align([[], [3]], rows=3, width=2, pad=9)
  np.testing.assert_array_equal(tokens_BT, [[9, 9], [3, 9], [9, 9]])
  np.testing.assert_array_equal(length_B, [0, 1, 0])


@pytest.mark.parametrize(
  'prompts, responses, extra, message',
  [
    ([[1] * 6], [[1] * 3], {}, 'turn 0 has 6 prompt and 3 response tokens'),
    ([[1]], [[1] * 5], {}, 'and a response 4'),
    ([[]], [[1]], {}, 'turn 0 has no prompt'),
    ([[1]], [], {}, '1 prompts cannot be paired with 0 responses'),
    ([[1]], [[1]], dict(logps=[[]]), 'exactly one log-prob'),
    ([[1]], [[1]], dict(advantages=[[]]), 'exactly one advantage'),
  ],
)
def test_what_does_not_fit_is_an_error(prompts, responses, extra, message):
  with pytest.raises(ValueError, match=message):
    batch.pack(prompts, responses, shape=SHAPE, pad=0, **extra)
  with pytest.raises(ValueError, match='3 tokens but the batch holds 2'):
    batch.left_align([[1] * 3], rows=1, width=2, pad=0)
