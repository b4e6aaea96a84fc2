"""Fixed-shape rows from ragged turns.

Prompts are padded on the left, so that every row's response starts in the same
column; responses are padded on the right. A row of weight 0 only fills the
batch: it has no prompt, no response and no advantage.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Turns:
  """Prompts, the responses to be trained on, and what they were worth."""

  prompt_BP: jax.Array
  prompt_valid_BP: jax.Array
  response_BN: jax.Array
  response_valid_BN: jax.Array
  logp_BN: jax.Array  # of the sampler, under its temperature
  advantage_B: jax.Array
  weight_B: jax.Array  # 0 = padding row


def pack(
  prompts: Sequence[Sequence[int]],
  responses: Sequence[Sequence[int]],
  *,
  rows: int,
  prompt_tokens: int,
  response_tokens: int,
  pad: int,
  logps: Sequence[Sequence[float]] | None = None,
  advantages: Sequence[float] | None = None,
) -> Turns:
  """Lays turns out in host arrays of a fixed shape.

  Texts to imitate have no log-probs and no advantages: both are 0 then.
  """
  if len(prompts) != len(responses):
    raise ValueError(
      f'{len(prompts)} prompts cannot be paired with {len(responses)} responses'
    )
  prompt_BP, prompt_valid_BP = left_pad(
    prompts, rows=rows, width=prompt_tokens, pad=pad
  )
  response_BN, response_valid_BN = _right_pad(
    responses, rows, response_tokens, pad, np.int32
  )
  logps = [[0.0] * len(r) for r in responses] if logps is None else logps
  if [len(logp) for logp in logps] != [len(r) for r in responses]:
    raise ValueError('each sampled token needs exactly one log-prob')
  logp_BN, _ = _right_pad(logps, rows, response_tokens, 0.0, np.float32)
  advantage_B = np.zeros(rows, np.float32)
  if advantages is not None:
    advantage_B[: len(prompts)] = np.asarray(advantages, np.float32)
  return Turns(
    prompt_BP=prompt_BP,
    prompt_valid_BP=prompt_valid_BP,
    response_BN=response_BN,
    response_valid_BN=response_valid_BN,
    logp_BN=logp_BN,
    advantage_B=advantage_B,
    weight_B=(np.arange(rows) < len(prompts)).astype(np.float32),
  )


def left_pad(
  prompts: Sequence[Sequence[int]], *, rows: int, width: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
  """Right-aligned tokens and where they are; spare rows are all padding."""
  tokens_BP, valid_BP = _right_pad(
    [prompt[::-1] for prompt in prompts], rows, width, pad, np.int32
  )
  return tokens_BP[:, ::-1].copy(), valid_BP[:, ::-1].copy()


def bucket(length: int, sizes: Sequence[int]) -> int:
  """The least of `sizes` that holds `length`: few shapes, few compilations."""
  for size in sorted(sizes):
    if length <= size:
      return size
  raise ValueError(
    f'{length} tokens or rows do not fit the largest shape, {max(sizes)}: '
    'shorten the input or allow a larger shape'
  )


def _right_pad(lists, rows, width, pad, dtype):
  """Left-aligned values and where they are."""
  if len(lists) > rows:
    raise ValueError(f'{len(lists)} turns do not fit a batch of {rows} rows')
  values = np.full((rows, width), pad, dtype)
  lengths = np.zeros(rows, np.int64)
  for row, items in enumerate(lists):
    if len(items) > width:
      raise ValueError(
        f'row {row} has {len(items)} tokens but the batch holds {width}'
      )
    values[row, : len(items)] = items
    lengths[row] = len(items)
  return values, np.arange(width) < lengths[:, None]
