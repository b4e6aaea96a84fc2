"""The memories of the episodes in progress, one batch of a fixed size.

They stay on the devices. Calls go in as token ids, entries come out as texts,
and a search is BM25 over every memory at once.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import metrics
from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.memory import ops as memory_ops
from mem_alpha.memory import retrieval
from mem_alpha.memory import state as memory_state
from mem_alpha.readers import base

Entries = list[list[structs.Entry]]  # of each memory


class Pools:
  """Makes, changes and searches `batch` memories; `spec` is episode.Spec.

  Memories are arguments and results. What `clear` and `apply` are given is
  gone: they change it in place.
  """

  def __init__(
    self,
    spec,
    tokenizer: text_lib.Tokenizer,
    *,
    batch: int,
    timer: metrics.Timer,
  ):
    self.spec, self.tokenizer, self.batch = spec, tokenizer, batch
    self.terms = text_lib.Terms()
    self.apply = timer.wrap('apply', self.apply)
    self._search = timer.wrap('search', self._search)
    self._texts: dict[tuple[int, ...], str] = {}

  def empty(self) -> memory_state.Memory:
    s = self.spec
    return memory_state.empty_batch(
      self.batch,
      tokens=s.pool_tokens,
      terms=s.pool_terms,
      rows=s.rows,
    )

  def clear(self, memory, rows: Sequence[int]):
    """Empties some memories."""
    clear_B = np.isin(np.arange(self.batch), rows)
    return _clear(memory, clear_B)

  def apply(self, memory, turns: Sequence, chunk_B):
    """Executes the well-formed calls and writes their statuses back.

    `turns` holds the turn of each memory (episode.Turn), or None; `chunk_B` is
    the number of the chunk that it answers.
    """
    encoded: list[list[memory_ops.EncodedCall]] = []
    places: list[list[int]] = []
    for turn in turns:
      calls = turn.calls if turn else []
      places.append(
        [o for o, call in enumerate(calls) if call.status == structs.Status.OK]
      )
      encoded.append(
        [self.spec.encoder(calls[o], self.terms) for o in places[-1]]
      )
    packed = memory_ops.pack(
      encoded,
      self.spec.max_calls,
      self.spec.turn_tokens,
      self.spec.turn_tokens,
    )
    memory, status_BO, uid_BO = memory_ops.apply_turn(
      memory, packed, np.asarray(chunk_B, np.int32), limits=self.spec.limits
    )
    status_BO, uid_BO = np.asarray(status_BO), np.asarray(uid_BO)
    for b, turn in enumerate(turns):
      for o, place in enumerate(places[b]):
        turn.statuses[place] = structs.Status(int(status_BO[b, o]))
        turn.uids[place] = int(uid_BO[b, o])
    return memory

  def copied(self, memory):
    """A copy that stays as it is, on the devices; also of one on the host."""
    return _copied(memory)

  def entries(self, rows: Sequence[memory_state.Row]) -> list[structs.Entry]:
    return entries(rows, self.decode)

  def memories(self, memory, entries: Entries) -> base.Memories:
    """What a reader sees of a batch of memories."""
    cores = [core(e) for e in entries]
    return base.Memories(cores, lambda q: self._search(memory, entries, q))

  def kept_memories(
    self, kept: Sequence[memory_state.Memory], entries: Entries
  ) -> base.Memories:
    """What a reader sees of any number of memories that wait on the host."""

    @functools.cache
    def part(start):
      some = list(kept[start : start + self.batch])
      if len(some) < self.batch:
        blank = jax.tree.map(lambda x: np.zeros_like(x), some[0])
        some += [blank] * (self.batch - len(some))
      memory = jax.tree.map(lambda *xs: np.stack(xs), *some)
      return self.copied(memory), entries[start : start + self.batch]

    def search(queries: base.Queries) -> base.Hits:
      hits = []
      for start in range(0, len(kept), self.batch):
        asked = queries[start : start + self.batch]
        hits += self._search(*part(start), asked)
      return hits

    return base.Memories([core(e) for e in entries], search)

  def _search(self, memory, entries, queries: base.Queries) -> base.Hits:
    """BM25 over each memory on the device, `max_queries` at a time."""
    s = self.spec
    by_order = [{e.order: e for e in row} for row in entries]
    hits: base.Hits = [[] for _ in queries]
    most = max((len(row) for row in queries), default=0)
    for start in range(0, most, s.max_queries):
      part = [row[start : start + s.max_queries] for row in queries]
      words_BQW = np.full(
        (self.batch, s.max_queries, s.query_words), -1, np.int32
      )
      for b, row in enumerate(part):
        for q, query in enumerate(row):
          ids = self.terms.find(query)[: s.query_words]
          words_BQW[b, q, : len(ids)] = ids
      found = []
      for kind in (structs.Kind.SEMANTIC, structs.Kind.EPISODIC):
        if s.limits.enabled[kind]:
          rows_BQK, _ = retrieval.top_k(
            memory, words_BQW, kind=kind, k=s.top_k, idf=s.idf
          )
          found.append(np.asarray(rows_BQK))
      rows_BQK = np.concatenate(found, -1) if found else None
      for b, row in enumerate(part):
        for q in range(len(row)):
          orders = rows_BQK[b, q] if found else ()
          hits[b].append([by_order[b][o] for o in orders if o >= 0])
    return hits

  def decode(self, tokens: tuple[int, ...]) -> str:
    """The text of some tokens; most come again and again."""
    if tokens not in self._texts:
      if len(self._texts) >= 1 << 16:
        self._texts.clear()
      self._texts[tokens] = self.tokenizer.decode(tokens)
    return self._texts[tokens]


def entries(
  rows: Sequence[memory_state.Row], decode: Callable[[tuple[int, ...]], str]
) -> list[structs.Entry]:
  """What some rows of a memory say."""
  return [
    structs.Entry(
      structs.Kind(row.kind),
      row.uid,
      decode(row.tokens),
      row.created,
      row.updated,
      row.order,
      len(row.tokens),
    )
    for row in rows
  ]


def core(entries: Sequence[structs.Entry]) -> str:
  """The core memory among some entries, '' if there is none."""
  return ''.join(e.text for e in entries if e.kind == structs.Kind.CORE)


@functools.partial(jax.jit, donate_argnums=0)
def _clear(memory, clear_B):
  def blank(x):
    return jnp.where(clear_B.reshape(-1, *(1,) * (x.ndim - 1)), 0, x)

  return jax.tree.map(blank, memory)


@jax.jit
def _copied(memory):
  return jax.tree.map(jnp.copy, memory)
