"""Losses on log-probabilities of responses: arrays in, (loss, metrics) out.

The policy loss is PPO's clipped objective as in GRPO (arXiv 2402.03300,
equation 3), with the two clip widths of DAPO (arXiv 2503.14476, section 3.1),
a ratio per token or per sequence (GSPO, arXiv 2507.18071, section 4) and a
penalty for leaving a frozen reference (equation 4 of GRPO). Supervised
fine-tuning is the mean negative log-probability of the same tokens.

Token losses are put together by
  'token'     their mean over the batch (DAPO, section 3.3)
  'turn'      the mean over turns of the mean over their tokens (GRPO)
  'constant'  their sum divided by turns x the length limit, so that no token
              weighs less for standing in a long turn (Dr. GRPO, arXiv
              2503.20783, section 3.2)

Every figure is a sum over tokens divided by a count. Counts of the whole batch
can be passed in, so figures of micro-batches add up to those of the batch.

`response_BN` marks the tokens that were sampled, end-of-turn included;
`weight_B` is 0 for rows that only fill the batch.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

AGGREGATIONS = ('token', 'turn', 'constant')
RATIOS = ('token', 'sequence')
MAX_LOG_RATIO = 20.0  # exp of more would overflow; its gradient is zero


class Totals(NamedTuple):
  """What sums are divided by."""

  tokens: jax.Array
  turns: jax.Array


def totals(response_BN, weight_B) -> Totals:
  """Counts the trained tokens, and the turns that have any."""
  trained_BN = _trained(response_BN, weight_B)
  return Totals(trained_BN.sum(), (weight_B * trained_BN.any(1)).sum())


def policy_loss(
  logp_BN,
  old_logp_BN,
  adv_BN,
  response_BN,
  weight_B,
  *,
  clip_low: float,
  clip_high: float,
  dual_clip: float | None = None,
  ratio: str = 'token',
  aggregation: str,
  limit: int | None = None,
  kl: float = 0.0,
  reference_logp_BN=None,
  total: Totals | None = None,
):
  """Clipped policy gradient; GRPO's advantage is one for all tokens of a turn.

  `dual_clip` bounds the loss of a token with a negative advantage at that
  multiple of it (arXiv 1912.09729, section 3.3); None is off. `limit`, the
  length limit of a response, is read by the aggregation 'constant' only, and
  `reference_logp_BN` only where `kl`, the weight of the penalty, is not 0.
  """
  total = total or totals(response_BN, weight_B)
  trained_BN = _trained(response_BN, weight_B)
  # Selected before exp: whatever stands in padding, its gradient is zero.
  log_ratio_BN = jnp.where(response_BN, logp_BN - old_logp_BN, 0)
  log_ratio_BN = jnp.clip(log_ratio_BN, -MAX_LOG_RATIO, MAX_LOG_RATIO)
  ratio_BN = jnp.exp(_of_sequence(log_ratio_BN, response_BN, ratio))
  bounded_BN = jnp.clip(ratio_BN, 1 - clip_low, 1 + clip_high)
  free_BN = ratio_BN * adv_BN
  gain_BN = jnp.minimum(free_BN, bounded_BN * adv_BN)
  if dual_clip is not None:
    floor_BN = jnp.maximum(gain_BN, dual_clip * adv_BN)
    gain_BN = jnp.where(adv_BN < 0, floor_BN, gain_BN)
  share_BN = _share(response_BN, weight_B, total, aggregation, limit)
  loss = -(share_BN * gain_BN).sum()
  metrics = {}
  if kl:
    apart_BN = jnp.where(response_BN, reference_logp_BN - logp_BN, 0)
    apart_BN = jnp.clip(apart_BN, -MAX_LOG_RATIO, MAX_LOG_RATIO)
    kl_BN = jnp.expm1(apart_BN) - apart_BN  # k3: never negative, unbiased
    loss += kl * (share_BN * kl_BN).sum()
    metrics['kl/reference'] = _mean(kl_BN, trained_BN, total)
  return loss, metrics | {
    'ratio/mean': _mean(ratio_BN, trained_BN, total),
    'clip_frac': _mean(gain_BN != free_BN, trained_BN, total),
    # Two estimates of KL(sampler || trainer) from the sampler's own tokens.
    'kl/k1': _mean(-log_ratio_BN, trained_BN, total),
    'kl/k3': _mean(jnp.expm1(log_ratio_BN) - log_ratio_BN, trained_BN, total),
  }


def sft_loss(
  logp_BN,
  response_BN,
  weight_B,
  *,
  aggregation: str,
  limit: int | None = None,
  total: Totals | None = None,
):
  """Negative log-probability of the response."""
  total = total or totals(response_BN, weight_B)
  logp_BN = jnp.where(response_BN, logp_BN, 0)
  share_BN = _share(response_BN, weight_B, total, aggregation, limit)
  return -(share_BN * logp_BN).sum(), {
    'nll': -_mean(logp_BN, _trained(response_BN, weight_B), total),
  }


def token_mean(value_BN, response_BN, weight_B, *, total: Totals | None = None):
  """Mean over the trained tokens, such as of an entropy."""
  total = total or totals(response_BN, weight_B)
  value_BN = jnp.where(response_BN, value_BN, 0)
  return _mean(value_BN, _trained(response_BN, weight_B), total)


def _trained(response_BN, weight_B):
  return response_BN * weight_B[:, None].astype(jnp.float32)


def _mean(value_BN, trained_BN, total):
  return (value_BN * trained_BN).sum() / _nonzero(total.tokens)


def _of_sequence(log_ratio_BN, response_BN, ratio):
  """Each token's log-ratio, or the mean of its turn, as `ratio` says."""
  if ratio == 'token':
    return log_ratio_BN
  if ratio != 'sequence':
    raise ValueError(
      f'no ratio is called {ratio!r}: choose one of {", ".join(RATIOS)}'
    )
  length_B1 = jnp.maximum(response_BN.sum(1, keepdims=True), 1)
  mean_B1 = log_ratio_BN.sum(1, keepdims=True) / length_B1
  # The value is the turn's and the gradient the token's own, so that tokens
  # of a turn may differ in advantage (GSPO-token, equation 14).
  own_BN = log_ratio_BN - jax.lax.stop_gradient(log_ratio_BN)
  return jax.lax.stop_gradient(mean_B1) + own_BN


def _share(response_BN, weight_B, total, aggregation, limit):
  """Each token's part of the loss; of 'token' and 'turn' they sum to one."""
  trained_BN = _trained(response_BN, weight_B)
  if aggregation == 'token':
    return trained_BN / _nonzero(total.tokens)
  if aggregation == 'turn':
    length_B1 = jnp.maximum(response_BN.sum(1, keepdims=True), 1)
    return trained_BN / length_B1 / _nonzero(total.turns)
  if aggregation == 'constant':
    if not limit:
      raise ValueError("aggregation 'constant' needs the length limit")
    return trained_BN / (limit * _nonzero(total.turns))
  raise ValueError(
    f'no aggregation is called {aggregation!r}: choose one of '
    f'{", ".join(AGGREGATIONS)}'
  )


def _nonzero(count):
  """A batch without a trained token has a loss of 0, not of 0 / 0."""
  return jnp.where(count > 0, count, 1)
