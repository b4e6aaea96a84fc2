"""From rewards and credits to the advantage of every trained token."""

import numpy as np

from mem_alpha.evals import credit
from mem_alpha.grpo import advantage


def of_turns(grpo, turns, rewards, rng) -> np.ndarray:
  """Group-relative advantages; 0 for turns that cannot be rewarded.

  `grpo` is that section of the config. `rng` shuffles in the control that
  destroys the credit, and is None elsewhere.
  """
  adv_B = _relative(
    grpo,
    np.nan_to_num(rewards.total_B).astype(np.float32),
    rewards.usable_B.astype(np.float32),
    _index(grpo, turns),
  )
  return _shuffled(adv_B, rng)


def compile_advantages(grpo, chunks: int) -> None:
  """Compiles what steps with up to so many chunks per instance need."""
  for count in range(1, chunks + 1):
    index_B = np.zeros(grpo.instances * grpo.rollouts * count, np.int64)
    weight_B = index_B.astype(np.float32)
    index = dict(instance_B=index_B, rollout_B=index_B, chunk_B=index_B)
    _relative(grpo, weight_B, weight_B, index)


def _relative(grpo, reward_B, weight_B, index) -> np.ndarray:
  """Filled up with turns of no weight: few shapes, however many turns."""
  size = grpo.instances * grpo.rollouts
  while size < len(reward_B):
    size *= 2
  room = (0, size - len(reward_B))
  adv_B = advantage.of_turns(
    np.pad(reward_B, room),
    np.pad(weight_B, room),
    by=grpo.group,
    std=grpo.std,
    **{name: np.pad(x, room) for name, x in index.items()},
  )
  return np.asarray(adv_B)[: len(reward_B)]


def of_tokens(grpo, turns, adv_B, credits, rng) -> list[np.ndarray]:
  """That of its turn for each token, and of its decision on top of it."""
  credit_U, group_U, units = credit.decisions(
    turns, credits, rollouts=grpo.rollouts, fault=grpo.fault
  )
  adv_U = advantage.of_decisions(credit_U, group_U)
  adv_U = grpo.evidence * _shuffled(adv_U, rng)
  return [adv + adv_U[unit_N] for adv, unit_N in zip(adv_B, units)]


def trained(grpo, turns, adv_B, token_advs) -> np.ndarray:
  """Which turns are trained on: all, or those that differ from peers."""
  if not grpo.drop_equal:
    return np.arange(len(turns))
  group_B = advantage.group_ids(by=grpo.group, **_index(grpo, turns))
  # Evidence can tell the calls of turns apart whose rewards are equal.
  own_B = np.array([np.any(advs != 0) for advs in token_advs])
  return np.flatnonzero(advantage.in_varied_groups(adv_B, group_B) | own_B)


def _index(grpo, turns) -> dict[str, np.ndarray]:
  row_B = np.array([turn.row for turn in turns])
  return dict(
    instance_B=row_B // grpo.rollouts,
    rollout_B=row_B % grpo.rollouts,
    chunk_B=np.array([turn.chunk for turn in turns]),
  )


def _shuffled(values: np.ndarray, rng) -> np.ndarray:
  return values if rng is None else rng.permutation(values)
