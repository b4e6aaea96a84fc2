"""Sampling responses: pure functions on a fixed number of slots.

1. `cache.prefill` reads a block of prompts, what follows the constant prefix.
2. `insert` gives them to free slots; one prompt may go to several.
3. `decode` draws a token per slot and feeds it back, until as many slots are
   free as the next block needs, or none is live.

A slot is done at its end-of-turn token or at a stop sequence, which belong to
the response, or when the response is full. Each row draws from a key of its
own, folded with the position in its response, and keeps to its own columns of
the cache: what it says does not depend on its neighbours, on its slot or on
when it came. `rollout/engine.py` keeps the queue.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mem_alpha import mesh
from mem_alpha.models import cache as cache_lib
from mem_alpha.models import decoder
from mem_alpha.rollout import draws

Sampling = draws.Sampling


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Samples:
  """Responses, left-aligned."""

  tokens_BN: jax.Array  # pad after the end
  logp_BN: jax.Array  # 0 after the end
  length_B: jax.Array  # end-of-turn included
  finished_B: jax.Array  # False = cut off by max_new_tokens


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slots:
  """All that sampling changes. A slot that is not live is free."""

  cache: cache_lib.Cache
  x_BD: jax.Array  # hidden state that the next token is drawn from
  seed_B2: jax.Array  # data of each row's key
  live_B: jax.Array
  fresh_B: jax.Array  # live, and nothing drawn yet
  samples: Samples


@functools.partial(
  jax.jit, static_argnames=('cfg', 'slots', 'capacity', 'sampling')
)
def empty(
  cfg: decoder.Config, *, slots: int, capacity: int, sampling: Sampling
) -> Slots:
  """Free slots; `capacity` counts prompt and response, without the prefix."""
  N = sampling.max_new_tokens

  def full(shape, value, dtype):
    out = mesh.spec('fsdp', *(None,) * (len(shape) - 1))
    return jnp.full(shape, value, dtype, out_sharding=out)

  return Slots(
    # Odd widths are slow to read.
    cache=cache_lib.empty(cfg, slots=slots, capacity=-(-capacity // 16) * 16),
    x_BD=full((slots, cfg.width), 0, cfg.dtype),
    seed_B2=full((slots, 2), 0, jnp.uint32),
    live_B=full((slots,), False, bool),
    fresh_B=full((slots,), False, bool),
    samples=Samples(
      tokens_BN=full((slots, N), sampling.pad, jnp.int32),
      logp_BN=full((slots, N), 0, jnp.float32),
      length_B=full((slots,), 0, jnp.int32),
      finished_B=full((slots,), False, bool),
    ),
  )


@functools.partial(jax.jit, static_argnames='sampling', donate_argnames='slots')
def insert(
  slots: Slots, read: cache_lib.Prompts, slot_R, seed_R2, *, sampling: Sampling
) -> Slots:
  """Starts responses to prompts in the named slots; past the last: dropped."""
  put = functools.partial(cache_lib.put, slot_B=slot_R)
  yes_R = read.length_B > 0
  old, blank_RN = slots.samples, jnp.zeros((len(slot_R), 1), jnp.int32)
  N = old.tokens_BN.shape[1]
  blank_RN = mesh.place(jnp.tile(blank_RN, (1, N)), None, None)
  return Slots(
    cache=cache_lib.insert(slots.cache, read, slot_R),
    x_BD=put(slots.x_BD, read.x_BD),
    seed_B2=put(slots.seed_B2, seed_R2),
    live_B=put(slots.live_B, yes_R),
    fresh_B=put(slots.fresh_B, yes_R),
    samples=Samples(
      tokens_BN=put(old.tokens_BN, blank_RN + sampling.pad),
      logp_BN=put(old.logp_BN, blank_RN),
      length_B=put(old.length_B, blank_RN[:, 0]),
      finished_B=put(old.finished_B, blank_RN[:, 0]),
    ),
  )


@functools.partial(
  jax.jit, static_argnames=('cfg', 'sampling'), donate_argnames='slots'
)
def decode(
  cfg: decoder.Config,
  params,
  prefix: cache_lib.Prefix | None,
  slots: Slots,
  wanted,
  *,
  sampling: Sampling,
):
  """Draws until `wanted` slots are free or none is live.

  Returns the slots, and which of them are live and what they said so far, on
  every process.
  """

  def more(slots):
    free = (~slots.live_B).sum()
    return slots.live_B.any() & (free < wanted)

  def body(slots):
    x_BD, cache = cache_lib.decode_step(
      cfg, params, prefix, _last(slots.samples), slots.cache
    )
    slots = dataclasses.replace(slots, x_BD=x_BD, cache=cache)
    return _emit(cfg, params, slots, slots.live_B, sampling)

  slots = _emit(cfg, params, slots, slots.fresh_B, sampling)
  slots = jax.lax.while_loop(more, body, slots)
  everywhere = jax.tree.map(
    lambda x: mesh.place(x, *(None,) * x.ndim), (slots.live_B, slots.samples)
  )
  return slots, everywhere


def _last(samples):
  """Newest token of each response."""
  at_B1 = jnp.maximum(samples.length_B - 1, 0)[:, None]
  return jnp.take_along_axis(samples.tokens_BN, at_B1, axis=1)[:, 0]


def _emit(cfg, params, slots, who_B, sampling):
  """Draws a token for the slots of `who_B` and writes it down."""
  old = slots.samples
  scores_BV = decoder.logits(cfg, params, slots.x_BD)
  keys_B = jax.vmap(jax.random.fold_in)(
    jax.random.wrap_key_data(slots.seed_B2), old.length_B
  )
  token_B, logp_B = draws.draw(scores_BV, keys_B, sampling=sampling)

  def write(x_BN, x_B):
    at_BN = jnp.arange(x_BN.shape[1]) == old.length_B[:, None]
    return jnp.where(at_BN & who_B[:, None], x_B[:, None], x_BN)

  tokens_BN = write(old.tokens_BN, token_B)
  length_B = old.length_B + who_B
  ended_B = who_B & _at_end(tokens_BN, length_B, sampling)
  full_B = length_B >= sampling.max_new_tokens
  return dataclasses.replace(
    slots,
    live_B=slots.live_B & ~(who_B & (ended_B | full_B)),
    fresh_B=slots.fresh_B & ~who_B,
    samples=Samples(
      tokens_BN=tokens_BN,
      logp_BN=write(old.logp_BN, logp_B),
      length_B=length_B,
      finished_B=old.finished_B | ended_B,
    ),
  )


def _at_end(tokens_BN, length_B, sampling):
  """Whether a response ends with end-of-turn or with a stop sequence."""
  ended_B = length_B < 0
  for stop in ((sampling.end_of_turn,), *sampling.stops):
    at_BK = length_B[:, None] - len(stop) + jnp.arange(len(stop))
    said_BK = jnp.take_along_axis(tokens_BN, jnp.maximum(at_BK, 0), axis=1)
    hit_BK = (said_BK == jnp.array(stop)) & (at_BK >= 0)
    ended_B |= hit_BK.all(1)
  return ended_B
