"""Many continuations of each of a few prefixes: what the local reader samples.

Questions about one memory share its text. The prefix is read once, its cache
fanned out to the rows, and each row reads the tail of its own, one token a
step, before it answers. Shapes are fixed: a call is one or more batches of
`groups` prefixes with `tails` rows each, or of as many rows that share nothing.
Prefixes come in three widths, the longest of which is the limit.
"""

import dataclasses
import functools
import zlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import mesh
from mem_alpha.models import cache as cache_lib
from mem_alpha.models import decoder
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import draws
from mem_alpha.rollout import sampler

Group = tuple[Sequence[int], Sequence[Sequence[int]]]  # a prefix, its tails


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of a batch, in rows and tokens. Prefixes are cut, tails must fit."""

  groups: int
  tails: int
  prefix: int
  tail: int

  def widths(self) -> tuple[int, ...]:
    """The widths that prefixes are padded to."""
    return tuple(max(1, self.prefix // part) for part in (4, 2, 1))


class Continuer:
  """`continuer(groups) -> responses`, per group and tail, end-of-turn cut."""

  def __init__(
    self,
    cfg: decoder.Config,
    params,
    *,
    shape: Shape,
    sampling: sampler.Sampling,
  ):
    self.cfg, self.shape, self.sampling = cfg, shape, sampling
    self.params = decoder.for_sampling(cfg, params)

  def __call__(self, groups: Sequence[Group]) -> list[list[list[int]]]:
    answers = [[[] for _ in tails] for _, tails in groups]
    shared, alone = [], []
    for g, (prefix, tails) in enumerate(groups):
      for start in range(0, len(tails), self.shape.tails):
        places = [
          (g, t)
          for t in range(start, min(start + self.shape.tails, len(tails)))
        ]
        unit = (prefix[: self.shape.prefix], places)
        (shared if len(places) > 1 else alone).append(unit)
    rows = self.shape.groups * self.shape.tails
    for units, count, size in (
      (shared, self.shape.groups, self.shape.tails),
      (alone, rows, 1),
    ):
      units.sort(key=lambda unit: len(unit[0]))  # like lengths share a width
      for start in range(0, len(units), count):
        part = units[start : start + count]
        self._batch(part, groups, answers, count, size)
    return answers

  def _batch(self, units, groups, answers, count: int, size: int) -> None:
    """Fills in, in place, the answers of one batch of fixed shape."""
    longest = max(len(prefix) for prefix, _ in units)
    width = next(w for w in self.shape.widths() if w >= longest)
    pad = self.sampling.pad
    prefixes = [prefix for prefix, _ in units]
    tails, where, seeds = [], [], []
    for _, places in units:
      tails += [groups[g][1][t] for g, t in places]
      tails += [[]] * (size - len(places))
      where += places + [None] * (size - len(places))
    for row, place in enumerate(where):
      text = [*prefixes[row // size], -1, *tails[row]] if place else []
      seeds.append(zlib.crc32(np.array(text, np.int32).tobytes()))
    seeds += [0] * (count * size - len(seeds))
    out = sample(
      self.cfg,
      self.params,
      *mesh.put_batch(
        (
          *batch_lib.left_pad(prefixes, rows=count, width=width, pad=pad),
          *batch_lib.left_pad(
            tails, rows=count * size, width=self.shape.tail, pad=pad
          ),
          np.array(seeds, np.uint32),
        )
      ),
      sampling=self.sampling,
    )
    tokens_BN, length_B, finished_B = map(
      np.asarray, (out.tokens_BN, out.length_B, out.finished_B)
    )
    for row, place in enumerate(where):
      if place is not None:
        g, t = place
        end = length_B[row] - finished_B[row]
        answers[g][t] = tokens_BN[row, :end].tolist()


@functools.partial(jax.jit, static_argnames=('cfg', 'sampling'))
def sample(
  cfg: decoder.Config,
  params,
  prefix_GT,
  valid_GT,
  tail_BS,
  real_BS,
  seed_B,
  *,
  sampling: sampler.Sampling,
) -> sampler.Samples:
  """Continues prefix b // (B / G) with tail b; both are left-padded.

  A row without a tail says nothing. Draws depend on the row's seed and the
  step, not on its place in the batch.
  """
  B, S = tail_BS.shape
  per_group = B // prefix_GT.shape[0]
  tail_BS = mesh.place(tail_BS, 'fsdp', None)
  real_BS = mesh.place(real_BS, 'fsdp', None)
  # The last token is never fed back, so it needs no room.
  capacity = prefix_GT.shape[1] + S + sampling.max_new_tokens - 1
  slots = cache_lib.empty(cfg, slots=B, capacity=capacity)
  length_G = mesh.place(valid_GT, 'fsdp', None).sum(1, dtype=jnp.int32)
  prefix_GT = _left_align(mesh.place(prefix_GT, 'fsdp', None), length_G)
  # A group that is all padding reads one token of it, for no row.
  prefix = cache_lib.prefill(
    cfg, params, None, prefix_GT, jnp.maximum(length_G, 1)
  )
  first_G = jnp.arange(prefix_GT.shape[0]) * per_group
  for place in range(per_group):
    slots = cache_lib.insert(slots, prefix, first_G + place)

  def read(s, carry):
    x_BD, slots = carry
    new_BD, after = cache_lib.decode_step(
      cfg, params, None, tail_BS[:, s], slots
    )
    return _where(real_BS[:, s], (new_BD, after), (x_BD, slots))

  x_BD = mesh.place(jnp.zeros((B, cfg.width), cfg.dtype), 'fsdp', None)
  x_BD, slots = jax.lax.fori_loop(0, S, read, (x_BD, slots))
  return _respond(cfg, params, x_BD, slots, real_BS[:, -1], seed_B, sampling)


def _left_align(tokens_GT, length_G):
  """Moves the padding in front of each row behind it."""
  T = tokens_GT.shape[1]
  at_GT = (jnp.arange(T) - length_G[:, None]) % T
  return jnp.take_along_axis(tokens_GT, at_GT, axis=1)


def _where(real_B, after, before):
  """The state after a step, in which some rows read padding.

  Those keep their length, so the next token overwrites the padding's column.
  """
  (new_BD, new), (old_BD, old) = after, before
  return jnp.where(real_B[:, None], new_BD, old_BD), dataclasses.replace(
    new,
    length_B=jnp.where(real_B, new.length_B, old.length_B),
    past_BWD=tuple(
      x if x is None else jnp.where(real_B[:, None, None], x, y)
      for x, y in zip(new.past_BWD, old.past_BWD)
    ),
  )


def _respond(cfg, params, x_BD, cache, live_B, seed_B, sampling):
  """Draws tokens until all rows are done; those that never began stay empty."""
  keys_B = jax.vmap(jax.random.key)(seed_B)

  def emit(samples, live_B, x_BD, step):
    scores_BV = decoder.logits(cfg, params, x_BD)
    step_B = jax.vmap(jax.random.fold_in, (0, None))(keys_B, step)
    token_B, logp_B = draws.draw(scores_BV, step_B, sampling=sampling)
    token_B = jnp.where(live_B, token_B, sampling.pad)
    ended_B = live_B & (token_B == sampling.end_of_turn)
    write = functools.partial(
      jax.lax.dynamic_update_slice_in_dim, start_index=step, axis=1
    )
    samples = sampler.Samples(
      tokens_BN=write(samples.tokens_BN, token_B[:, None]),
      logp_BN=write(samples.logp_BN, jnp.where(live_B, logp_B, 0)[:, None]),
      length_B=samples.length_B + live_B,
      finished_B=samples.finished_B | ended_B,
    )
    return samples, live_B & ~ended_B, token_B

  def more(carry):
    _, live_B, _, _, step = carry
    return (step < sampling.max_new_tokens) & live_B.any()

  def body(carry):
    samples, live_B, token_B, cache, step = carry
    x_BD, cache = cache_lib.decode_step(cfg, params, None, token_B, cache)
    return *emit(samples, live_B, x_BD, step), cache, step + 1

  zero_B = jnp.zeros_like(live_B, jnp.int32)
  shape = (live_B.shape[0], sampling.max_new_tokens)
  blank_BN = mesh.place(jnp.zeros(shape), 'fsdp', None)
  empty = sampler.Samples(
    tokens_BN=jnp.full_like(blank_BN, sampling.pad, jnp.int32),
    logp_BN=blank_BN,
    length_B=zero_B,
    finished_B=zero_B > 0,
  )
  start = (*emit(empty, live_B, x_BD, 0), cache, jnp.int32(1))
  return jax.lax.while_loop(more, body, start)[0]
