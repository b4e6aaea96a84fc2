"""Fixed-shape arrays from ragged turns.

For sampling, each text has a row of its own (`left_align`). For training, whole
turns, prompt and response, are packed: several share a row, kept apart by
segment ids, and as many equal micro-batches are filled as the turns need
(`pack`). No turn is ever repeated to fill a batch; what is left over is padding
of weight 0.
"""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
  """Size of a micro-batch; every turn must fit a row by itself."""

  rows: int  # R
  length: int  # L, tokens of a row
  targets: int  # M, response tokens of a row
  turns: int  # B, turns of a micro-batch
  response: int  # N, tokens of a response


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Packed:
  """One micro-batch: rows that the model reads, and the turns in them."""

  tokens_RL: jax.Array
  segment_RL: jax.Array  # 0 = padding, else the turn's number in its row
  before_RM: jax.Array  # column of the token before each response token
  target_RM: jax.Array  # the response tokens, 0 beyond the last
  place_BN: jax.Array  # where in [R * M] the tokens of each turn are
  response_valid_BN: jax.Array
  logp_BN: jax.Array  # of the sampler, under its temperature
  advantage_BN: jax.Array
  weight_B: jax.Array  # 0 = no turn


def plan(
  prompts: Sequence[int], responses: Sequence[int], shape: Shape
) -> list[list[list[int]]]:
  """Which turns go together: micro-batches of rows of indices, in order.

  First fit: a turn goes to the first row of the open micro-batch with room;
  one that fits nowhere opens the next. Arguments are numbers of tokens.
  """
  batches: list[list[list[int]]] = []
  used = room = None
  for turn, (prompt, response) in enumerate(zip(prompts, responses)):
    need = np.array([prompt + response, response])
    if response > min(shape.response, shape.targets) or need[0] > shape.length:
      raise ValueError(
        f'turn {turn} has {prompt} prompt and {response} response tokens but '
        f'a row holds {shape.length}, of which {shape.targets} of responses, '
        f'and a response {shape.response}: lower the limits of the run, or '
        'raise those of its batches'
      )
    if response and not prompt:
      raise ValueError(
        f'turn {turn} has no prompt, so nothing predicts its first token: '
        'leave it out of the batch'
      )
    row = None
    if batches and used < shape.turns:
      free = np.flatnonzero((room >= need).all(1))
      row = free[0] if free.size else None
    if row is None:
      batches.append([[] for _ in range(shape.rows)])
      room = np.tile([shape.length, shape.targets], (shape.rows, 1))
      used, row = 0, 0
    batches[-1][row].append(turn)
    room[row] -= need
    used += 1
  return batches


def pack(
  prompts: Sequence[Sequence[int]],
  responses: Sequence[Sequence[int]],
  *,
  shape: Shape,
  pad: int,
  logps: Sequence[Sequence[float]] | None = None,
  advantages: Sequence[Sequence[float]] | None = None,
) -> list[Packed]:
  """Micro-batches that hold every turn once, as host arrays.

  Texts to imitate have no log-probs and no advantages: both are 0 then.
  """
  if len(prompts) != len(responses):
    raise ValueError(
      f'{len(prompts)} prompts cannot be paired with {len(responses)} responses'
    )
  if logps is None:
    logps = [[0.0] * len(response) for response in responses]
  if [len(logp) for logp in logps] != [len(r) for r in responses]:
    raise ValueError('each sampled token needs exactly one log-prob')
  if advantages is None:
    advantages = [[0.0] * len(response) for response in responses]
  if [len(a) for a in advantages] != [len(r) for r in responses]:
    raise ValueError('each response token needs exactly one advantage')
  batches = plan(
    [len(prompt) for prompt in prompts],
    [len(response) for response in responses],
    shape,
  )
  return [
    _fill(rows, prompts, responses, logps, advantages, shape, pad)
    for rows in batches
  ]


def _fill(rows, prompts, responses, logps, advantages, shape, pad) -> Packed:
  R, L, M = shape.rows, shape.length, shape.targets
  B, N = shape.turns, shape.response
  tokens_RL = np.full((R, L), pad, np.int32)
  segment_RL = np.zeros((R, L), np.int32)
  before_RM, target_RM = np.zeros((2, R, M), np.int32)
  place_BN = np.zeros((B, N), np.int32)
  valid_BN, logp_BN = np.zeros((B, N), bool), np.zeros((B, N), np.float32)
  advantage_BN, weight_B = np.zeros((B, N), np.float32), np.zeros(B, np.float32)
  b = 0
  for r, turns in enumerate(rows):
    column = place = 0
    for segment, turn in enumerate(turns, start=1):
      text = [*prompts[turn], *responses[turn]]
      P, n = len(prompts[turn]), len(responses[turn])
      tokens_RL[r, column : column + len(text)] = text
      segment_RL[r, column : column + len(text)] = segment
      before_RM[r, place : place + n] = column + P - 1 + np.arange(n)
      target_RM[r, place : place + n] = responses[turn]
      place_BN[b, :n] = r * M + place + np.arange(n)
      valid_BN[b, :n] = True
      logp_BN[b, :n] = logps[turn]
      advantage_BN[b, :n], weight_B[b] = advantages[turn], 1
      column, place, b = column + len(text), place + n, b + 1
  return Packed(
    tokens_RL=tokens_RL,
    segment_RL=segment_RL,
    before_RM=before_RM,
    target_RM=target_RM,
    place_BN=place_BN,
    response_valid_BN=valid_BN,
    logp_BN=logp_BN,
    advantage_BN=advantage_BN,
    weight_B=weight_B,
  )


def left_align(
  lists: Sequence[Sequence[int]], *, rows: int, width: int, pad: int
) -> tuple[np.ndarray, np.ndarray]:
  """Tokens [rows, width] and how many each row has; spare rows have none."""
  if len(lists) > rows:
    raise ValueError(f'{len(lists)} turns do not fit a batch of {rows} rows')
  tokens_BT = np.full((rows, width), pad, np.int32)
  length_B = np.zeros(rows, np.int32)
  for row, items in enumerate(lists):
    if len(items) > width:
      raise ValueError(
        f'row {row} has {len(items)} tokens but the batch holds {width}'
      )
    tokens_BT[row, : len(items)] = items
    length_B[row] = len(items)
  return tokens_BT, length_B
