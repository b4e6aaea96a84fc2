"""Many continuations of each of a few prefixes: what the local reader samples.

Questions about one memory share its text. The prefix is read and kept once, the
tails are read behind it, and all rows answer together. Shapes are fixed: a call
is one or more batches of `groups` prefixes with `tails` rows each, or of as
many rows that share nothing. Prefixes come in three widths, the longest of
which is the limit; a longer one is refused.
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
from mem_alpha.rollout import sampler

Group = tuple[Sequence[int], Sequence[Sequence[int]]]  # a prefix, its tails


@dataclasses.dataclass(frozen=True)
class Shape:
  """Sizes of a batch, in rows and tokens. Prefixes and tails must fit."""

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
    longest = max((len(prefix) for prefix, _ in groups), default=0)
    if longest > self.shape.prefix:
      raise ValueError(
        f'A prefix of {longest} tokens is longer than {self.shape.prefix}.'
      )
    answers = [[[] for _ in tails] for _, tails in groups]
    shared, alone = [], []
    for g, (prefix, tails) in enumerate(groups):
      for start in range(0, len(tails), self.shape.tails):
        places = [
          (g, t)
          for t in range(start, min(start + self.shape.tails, len(tails)))
        ]
        unit = (prefix, places)
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
          *batch_lib.left_align(prefixes, rows=count, width=width, pad=pad),
          *batch_lib.left_align(
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
  prefix_XT,
  length_X,
  tail_BS,
  length_B,
  seed_B,
  *,
  sampling: sampler.Sampling,
) -> sampler.Samples:
  """Continues prefix b // (B / X) with tail b; both are left-aligned.

  A row without a tail says nothing. Draws depend on the row's seed and the
  step, not on its place in the batch.
  """
  B, S = tail_BS.shape
  prefix = cache_lib.prefill(
    cfg, params, None, prefix_XT, jnp.maximum(length_X, 1)
  ).as_prefix()
  read = cache_lib.prefill(
    cfg, params, prefix, tail_BS, jnp.maximum(length_B, 1)
  )
  slots = sampler.insert(
    sampler.empty(
      cfg,
      slots=B,
      # The last token is never fed back, so it needs no room.
      capacity=S + sampling.max_new_tokens - 1,
      sampling=sampling,
    ),
    dataclasses.replace(read, length_B=length_B),
    jnp.arange(B),
    jax.random.key_data(jax.vmap(jax.random.key)(seed_B)),
    sampling=sampling,
  )
  slots, _ = sampler.decode(
    cfg, params, prefix, slots, B + 1, sampling=sampling
  )
  return slots.samples
