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
