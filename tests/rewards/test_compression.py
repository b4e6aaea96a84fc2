"""r3: 1 - memory / chunks, not clipped."""

import numpy as np
import pytest

from mem_alpha.rewards import compression


def test_by_hand():
  np.testing.assert_allclose(
    compression.reward([0, 25, 100, 150], [100, 100, 100, 100]),
    [1, 0.75, 0, -0.5],
  )
  assert compression.reward(12247, 16069) == pytest.approx(0.23785, abs=1e-5)


def test_no_chunk_tokens_is_an_error():
  with pytest.raises(ValueError, match='no compression'):
    compression.reward([1, 1], [10, 0])


def test_a_named_tokenizer_counts():
  assert compression.counter('run') is None
  count = compression.counter('o200k')
  assert count('Hello world') == 2
  assert count('<|endoftext|>') > 1  # text, not a token of its own
  with pytest.raises(ValueError, match="'gpt2' is unknown: use one of run"):
    compression.counter('gpt2')
