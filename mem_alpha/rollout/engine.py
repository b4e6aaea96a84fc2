"""The queue in front of the sampler's slots.

Prompts that are equal are read once and fanned out to as many slots. Prompts
are read in blocks of one width each, the narrowest bucket that holds them, so
that all shapes are known before the first call. A block that waits gets slots
as soon as enough responses have ended.

    engine = Engine(cfg, params, sampling=..., sizes=..., prefix=prefix_tokens)
    responses = engine(prompts, keys_B)
"""

import collections
import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from mem_alpha import mesh
from mem_alpha.models import cache
from mem_alpha.models import decoder
from mem_alpha.rollout import episode
from mem_alpha.rollout import sampler


@dataclasses.dataclass(frozen=True)
class Sizes:
  """The compiled shapes of sampling."""

  prompt_tokens: int  # length limit of a prompt, prefix included
  slots: int  # responses in progress at a time
  buckets: int = 1  # widths that prompts are read at
  prefill_tokens: int = 2048  # tokens that are read at a time, about

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if getattr(self, field.name) < 1:
        raise ValueError(
          f'{field.name}={getattr(self, field.name)} must be at least 1'
        )


@dataclasses.dataclass
class _Block:
  """Prompts of one width, and the rows of the batch that they answer."""

  width: int
  prompts: list[tuple[int, ...]]
  rows: list[collections.deque[int]]
  read: cache.Prompts | None = None  # once it has been read


_prefill = jax.jit(cache.prefill, static_argnums=0)
_read_prefix = jax.jit(cache.read_prefix, static_argnums=0)


class Engine:
  """Slots on the device; the prefix is read once, when it is made."""

  def __init__(
    self,
    cfg: decoder.Config,
    params,
    *,
    sampling: sampler.Sampling,
    sizes: Sizes,
    prefix: Sequence[int] = (),
  ):
    self.cfg, self.sampling, self.sizes = cfg, sampling, sizes
    self.params = decoder.for_sampling(cfg, params)
    self.prefix_tokens = tuple(prefix)
    room = sizes.prompt_tokens - len(self.prefix_tokens)
    if room < 1:
      raise ValueError(
        f'prompt_tokens={sizes.prompt_tokens} leaves no room behind a prefix '
        f'of {len(self.prefix_tokens)} tokens: raise it'
      )
    self.widths = sorted(
      {-(-room * i // sizes.buckets) for i in range(1, sizes.buckets + 1)}
    )
    split = mesh.size('fsdp')
    self.slots = -(-sizes.slots // split) * split
    self.prefix = None
    if self.prefix_tokens:
      tokens_P = np.array(self.prefix_tokens, np.int32)
      self.prefix = _read_prefix(cfg, self.params, tokens_P)
    # The last token is never fed back, so it needs no room.
    self.state = sampler.empty(
      cfg,
      slots=self.slots,
      capacity=room + sampling.max_new_tokens - 1,
      sampling=sampling,
    )

  def __call__(
    self, prompts: Sequence[Sequence[int]], keys_B
  ) -> list[episode.Response]:
    """A response per prompt; an empty prompt gets an empty response."""
    seed_B2 = np.asarray(jax.random.key_data(keys_B))
    out = [episode.Response((), (), False)] * len(prompts)
    queue = collections.deque(self._blocks(prompts))
    owner: dict[int, int] = {}  # which row a slot works for
    while queue or owner:
      free = [s for s in range(self.slots) if s not in owner]
      while queue and len(free) >= _next_round(queue[0]):
        self._insert(queue[0], free, owner, seed_B2)
        if not any(queue[0].rows):
          queue.popleft()
      wanted = _next_round(queue[0]) if queue else self.slots + 1
      self.state, (live_B, samples) = sampler.decode(
        self.cfg,
        self.params,
        self.prefix,
        self.state,
        wanted,
        sampling=self.sampling,
      )
      self._collect(np.asarray(live_B), jax.device_get(samples), owner, out)
    return out

  def compile(self) -> None:
    """Compiles everything that a call may need; no slot gets a prompt."""
    seed_B2 = np.zeros((self.slots, 2), np.uint32)
    for width in self.widths:
      self._insert(_Block(width, [], []), [], {}, seed_B2)
    self.state, _ = sampler.decode(
      self.cfg,
      self.params,
      self.prefix,
      self.state,
      0,
      sampling=self.sampling,
    )

  def _blocks(self, prompts) -> list[_Block]:
    """Distinct prompts in blocks of one width, rows that ask for them."""
    rows: dict[tuple[int, ...], collections.deque[int]] = {}
    for row, prompt in enumerate(prompts):
      if prompt:
        rows.setdefault(self._rest(row, prompt), collections.deque()).append(
          row
        )
    blocks = []
    for least, width in zip([0, *self.widths], self.widths):
      found = [p for p in rows if least < len(p) <= width]
      size = self._block_rows(width)
      for start in range(0, len(found), size):
        part = found[start : start + size]
        blocks.append(_Block(width, part, [rows[p] for p in part]))
    return blocks

  def _rest(self, row, prompt) -> tuple[int, ...]:
    """The prompt without the prefix."""
    P = len(self.prefix_tokens)
    if len(prompt) > self.sizes.prompt_tokens:
      raise ValueError(
        f'prompt {row} has {len(prompt)} tokens but {self.sizes.prompt_tokens} '
        'is the limit: shorten it, or raise the limit'
      )
    if tuple(prompt[:P]) != self.prefix_tokens or len(prompt) == P:
      raise ValueError(
        f'prompt {row} does not go on from the prefix of {P} tokens that was '
        'said to begin every prompt: sample it without one'
      )
    return tuple(prompt[P:])

  def _block_rows(self, width) -> int:
    """Rows of a block: a multiple of the devices that share them."""
    split = mesh.size('fsdp')
    rows = max(1, self.sizes.prefill_tokens // width // split) * split
    return min(rows, self.slots)

  def _insert(self, block, free, owner, seed_B2):
    """Gives a slot to one more row of each prompt of the block."""
    size = self._block_rows(block.width)
    if block.read is None:
      block.read = self._read(block, size)
    slot_R = np.full(size, self.slots, np.int32)
    seed_R2 = np.zeros((size, 2), np.uint32)
    for i, rows in enumerate(block.rows):
      if rows:
        row, slot = rows.popleft(), free.pop()
        owner[slot] = row
        slot_R[i], seed_R2[i] = slot, seed_B2[row]
    self.state = sampler.insert(
      self.state,
      block.read,
      slot_R,
      seed_R2,
      sampling=self.sampling,
    )

  def _read(self, block, size) -> cache.Prompts:
    tokens_RT = np.full((size, block.width), self.sampling.pad, np.int32)
    length_R = np.ones(size, np.int32)
    for i, prompt in enumerate(block.prompts):
      tokens_RT[i, : len(prompt)] = prompt
      length_R[i] = len(prompt)
    return _prefill(self.cfg, self.params, self.prefix, tokens_RT, length_R)

  def _collect(self, live_B, samples, owner, out):
    """Takes the responses that have ended out of their slots."""
    for slot in [s for s in owner if not live_B[s]]:
      n = samples.length_B[slot]
      tokens = tuple(samples.tokens_BN[slot, :n].tolist())
      out[owner.pop(slot)] = episode.Response(
        tokens,
        tuple(samples.logp_BN[slot, :n].tolist()),
        bool(samples.finished_B[slot]),
        self.sampling.ending(tokens),
      )


def _next_round(block) -> int:
  """Slots that the next insertion of a block fills."""
  return sum(1 for rows in block.rows if rows)
