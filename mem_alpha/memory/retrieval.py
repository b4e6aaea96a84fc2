"""Search over the live entries of one kind, on the device.

An entry is a document, its words are ids in `terms_P`. Two BM25 weights of a
word that df of the N documents contain:

- 'default': log(1 + (N - df + .5) / (df + .5)), never negative. Okapi's own
  weight is negative for a word of most documents, so it turns the ranking of a
  tiny store upside down.
- 'reference': what the package rank_bm25 does. log((N - df + .5) / (df + .5)),
  and where that is negative, a quarter of its mean over all words of the store.

A word that a query repeats counts each time; -1 is padding or a word that no
entry has, and counts nothing. Entries that share no word with the query score
0 and are returned too; among equal scores the older entry comes first.

There is no index to keep: each search counts the query's words in the pool,
up to the tail of the longest memory, and so costs the same at any capacity.
"""

import functools
import math

import jax
import jax.numpy as jnp

from mem_alpha.memory import fusion
from mem_alpha.memory import state

IDF = ('default', 'reference')
_EPSILON = 0.25  # of rank_bm25's floor
_MAX_COUNTS = 2**20  # word counts that are held at once for one memory
_MAX_ROWS = 8  # memories that are searched at once on one device
_BLOCK = 4096  # pool positions that are counted at once
_HALVINGS = 4  # of a pool, when all words of a store must be sorted


@jax.jit(static_argnames=('k', 'idf'))
def top_k(
  memory_B: state.Memory,
  queries_BQW: jax.Array,
  *,
  kind: int,
  k: int,
  idf: str = 'default',
  k1: float = 1.5,
  b: float = 0.75,
  vectors: fusion.Vectors | None = None,
) -> tuple[jax.Array, jax.Array]:
  """The k best entries of a kind per query: rows_BQK and scores_BQK.

  The row is the `order` of the entry in `state.snapshot`. Where a memory has
  fewer than k entries, the rest is row -1 with score -inf. With `vectors`, the
  ranking by BM25 and the ranking by similarity are fused (`fusion.py`).
  """
  if idf not in IDF:
    raise ValueError(f'idf is one of {IDF}, not {idf!r}.')

  def search(memory_B, queries_BQW, vectors):
    score = functools.partial(_bm25, kind=kind, idf=idf, k1=k1, b=b)
    scores_BQM = _in_parts(score, memory_B, queries_BQW)
    mine_BM = _of_kind(memory_B, kind)
    if vectors is not None:
      scores_BQM = fusion.fuse(scores_BQM, vectors, mine_BM, memory_B.entry_M)
    scores_BQM = jnp.where(mine_BM[:, None], scores_BQM, -jnp.inf)
    return _best(scores_BQM, memory_B.entry_M, k)

  return state.on_shards(search)(memory_B, queries_BQW, vectors)


def _best(scores_BQM, entry_BM, k: int):
  oldest_first_BM = jnp.argsort(entry_BM)
  scores_BQM = jnp.take_along_axis(scores_BQM, oldest_first_BM[:, None], -1)
  missing = max(0, k - scores_BQM.shape[-1])
  scores_BQM = jnp.pad(
    scores_BQM, ((0, 0), (0, 0), (0, missing)), constant_values=-jnp.inf
  )
  scores_BQK, place_BQK = jax.lax.top_k(scores_BQM, k)  # equal: the first wins
  rows_BQK = jnp.take_along_axis(
    oldest_first_BM[:, None], jnp.minimum(place_BQK, entry_BM.shape[-1] - 1), -1
  )
  return jnp.where(scores_BQK > -jnp.inf, rows_BQK, -1), scores_BQK


def _of_kind(memory_B: state.Memory, kind) -> jax.Array:
  return state.live(memory_B) & (memory_B.kind_M == kind)


def _in_parts(score, memory_B: state.Memory, queries_BQW) -> jax.Array:
  """Some memories and some queries at a time: their counts must fit."""
  B, Q, W = queries_BQW.shape
  M = memory_B.kind_M.shape[-1]
  rows = max(n for n in range(1, _MAX_ROWS + 1) if B % n == 0)
  block = max(1, min(Q, _MAX_COUNTS // (W * M)))
  blocks = math.ceil(Q / block)
  padded_BQW = jnp.pad(
    queries_BQW, ((0, 0), (0, blocks * block - Q), (0, 0)), constant_values=-1
  )

  def part(first):
    # The pools stay where they are: only the blocks in use are read.
    some = {
      name: jax.lax.dynamic_slice_in_dim(getattr(memory_B, name), first, rows)
      for name in (*state.COLUMNS, 'next_row', 'term_tail')
    }
    queries = jax.lax.dynamic_slice_in_dim(padded_BQW, first, rows)
    queries = queries.reshape(rows, blocks, block, W).swapaxes(0, 1)
    scores = score(some, memory_B.terms_P, first, queries)
    return scores.swapaxes(0, 1).reshape(rows, blocks * block, M)

  scores = jax.lax.map(part, jnp.arange(0, B, rows))
  return scores.reshape(B, blocks * block, M)[:, :Q]


def _bm25(some, terms_P, first, blocks_NBQW, *, kind, idf, k1, b) -> jax.Array:
  """scores_NBQM of blocks of queries to the memories from `first` on."""
  mine_BM = (some['closed_M'] == state.NEVER) & (some['kind_M'] == kind)
  count_B1 = mine_BM.sum(-1, keepdims=True)
  length_BM = some['num_terms_M']
  mean_B1 = (mine_BM * length_BM).sum(-1, keepdims=True)
  mean_B1 = mean_B1 / jnp.maximum(count_B1, 1)
  norm_BM = k1 * (1 - b + b * length_BM / jnp.where(mean_B1 > 0, mean_B1, 1))
  reader = _Pool(some, terms_P, first, mine_BM)
  floor_B1 = None
  if idf == 'reference':
    floor_B1 = _EPSILON * reader.mean_idf(count_B1)

  def score(queries_BQW):
    B, Q, W = queries_BQW.shape
    word_BU = jnp.sort(queries_BQW.reshape(B, Q * W))
    tf_BUM = reader.count(word_BU)
    idf_BU = _idf((tf_BUM > 0).sum(-1), count_B1, floor_B1)
    weight_BUM = idf_BU[..., None] * tf_BUM * (k1 + 1)
    weight_BUM = weight_BUM / (tf_BUM + norm_BM[:, None])
    place_BU = _find(word_BU, queries_BQW.reshape(B, Q * W))
    flat_N = (place_BU + jnp.arange(B)[:, None] * (Q * W)).reshape(B, Q, W)
    return weight_BUM.reshape(B * Q * W, -1)[flat_N].sum(-2)

  return jax.lax.map(score, blocks_NBQW)


class _Pool:
  """Reads the words of some memories, block by block, up to their tails."""

  def __init__(self, some, terms_P, first, mine_BM):
    self.terms_P, self.first, self.mine_BM = terms_P, first, mine_BM
    self.tail_B1 = some['term_tail'][:, None]
    used_BM = jnp.arange(mine_BM.shape[-1]) < some['next_row'][:, None]
    # Beyond every pool, where the row is free.
    self.start_BM = jnp.where(used_BM, some['term_start_M'], terms_P.shape[-1])

  def count(self, word_BU) -> jax.Array:
    """tf_BUM: how often each entry has each of the sorted words."""
    B, U = word_BU.shape
    M = self.mine_BM.shape[-1]
    size = min(_BLOCK, self.terms_P.shape[-1])

    def add(i, tf_N):
      terms_BP, owner_BP, mine_BP = self.read(i, size)
      place_BP = _find(word_BU, terms_BP)
      found_BP = _take(word_BU, place_BP) == terms_BP
      cell_BP = (jnp.arange(B)[:, None] * U + place_BP) * M + owner_BP
      cell_BP = jnp.where(found_BP & mine_BP, cell_BP, tf_N.size)
      return tf_N.at[cell_BP.ravel()].add(1.0, mode='drop')

    blocks = -(-self.tail_B1.max() // size)
    tf_N = jax.lax.fori_loop(0, blocks, add, jnp.zeros(B * U * M))
    return tf_N.reshape(B, U, M)

  def read(self, i, size: int):
    """Words of block i, the row of each, and whether that row is searched."""
    B, P = self.mine_BM.shape[0], self.terms_P.shape[-1]
    at = jnp.minimum(i * size, P - size)  # the last block may overlap
    terms_BP = jax.lax.dynamic_slice(self.terms_P, (self.first, at), (B, size))
    owner_BP = _owner(self.start_BM, at, size)
    at_P = at + jnp.arange(size)
    mine_BP = _take(self.mine_BM, owner_BP)
    mine_BP &= (at_P < self.tail_B1) & (at_P >= i * size)
    return terms_BP, owner_BP, mine_BP

  def mean_idf(self, count_B1) -> jax.Array:
    """Mean of Okapi's weight over the distinct words of each store.

    Sorting takes more than linear time, so only as much of the pool is sorted
    as is in use, rounded up to half, a quarter, ... of it.
    """
    P = self.terms_P.shape[-1]
    sizes = [P] + [P >> n for n in range(1, _HALVINGS) if P >> n]
    fits = sum((self.tail_B1.max() <= size) for size in sizes[1:])
    return jax.lax.switch(
      fits,
      [functools.partial(self._mean_idf, size=size) for size in sizes],
      count_B1,
    )

  def _mean_idf(self, count_B1, *, size: int) -> jax.Array:
    last = jnp.iinfo(jnp.int32).max
    terms_BP, owner_BP, mine_BP = self.read(0, size)
    # `ops.pack` sorts the words of an entry: equal ones are neighbours.
    mine_BP &= ~(_same_as_before(terms_BP) & _same_as_before(owner_BP))
    terms_BP = jnp.sort(jnp.where(mine_BP, terms_BP, last))
    new_BP = ~_same_as_before(terms_BP)
    at_P = jnp.arange(size)
    run_BP = at_P - jax.lax.cummax(jnp.where(new_BP, at_P, 0), axis=1)
    ends_BP = jnp.roll(new_BP, -1, -1).at[:, -1].set(True)
    ends_BP &= terms_BP != last
    idf_BP = _okapi(run_BP + 1, count_B1)
    total_B1 = jnp.where(ends_BP, idf_BP, 0).sum(-1, keepdims=True)
    return total_B1 / jnp.maximum(ends_BP.sum(-1, keepdims=True), 1)


def _owner(start_BM, at, size: int) -> jax.Array:
  """The row whose span covers each of `size` positions from `at` on.

  Spans lie in row order without holes, so it is the last row that starts at
  or before the position: rows without words lose to their successor.
  """
  B = start_BM.shape[0]
  inside_BM = (start_BM > at) & (start_BM < at + size)
  place_BM = jnp.where(inside_BM, start_BM - at, size)
  before_B1 = (start_BM <= at).sum(-1, keepdims=True)
  starts_BP = jnp.zeros((B, size), jnp.int32)
  starts_BP = starts_BP.at[jnp.arange(B)[:, None], place_BM].add(1, mode='drop')
  return jnp.maximum(before_B1 + jnp.cumsum(starts_BP, -1) - 1, 0)


@jax.vmap
def _take(x_N, at_K) -> jax.Array:
  # Five times the speed of `take_along_axis`, which also checks the bounds.
  return x_N.at[at_K].get(mode='promise_in_bounds')


def _same_as_before(x_BP) -> jax.Array:
  return (x_BP == jnp.roll(x_BP, 1, -1)).at[:, 0].set(False)


def _find(sorted_BU, x_BN) -> jax.Array:
  """The first place whose value is not below x; the last place if all are."""
  U = sorted_BU.shape[-1]
  place_BN = jnp.zeros_like(x_BN)
  for bit in reversed(range(U.bit_length())):
    after_BN = place_BN + 2**bit
    at_BN = jnp.minimum(after_BN, U) - 1
    below_BN = _take(sorted_BU, at_BN) < x_BN
    place_BN = jnp.where((after_BN <= U) & below_BN, after_BN, place_BN)
  return jnp.minimum(place_BN, U - 1)


def _idf(df, count, floor) -> jax.Array:
  """Weights of words; with rank_bm25's floor if there is one."""
  if floor is None:
    return jnp.log1p((count - df + 0.5) / (df + 0.5))
  return jnp.where(2 * df > count, floor, _okapi(df, count))


def _okapi(df, count) -> jax.Array:
  return jnp.log((count - df + 0.5) / (df + 0.5))
