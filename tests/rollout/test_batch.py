import numpy as np
import pytest

from mem_alpha.rollout import batch

SHAPE = dict(rows=3, prompt_tokens=4, response_tokens=3, pad=0)


def test_pack_lays_out_a_batch():
  turns = batch.pack(
    [[5, 6], [7, 8, 9]],
    [[1, 2, 3], [4]],
    logps=[[-0.1, -0.2, -0.3], [-0.4]],
    advantages=[1.5, -1.5],
    **SHAPE,
  )
  expected = dict(
    prompt_BP=[[0, 0, 5, 6], [0, 7, 8, 9], [0] * 4],
    prompt_valid_BP=[[0, 0, 1, 1], [0, 1, 1, 1], [0] * 4],
    response_BN=[[1, 2, 3], [4, 0, 0], [0] * 3],
    response_valid_BN=[[1, 1, 1], [1, 0, 0], [0] * 3],
    logp_BN=np.float32([[-0.1, -0.2, -0.3], [-0.4, 0, 0], [0] * 3]),
    advantage_B=[1.5, -1.5, 0],
    weight_B=[1, 1, 0],
  )
  for name, value in expected.items():
    np.testing.assert_array_equal(getattr(turns, name), value, err_msg=name)
  assert turns.prompt_valid_BP.dtype == bool
  assert turns.response_BN.dtype == np.int32


def test_texts_to_imitate_need_no_log_probs():
  turns = batch.pack([[5]], [[1, 2]], **SHAPE)
  np.testing.assert_array_equal(turns.logp_BN, 0)
  np.testing.assert_array_equal(turns.advantage_B, 0)


def test_empty_prompt_is_a_row_of_padding():
  tokens_BP, valid_BP = batch.left_pad([[], [3]], rows=2, width=2, pad=9)
  np.testing.assert_array_equal(tokens_BP, [[9, 9], [9, 3]])
  np.testing.assert_array_equal(valid_BP, [[0, 0], [0, 1]])


def test_bucket_is_the_least_that_fits():
  assert [batch.bucket(n, (64, 16, 32)) for n in (0, 16, 17, 64)] == [
    16,
    16,
    32,
    64,
  ]
  with pytest.raises(ValueError, match='65 tokens or rows do not fit'):
    batch.bucket(65, (16, 64))


@pytest.mark.parametrize(
  'prompts, responses, extra, message',
  [
    ([[1] * 5], [[1]], {}, 'row 0 has 5 tokens but the batch holds 4'),
    ([[1]], [[1] * 4], {}, 'row 0 has 4 tokens but the batch holds 3'),
    ([[1]] * 4, [[1]] * 4, {}, '4 turns do not fit a batch of 3 rows'),
    ([[1]], [], {}, '1 prompts cannot be paired with 0 responses'),
    ([[1]], [[1]], dict(logps=[[]]), 'exactly one log-prob'),
  ],
)
def test_what_does_not_fit_is_an_error(prompts, responses, extra, message):
  with pytest.raises(ValueError, match=message):
    batch.pack(prompts, responses, **SHAPE, **extra)
