"""Drawing a token per row from scores, and its log-probability.

The log-probability is the model's at the sampling temperature, before top-k and
top-p cut the distribution: it is what the trainer can recompute. Greedy rows
(temperature 0) record it at temperature 1.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from mem_alpha import mesh


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How to draw; hashable, so it can be a static argument."""

  temperature: float
  max_new_tokens: int
  end_of_turn: int
  pad: int
  top_k: int = 0  # 0 = all tokens
  top_p: float = 1.0  # 1 = all tokens
  stops: tuple[tuple[int, ...], ...] = ()  # token sequences that end a turn

  def __post_init__(self):
    if self.temperature < 0:
      raise ValueError(
        f'temperature must be positive, or 0 for greedy: {self.temperature}'
      )
    if self.max_new_tokens < 1:
      raise ValueError(
        f'max_new_tokens must be at least 1, got {self.max_new_tokens}'
      )
    if self.top_k < 0 or not 0 < self.top_p <= 1:
      raise ValueError(
        f'top_k must be 0 (off) or more and top_p in (0, 1], got '
        f'top_k={self.top_k}, top_p={self.top_p}'
      )
    if not all(self.stops):
      raise ValueError('a stop sequence must hold at least one token')

  def ending(self, tokens: tuple[int, ...]) -> int:
    """How many tokens at the end of a finished response are no text."""
    found = [len(s) for s in self.stops if tokens[-len(s) :] == s]
    return max(found, default=1)


def draw(scores_BV, keys_B, *, sampling: Sampling):
  """One token per row and its log-probability."""
  greedy = sampling.temperature == 0
  temperature = 1.0 if greedy else sampling.temperature
  scores_BGS = _groups(scores_BV / temperature)
  best_B = scores_BGS.max((1, 2))
  weight_BGS = jnp.exp(scores_BGS - best_B[:, None, None])
  if greedy:
    token_B = _most_likely(scores_BGS)
  else:
    token_B = inverse_cdf(_truncate(weight_BGS, sampling), keys_B)
  score_B = jnp.take_along_axis(scores_BV, token_B[:, None], 1)[:, 0]
  total_B = weight_BGS.sum(2).sum(1)
  logp_B = score_B / temperature - best_B - jnp.log(total_B)
  return token_B.astype(jnp.int32), logp_B


def _groups(scores_BV):
  """About sqrt(V) groups of as many tokens; -inf fills up the last."""
  B, V = scores_BV.shape
  size = math.isqrt(V - 1) + 1
  pad = ((0, 0), (0, -V % size))
  scores_BV = jnp.pad(scores_BV, pad, constant_values=-jnp.inf)
  return scores_BV.reshape(B, -1, size)


def inverse_cdf(weight_BGS, keys_B):
  """Draws a token with probability in proportion to its weight.

  Two levels, a group and then a token in it: sums stay short, hence exact and
  fast (jax.random.categorical draws V random numbers per row instead of two).
  A token of weight 0 is never drawn.
  """
  uniform_B2 = jax.vmap(lambda key: jax.random.uniform(key, (2,)))(keys_B)
  uniform_B2 = mesh.place(uniform_B2, 'fsdp', None)
  group_B = _pick(weight_BGS.sum(2), uniform_B2[:, 0])
  weight_BS = _group(weight_BGS, group_B)
  return group_B * weight_BGS.shape[2] + _pick(weight_BS, uniform_B2[:, 1])


def _most_likely(scores_BGS):
  """First of the highest scores; two short searches beat one over V."""
  group_B = scores_BGS.max(2).argmax(1)
  score_BS = _group(scores_BGS, group_B)
  return group_B * scores_BGS.shape[2] + score_BS.argmax(1)


def _group(x_BGS, group_B):
  return jnp.take_along_axis(x_BGS, group_B[:, None, None], 1)[:, 0]


def _pick(weight_BK, uniform_B):
  """First index at which the running sum exceeds its share of the total."""
  sum_BK = weight_BK.cumsum(1)
  share_B = uniform_B * sum_BK[:, -1]
  # The weight is asked too: a parallel sum can rise where nothing was added.
  hit_BK = (sum_BK > share_B[:, None]) & (weight_BK > 0)
  return jnp.where(hit_BK.any(1), hit_BK.argmax(1), weight_BK.argmax(1))


def _truncate(weight_BGS, sampling):
  """Zero outside the top k tokens, then outside the nucleus of those."""
  if sampling.top_k:
    weight_BGS = _keep(weight_BGS, jnp.sign(weight_BGS), sampling.top_k)
  if sampling.top_p < 1:
    need_B = sampling.top_p * weight_BGS.sum(2).sum(1)
    weight_BGS = _keep(weight_BGS, weight_BGS, need_B)
  return weight_BGS


def _keep(weight_BGS, value_BGS, need_B):
  """The fewest largest weights with values of at least `need`; ties stay.

  The least of them is found by bisection over the bit patterns of floats from
  0 to 1, which are in the order of the floats: exact in 31 sums, where sorting
  or `top_k` takes several times as long on CPU.
  """
  zero_B = jnp.zeros_like(weight_BGS[:, 0, 0], jnp.int32)
  one_B = zero_B + jnp.float32(1).view(jnp.int32)

  def cut(value_BGS, low_B):
    least_B = low_B.view(jnp.float32)
    return jnp.where(weight_BGS >= least_B[:, None, None], value_BGS, 0)

  def halve(_, bounds):
    low_B, high_B = bounds  # low keeps enough, high does not
    middle_B = (low_B + high_B) // 2
    enough_B = cut(value_BGS, middle_B).sum(2).sum(1) >= need_B
    return (
      jnp.where(enough_B, middle_B, low_B),
      jnp.where(enough_B, high_B, middle_B),
    )

  low_B, _ = jax.lax.fori_loop(0, 31, halve, (zero_B, one_B + 1))
  return cut(weight_BGS, low_B)
