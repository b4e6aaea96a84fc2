"""Group-relative advantages: how much better a turn did than its peers.

  A = (r - mean(group)) / (std(group) + eps)

is the outcome-supervised advantage of GRPO (arXiv 2402.03300, section 4.1.2).
The standard deviation is the unbiased one (ddof 1) and eps is 1e-6, as in the
published system. Dr. GRPO (arXiv 2503.20783) leaves the division
out, because it weighs questions by how easy they are: `std=False`.

Who the peers are is a choice. An instance has R rollouts of C turns each:
  'chunk'     turns at the same chunk index: R peers, equally difficult
  'instance'  all R x C turns; the published system
  'rollout'   whole rollouts: a turn gets the advantage of its rollout's mean
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

_MOST = 4.0  # bound of the advantage of a decision, in deviations
GROUPINGS = ('chunk', 'instance', 'rollout')


def of_turns(
  reward_B,
  weight_B,
  *,
  instance_B,
  rollout_B,
  chunk_B,
  by: str,
  std: bool = True,
):
  """Advantage of each turn. Index arrays are host integers; weight 0 pads."""
  index = dict(instance_B=instance_B, rollout_B=rollout_B, chunk_B=chunk_B)
  group_B = group_ids(by=by, **index)
  size = dict(num_groups=len(group_B))  # static whatever the groups are
  if by == 'rollout':
    run_B = np.unique(
      np.stack([instance_B, rollout_B]), axis=1, return_inverse=True
    )[1].reshape(-1)
    above_B = _above_least(reward_B, group_B, weight_B, **size)
    reward_B, turns_B = _mean(above_B, run_B, weight_B, **size)
    # Each rollout counts once, however many turns it has.
    weight_B = weight_B / jnp.maximum(turns_B, 1)
  return group_relative(reward_B, group_B, weight_B, std=std, **size)


def of_decisions(credit_U, group_U, eps: float = 1e-6) -> np.ndarray:
  """Credit of each decision above its group's mean, in the batch's scale.

  `credit_U` is in units of r1; the group of a decision are those that other
  rollouts took about the same line of the same chunk, whatever they were. The
  scale is the root mean square over the batch, not the group's own: where all
  rollouts did nearly the same, the difference is noise and stays small. Equal
  credits, and so groups of one, give exactly zero.
  """
  credit_U = np.asarray(credit_U, np.float64)
  if not credit_U.size:
    return np.zeros(0, np.float32)
  _, group_U = np.unique(np.asarray(group_U), axis=0, return_inverse=True)
  group_U = group_U.reshape(-1)
  least_G = np.full(group_U.max() + 1, np.inf)
  np.minimum.at(least_G, group_U, credit_U)
  above_U = credit_U - least_G[group_U]  # equal ones are exactly 0 now
  mean_G = np.bincount(group_U, above_U) / np.bincount(group_U)
  centred_U = above_U - mean_G[group_U]
  scale = np.sqrt(np.square(centred_U).mean())
  # A rare decision that decided much must not drown all others.
  return np.clip(centred_U / (scale + eps), -_MOST, _MOST).astype(np.float32)


def in_varied_groups(adv_B, group_B) -> np.ndarray:
  """True for turns of groups whose members differ in reward.

  Where they do not, nothing is learnt (advantages are exactly 0), yet the
  turns count in the mean over tokens or turns. DAPO leaves such groups out
  (arXiv 2503.14476, section 3.2).
  """
  group_B = np.asarray(group_B)
  learns_G = np.zeros(group_B.max(initial=-1) + 1, bool)
  learns_G[group_B[np.asarray(adv_B) != 0]] = True
  return learns_G[group_B]


def group_ids(*, by: str, instance_B, rollout_B, chunk_B) -> np.ndarray:
  """Dense ids of the groups that rewards are compared within."""
  if by not in GROUPINGS:
    raise ValueError(
      f'no grouping is called {by!r}: choose one of {", ".join(GROUPINGS)}'
    )
  del rollout_B  # rollouts of one instance are always peers
  parts = [instance_B] + [chunk_B] * (by == 'chunk')
  _, group_B = np.unique(np.stack(parts), axis=1, return_inverse=True)
  return group_B.reshape(-1).astype(np.int32)


@functools.partial(jax.jit, static_argnames=('num_groups', 'std', 'eps'))
def group_relative(
  reward_B,
  group_B,
  weight_B,
  *,
  num_groups: int,
  std: bool = True,
  eps: float = 1e-6,
):
  """Centres (and scales) rewards within groups; weights count repetitions.

  Rows of weight 0 neither count nor get an advantage. Equal rewards, and so
  groups of one, give exactly zero.
  """
  weight_B = jnp.asarray(weight_B, jnp.float32)
  above_B = _above_least(reward_B, group_B, weight_B, num_groups=num_groups)
  mean_B, count_B = _mean(above_B, group_B, weight_B, num_groups=num_groups)
  centred_B = jnp.where(weight_B > 0, above_B - mean_B, 0)
  if not std:
    return centred_B
  square_G = jax.ops.segment_sum(
    weight_B * jnp.square(centred_B), group_B, num_groups
  )
  deviation_B = jnp.sqrt(square_G[group_B] / jnp.maximum(count_B - 1, eps))
  return centred_B / (deviation_B + eps)


def _above_least(reward_B, group_B, weight_B, *, num_groups):
  """Rewards measured from the least of their group; 0 in padding.

  Equal rewards are then exactly 0. A mean of equal numbers need not be that
  number in floating point, and a rounding error over a deviation that is
  itself a rounding error is no small advantage.
  """
  reward_B = jnp.asarray(reward_B, jnp.float32)
  real_B = jnp.where(weight_B > 0, reward_B, jnp.inf)
  least_G = jax.ops.segment_min(real_B, group_B, num_groups)
  return jnp.where(weight_B > 0, reward_B - least_G[group_B], 0)


def _mean(value_B, group_B, weight_B, *, num_groups):
  """Weighted mean and total weight of each row's group."""
  sum_G = jax.ops.segment_sum(weight_B * value_B, group_B, num_groups)
  count_G = jax.ops.segment_sum(weight_B, group_B, num_groups)
  mean_G = sum_G / jnp.maximum(count_G, jnp.finfo(jnp.float32).tiny)
  return mean_G[group_B], count_G[group_B]
