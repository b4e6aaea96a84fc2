import numpy as np
import pytest

from mem_alpha.rollout import batch

SHAPE = batch.Shape(rows=3, length=12, targets=6, turns=5, response=4)
PAD = 99


def random_turns(seed, count):
  rng = np.random.default_rng(seed)

  def text(most):
    return rng.integers(1, 90, rng.integers(1, most + 1)).tolist()

  responses = [text(4) for _ in range(count)]
  return dict(
    prompts=[text(8) for _ in range(count)],
    responses=responses,
    logps=[rng.normal(size=len(r)).tolist() for r in responses],
    advantages=rng.normal(size=count).tolist(),
  )


def unpack(parts):
  """Turns as (prompt, response, log-probs, advantage), read off the arrays."""
  for part in parts:
    for b in np.flatnonzero(part.weight_B):
      place_N = part.place_BN[b][part.response_valid_BN[b]]
      row = place_N[0] // SHAPE.targets
      before_N = part.before_RM.reshape(-1)[place_N]
      segment = part.segment_RL[row, before_N[0]]
      text = part.tokens_RL[row][part.segment_RL[row] == segment].tolist()
      # The response follows the prompt, each token after the one before it.
      np.testing.assert_array_equal(np.diff(before_N), 1)
      target_N = part.target_RM.reshape(-1)[place_N].tolist()
      np.testing.assert_array_equal(part.tokens_RL[row, before_N + 1], target_N)
      cut = len(text) - len(target_N)
      assert text[cut:] == target_N
      logp_N = part.logp_BN[b][part.response_valid_BN[b]]
      yield text[:cut], target_N, logp_N, part.advantage_B[b]


@pytest.mark.parametrize('count', [1, 4, 40])
def test_every_turn_is_packed_once_and_whole(count):
  turns = random_turns(count, count)
  parts = batch.pack(**turns, shape=SHAPE, pad=PAD)
  found = sorted(unpack(parts), key=lambda turn: turn[:2])
  wanted = sorted(zip(*turns.values(), strict=True), key=lambda turn: turn[:2])
  assert len(found) == count
  for mine, want in zip(found, wanted, strict=True):
    assert mine[:2] == want[:2]
    np.testing.assert_allclose(mine[2], want[2], rtol=1e-6)
    np.testing.assert_allclose(mine[3], want[3], rtol=1e-6)
  tokens = sum(map(len, turns['prompts'] + turns['responses']))
  assert sum((part.segment_RL > 0).sum() for part in parts) == tokens


def test_what_is_left_over_is_padding():
  parts = batch.pack(**random_turns(0, 40), shape=SHAPE, pad=PAD)
  assert len({tuple(a.shape for a in vars(p).values()) for p in parts}) == 1
  for part in parts:
    assert (part.tokens_RL[part.segment_RL == 0] == PAD).all()
    empty_B = part.weight_B == 0
    assert not part.response_valid_BN[empty_B].any()
    assert (part.advantage_B[empty_B] == 0).all()
    assert (part.logp_BN[~part.response_valid_BN] == 0).all()
  # First fit fills rows: forty turns of six tokens on average, twelve a row.
  assert len(parts) < 14


def test_plan_by_hand():
  # A row holds 12 tokens, 6 of them of responses; a micro-batch 5 turns.
  prompts, responses = [8, 8, 2, 1, 1, 1], [4, 3, 3, 3, 1, 1]
  assert batch.plan(prompts, responses, SHAPE) == [
    [[0], [1], [2, 3]],  # 4 is turned away by targets in row 2, fits nowhere
    [[4, 5], [], []],
  ]
  # Short turns: the number of turns is what runs out.
  assert batch.plan([1] * 7, [1] * 7, SHAPE) == [
    [[0, 1, 2, 3, 4], [], []],
    [[5, 6], [], []],
  ]
  assert batch.plan([], [], SHAPE) == []


def test_texts_to_imitate_need_no_log_probs():
  (part,) = batch.pack([[5]], [[1, 2]], shape=SHAPE, pad=PAD)
  assert not part.logp_BN.any() and not part.advantage_B.any()


def test_prompts_are_padded_on_the_left():
  tokens_BP, valid_BP = batch.left_pad([[3, 4], []], rows=3, width=3, pad=9)
  np.testing.assert_array_equal(tokens_BP, [[9, 3, 4], [9] * 3, [9] * 3])
  np.testing.assert_array_equal(valid_BP, [[0, 1, 1], [0] * 3, [0] * 3])
  assert tokens_BP.dtype == np.int32 and valid_BP.dtype == bool
  with pytest.raises(ValueError, match='row 0 has 4 tokens'):
    batch.left_pad([[1] * 4], rows=1, width=3, pad=9)
  with pytest.raises(ValueError, match='2 turns do not fit a batch of 1 rows'):
    batch.left_pad([[1], [2]], rows=1, width=3, pad=9)


@pytest.mark.parametrize(
  'prompts, responses, extra, message',
  [
    ([[1] * 9], [[1] * 4], {}, 'turn 0 has 9 prompt and 4 response tokens'),
    ([[1]], [[1] * 5], {}, 'turn 0 has 1 prompt and 5 response tokens'),
    ([[1]], [], {}, '1 prompts cannot be paired with 0 responses'),
    ([[1]], [[1]], dict(logps=[[]]), 'exactly one log-prob'),
  ],
)
def test_what_does_not_fit_is_an_error(prompts, responses, extra, message):
  with pytest.raises(ValueError, match=message):
    batch.pack(prompts, responses, shape=SHAPE, pad=PAD, **extra)
