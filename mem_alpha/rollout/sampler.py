"""Sampling responses: pure functions around one loop.

1. Left-padded prompts are read once (`decoder.prefill`).
2. Until every row is done: draw a token per row, note its log-probability,
   feed it back (`decoder.decode_step`).
3. A row is done at its end-of-turn token, which belongs to the response.
   After it come only padding tokens. A row without a prompt is done at once.

Each row draws from a key of its own, folded with the position in the response,
so what it says does not depend on its neighbours or on when they stop.

The recorded log-probability is the model's at the sampling temperature, before
top-k and top-p cut the distribution: it is what the trainer can recompute.
Greedy rows (temperature 0) record it at temperature 1.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp

from mem_alpha import mesh
from mem_alpha.models import decoder


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How to draw; hashable, so it can be a static argument."""

  temperature: float
  max_new_tokens: int
  end_of_turn: int
  pad: int
  top_k: int = 0  # 0 = all tokens
  top_p: float = 1.0  # 1 = all tokens

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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Samples:
  """Responses, left-aligned."""

  tokens_BN: jax.Array  # pad after the end
  logp_BN: jax.Array  # 0 after the end
  length_B: jax.Array  # end-of-turn included
  finished_B: jax.Array  # False = cut off by max_new_tokens, or no prompt


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _State:
  samples: Samples
  step: jax.Array
  token_B: jax.Array
  done_B: jax.Array


@functools.partial(jax.jit, static_argnames=('cfg', 'sampling'))
def sample(
  cfg: decoder.Config,
  params,
  prompt_BT,
  valid_BT,
  seed_B,
  *,
  sampling: Sampling,
) -> Samples:
  """Draws one response per row. `seed_B` holds a key or an integer per row."""
  if not jnp.issubdtype(seed_B.dtype, jax.dtypes.prng_key):
    seed_B = jax.vmap(jax.random.key)(seed_B)
  # The last token is never fed back, so it needs no room.
  capacity = prompt_BT.shape[1] + sampling.max_new_tokens - 1
  x_BD, cache = decoder.prefill(
    cfg, params, prompt_BT, valid_BT, capacity=capacity
  )

  def emit(state, x_BD):
    scores_BV = decoder.logits(cfg, params, x_BD)
    keys_B = jax.vmap(jax.random.fold_in, (0, None))(seed_B, state.step)
    token_B, logp_B = draw(scores_BV, keys_B, sampling=sampling)
    return _append(state, token_B, logp_B, sampling)

  def more(carry):
    state, _ = carry
    return (state.step < sampling.max_new_tokens) & ~state.done_B.all()

  def body(carry):
    state, cache = carry
    x_BD, cache = decoder.decode_step(cfg, params, state.token_B, cache)
    return emit(state, x_BD), cache

  start = emit(_empty(valid_BT, sampling), x_BD)
  return jax.lax.while_loop(more, body, (start, cache))[0].samples


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


def _empty(valid_BT, sampling):
  """Nothing written yet; rows without a prompt are done."""
  valid_BT = mesh.place(valid_BT, 'fsdp', None)
  zero_B = jnp.zeros_like(valid_BT[:, 0], jnp.int32)
  shape = zero_B.shape + (sampling.max_new_tokens,)
  blank_BN = mesh.place(jnp.zeros(shape), 'fsdp', None)
  return _State(
    samples=Samples(
      tokens_BN=jnp.full_like(blank_BN, sampling.pad, jnp.int32),
      logp_BN=blank_BN,
      length_B=zero_B,
      finished_B=zero_B > 0,
    ),
    step=jnp.int32(0),
    token_B=zero_B,
    done_B=~valid_BT.any(1),
  )


def _append(state, token_B, logp_B, sampling):
  """Writes one column; rows that are done get padding."""
  old, live_B = state.samples, ~state.done_B
  token_B = jnp.where(live_B, token_B, sampling.pad)
  logp_B = jnp.where(live_B, logp_B, 0)
  ended_B = live_B & (token_B == sampling.end_of_turn)

  def write(x_BN, x_B):
    return jax.lax.dynamic_update_slice(x_BN, x_B[:, None], (0, state.step))

  samples = Samples(
    tokens_BN=write(old.tokens_BN, token_B),
    logp_BN=write(old.logp_BN, logp_B),
    length_B=old.length_B + live_B,
    finished_B=old.finished_B | ended_B,
  )
  return _State(samples, state.step + 1, token_B, state.done_B | ended_B)
