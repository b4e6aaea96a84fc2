"""r3: how much smaller the memory is than what was read.

Tokens are those of the run's tokenizer, or of a named one: the published
reward counts in o200k, whatever the model is.
"""

from collections.abc import Callable

import numpy as np

TOKENIZERS = ('run', 'o200k')


def counter(name: str) -> Callable[[str], int] | None:
  """What counts the tokens of a text; None for the run's own tokenizer."""
  if name == 'run':
    return None
  if name != 'o200k':
    raise ValueError(
      f'The tokenizer {name!r} is unknown: use one of {", ".join(TOKENIZERS)}.'
    )
  try:
    import bpe_openai  # carries the vocabulary; tiktoken downloads it
  except ImportError as error:
    raise ValueError(
      "Counting tokens in 'o200k' needs a package: pip install "
      "'mem_alpha[reference]'."
    ) from error
  encoding = bpe_openai.get_encoding('o200k_base')
  return lambda text: len(encoding.encode_ordinary(text))


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
