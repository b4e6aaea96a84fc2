"""The memory of one rollout: two append-only pools and a table of versions.

A version is one wording of one entry: a span of LM tokens, and a span of words
for BM25. Versions are appended in the order in which they were written, so
their rows and their spans lie in the same order, without holes. An update
appends a version and closes the old one; a delete only closes. Nothing is
overwritten, therefore the memory as it was after chunk k can still be read,
until `compact` drops closed versions to make room; `complete_from` tells.

Everything here is unbatched unless its name says otherwise: `vmap` adds the
batch axis.
"""

import collections
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import structs

NEVER = np.iinfo(np.int32).max  # `closed` of a live version
CORE_ENTRY = -1  # entry number of core: it comes first


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Memory:
  """A fixed capacity; rows from `next_row` on are free and all zero.

  kind_M: a structs.Kind.
  entry_M: the entry that the version belongs to, counted from 0 in order of
    insertion; CORE_ENTRY for core.
  uid_M: the public id of the entry; NO_ID for core. Today it is the entry's
    number; another naming scheme needs no other change.
  start_M, length_M: the span in tokens_P.
  term_start_M, num_terms_M: the span in terms_P (may be empty).
  hash_M: hash of the tokens; equal contents have equal hashes.
  created_M: chunk of the first version of the entry.
  updated_M: chunk of this version.
  closed_M: chunk that replaced or deleted the version; NEVER while it is live.
  complete_from: the oldest chunk whose memory can still be read whole.
  """

  tokens_P: jax.Array
  token_tail: jax.Array
  terms_P: jax.Array
  term_tail: jax.Array
  kind_M: jax.Array
  entry_M: jax.Array
  uid_M: jax.Array
  start_M: jax.Array
  length_M: jax.Array
  term_start_M: jax.Array
  num_terms_M: jax.Array
  hash_M: jax.Array
  created_M: jax.Array
  updated_M: jax.Array
  closed_M: jax.Array
  next_row: jax.Array
  next_entry: jax.Array
  complete_from: jax.Array


# The columns are found by their suffix: a new one needs no other change here.
COLUMNS = tuple(
  field.name
  for field in dataclasses.fields(Memory)
  if field.name.endswith('_M')
)

# A live entry on the host. `order` is the row of its version: it grows with
# recency, and it is what `retrieval.top_k` returns.
Row = collections.namedtuple('Row', 'kind uid tokens created updated order')


def empty(tokens: int, terms: int, rows: int) -> Memory:
  """A memory with room for `tokens`, `terms` and `rows` versions."""
  return jax.tree.map(lambda x: x[0], empty_batch(1, tokens, terms, rows))


def empty_batch(batch: int, tokens: int, terms: int, rows: int) -> Memory:
  """`batch` empty memories, each with its own room."""
  sizes = {'tokens': tokens, 'terms': terms, 'rows': rows, 'batch': batch}
  if min(sizes.values()) < 1:
    raise ValueError(f'a memory needs room: sizes must be at least 1: {sizes}')

  def zeros(*shape, dtype=jnp.int32):
    return jnp.zeros((batch, *shape), dtype)

  columns = {name: zeros(rows) for name in COLUMNS}
  columns['hash_M'] = zeros(rows, dtype=jnp.uint32)
  return Memory(
    tokens_P=zeros(tokens),
    token_tail=zeros(),
    terms_P=zeros(terms),
    term_tail=zeros(),
    next_row=zeros(),
    next_entry=zeros(),
    complete_from=zeros(),
    **columns,
  )


def on_shards(function):
  """Lets each device run function(memory_B, ...) on its rows of the batch.

  Memories do not need each other, so on a mesh nothing has to be sent. The
  other arguments, with a batch axis too, are split as the memories are.
  """

  def run(memory_B: Memory, *args):
    spec = jax.typeof(memory_B.next_row).sharding.spec
    if not any(spec):
      return function(memory_B, *args)
    args = jax.tree.map(lambda x: jax.reshard(x, spec), args)
    mapped = jax.shard_map(
      function, in_specs=spec, out_specs=spec, check_vma=False
    )
    return mapped(memory_B, *args)

  return run


def live(memory: Memory) -> jax.Array:
  """Which rows hold the newest version of an entry; batched or not."""
  return memory.closed_M == NEVER


def memory_tokens(memory: Memory) -> jax.Array:
  """Tokens of core and of all live entries; batched or not."""
  return (memory.length_M * live(memory)).sum(-1)


def span_owner(start_M, used_M, *, size: int) -> jax.Array:
  """The row whose span covers each position of a pool of `size`.

  Spans lie in row order without holes, so it is the last row that starts at
  or before the position: rows without words lose to their successor. Beyond
  the tail the answer means nothing.
  """
  starts_P = jnp.zeros(size, jnp.int32)
  starts_P = starts_P.at[jnp.where(used_M, start_M, size)].add(1, mode='drop')
  return jnp.maximum(jnp.cumsum(starts_P) - 1, 0)


def compact(memory: Memory) -> Memory:
  """Drops closed versions and closes the holes they leave; the order stays."""
  keep_M = live(memory)
  rows = keep_M.shape[0]
  # What was written and replaced in one chunk was in no memory after a chunk.
  lost_M = ~keep_M & (memory.updated_M < memory.closed_M)
  lost_until = jnp.where(lost_M, memory.closed_M, 0).max()
  place_M = jnp.where(keep_M, jnp.cumsum(keep_M) - 1, rows)
  source_M = jnp.zeros(rows, jnp.int32)
  source_M = source_M.at[place_M].set(jnp.arange(rows), mode='drop')
  used_M = jnp.arange(rows) < keep_M.sum()
  # Gathered from one array: separate gathers made XLA copy whole columns of the
  # batch, which are read and written in the same step.
  wide = [getattr(memory, name).view(jnp.int32) for name in COLUMNS]
  kept = jnp.where(used_M, jnp.stack(wide)[:, source_M], 0)
  columns = {
    name: column_M.view(getattr(memory, name).dtype)
    for name, column_M in zip(COLUMNS, kept)
  }
  tokens_P, columns['start_M'], token_tail = _close_holes(
    memory.tokens_P, columns['start_M'], columns['length_M'], used_M
  )
  terms_P, columns['term_start_M'], term_tail = _close_holes(
    memory.terms_P, columns['term_start_M'], columns['num_terms_M'], used_M
  )
  return dataclasses.replace(
    memory,
    tokens_P=tokens_P,
    token_tail=token_tail,
    terms_P=terms_P,
    term_tail=term_tail,
    next_row=keep_M.sum(),
    complete_from=jnp.maximum(memory.complete_from, lost_until),
    **columns,
  )


def snapshot(memory_B: Memory, chunk: int | None = None) -> list[list[Row]]:
  """Lists each memory's entries in entry order, core first; on the host.

  Takes a batch of numpy arrays (`jax.device_get`). With `chunk`, lists them as
  they were after that chunk; ValueError where a compaction dropped some of it.
  """
  after = NEVER - 1 if chunk is None else chunk
  (lost,) = np.nonzero(memory_B.complete_from > max(after, 0))
  if lost.size:
    first = memory_B.complete_from.max()
    raise ValueError(
      f'What memories {lost.tolist()} of the batch said after chunk {chunk} '
      f'was dropped by compaction: ask from chunk {first} on, or run with '
      'memory.keep_history.'
    )
  shown_BM = (memory_B.updated_M <= after) & (memory_B.closed_M > after)
  found = []
  for b, shown_M in enumerate(shown_BM):
    rows = np.flatnonzero(shown_M)
    memory = jax.tree.map(lambda x, b=b: x[b], memory_B)
    order = np.argsort(memory.entry_M[rows], kind='stable')
    found.append(_list_rows(memory, rows[order]))
  return found


def versions(memory: Memory) -> list[tuple[Row, int]]:
  """Every version of one memory and the chunk that closed it, oldest first."""
  used = np.arange(int(memory.next_row))
  return list(zip(_list_rows(memory, used), memory.closed_M[used].tolist()))


def _list_rows(memory: Memory, rows: np.ndarray) -> list[Row]:
  def column(name: str) -> Sequence[int]:
    return getattr(memory, name)[rows].tolist()

  contents = [
    tuple(memory.tokens_P[start : start + length].tolist())
    for start, length in zip(column('start_M'), column('length_M'))
  ]
  return [
    Row(structs.Kind(kind), *rest)
    for kind, *rest in zip(
      column('kind_M'),
      column('uid_M'),
      contents,
      column('created_M'),
      column('updated_M'),
      rows.tolist(),
    )
  ]


def _close_holes(pool_P, start_M, length_M, used_M):
  """Moves the spans together; returns the pool, the new starts and the tail."""
  size = pool_P.shape[0]
  new_start_M = jnp.where(used_M, jnp.cumsum(length_M) - length_M, 0)
  owner_P = span_owner(new_start_M, used_M, size=size)
  at_P = jnp.arange(size)
  tail = length_M.sum()
  pool_P = pool_P[at_P + (start_M - new_start_M)[owner_P]]
  return jnp.where(at_P < tail, pool_P, 0), new_start_M, tail
