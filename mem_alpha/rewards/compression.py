"""r3: how much smaller the memory is than what was read."""

import numpy as np


def reward(memory_tokens, chunk_tokens) -> np.ndarray:
  """1 - memory tokens / tokens of the raw chunks, for numbers or arrays.

  Chunks count with their dialogue wrapper and without the prompt. Unclipped: a
  memory larger than its source has a negative reward.
  """
  memory_tokens, chunk_tokens = (
    np.asarray(memory_tokens),
    np.asarray(chunk_tokens),
  )
  if np.any(chunk_tokens <= 0):
    raise ValueError('An interaction without chunk tokens has no compression.')
  return 1.0 - memory_tokens / chunk_tokens
