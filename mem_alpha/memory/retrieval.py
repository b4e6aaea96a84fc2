"""BM25 over the live entries of one kind, on the device.

An entry is a document, its words are ids in `terms_P`. Two ways to weigh a
word that df of the N documents contain:

- 'default': log(1 + (N - df + .5) / (df + .5)), never negative. Okapi's own
  weight is negative for a word of most documents, so it turns the ranking of a
  tiny store upside down.
- 'reference': what the package rank_bm25 does. log((N - df + .5) / (df + .5)),
  and where that is negative, a quarter of its mean over all words of the store.

A word that a query repeats counts each time; -1 is padding or a word that no
entry has, and counts nothing. Entries that share no word with the query score
0 and are returned too; among equal scores the older entry comes first.
"""

import functools
import math

import jax
import jax.numpy as jnp

from mem_alpha.memory import state

IDF = ('default', 'reference')
_EPSILON = 0.25  # of rank_bm25's floor
_MAX_COUNTS = 2**20  # word counts that are held at once for one memory
_MAX_ROWS = 8  # memories that are searched at once on one device


def bm25(
  memory: state.Memory,
  query_W: jax.Array,
  *,
  kind: int,
  idf: str = 'default',
  k1: float = 1.5,
  b: float = 0.75,
) -> jax.Array:
  """scores_M of one query; -inf for rows that are not live or of this kind."""
  scores = functools.partial(_scores, kind=kind, idf=idf, k1=k1, b=b)
  return scores(memory, query_W[None])[0]


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
) -> tuple[jax.Array, jax.Array]:
  """The k best entries of a kind per query: rows_BQK and scores_BQK.

  The row is the `order` of the entry in `state.snapshot`. Where a memory has
  fewer than k entries, the rest is row -1 with score -inf.
  """

  def search(memory_B, queries_BQW):
    def one(pair):
      memory, queries_QW = pair
      scores_QM = _scores(memory, queries_QW, kind=kind, idf=idf, k1=k1, b=b)
      return _best(memory, scores_QM, k)

    # Not all at once: the counts of one memory take as much as its pools.
    pairs = (memory_B, queries_BQW)
    return jax.lax.map(one, pairs, batch_size=_MAX_ROWS)

  return state.on_shards(search)(memory_B, queries_BQW)


def _best(memory: state.Memory, scores_QM, k: int):
  oldest_first_M = jnp.argsort(memory.entry_M)
  scores_QM = scores_QM[:, oldest_first_M]
  scores_QM = jnp.pad(
    scores_QM,
    ((0, 0), (0, max(0, k - scores_QM.shape[-1]))),
    constant_values=-jnp.inf,
  )
  scores_QK, place_QK = jax.lax.top_k(scores_QM, k)  # equal: the first wins
  rows_QK = oldest_first_M[place_QK]
  return jnp.where(scores_QK > -jnp.inf, rows_QK, -1), scores_QK


def _scores(memory: state.Memory, queries_QW, *, kind, idf, k1, b) -> jax.Array:
  """scores_QM, with one pass over the pool per block of queries."""
  if idf not in IDF:
    raise ValueError(f'idf is one of {IDF}, not {idf!r}.')
  P, M = memory.terms_P.size, memory.kind_M.size
  used_M = jnp.arange(M) < memory.next_row
  mine_M = state.live(memory) & (memory.kind_M == kind)
  owner_P = state.span_owner(memory.term_start_M, used_M, size=P)
  mine_P = mine_M[owner_P] & (jnp.arange(P) < memory.term_tail)
  count = mine_M.sum()
  mean_terms = (mine_M * memory.num_terms_M).sum() / jnp.maximum(count, 1)
  share_M = memory.num_terms_M / jnp.where(mean_terms > 0, mean_terms, 1)
  norm_M = k1 * (1 - b + b * share_M)
  floor = None
  if idf == 'reference':
    floor = _EPSILON * _mean_idf(memory.terms_P, owner_P, mine_P, count)

  def score(block_QW):
    word_U = jnp.sort(block_QW.ravel())
    place_P = _find(word_U, memory.terms_P)
    hit_P = mine_P & (word_U[place_P] == memory.terms_P)
    place_P = jnp.where(hit_P, place_P, word_U.size)
    tf_UM = jnp.zeros((word_U.size, M)).at[place_P, owner_P].add(1, mode='drop')
    idf_U = _idf((tf_UM > 0).sum(-1), count, floor)
    weight_UM = idf_U[:, None] * tf_UM * (k1 + 1) / (tf_UM + norm_M)
    return weight_UM[_find(word_U, block_QW)].sum(-2)

  scores_QM = _map_blocks(score, queries_QW, size=M)
  return jnp.where(mine_M, scores_QM, -jnp.inf)


def _map_blocks(score, queries_QW, *, size: int) -> jax.Array:
  """Scores the queries block by block, so that the counts fit in memory."""
  num_queries, num_words = queries_QW.shape
  block = max(1, min(num_queries, _MAX_COUNTS // (num_words * size)))
  blocks = math.ceil(num_queries / block)
  padded_QW = jnp.pad(
    queries_QW,
    ((0, blocks * block - num_queries), (0, 0)),
    constant_values=-1,
  )
  scores = jax.lax.map(score, padded_QW.reshape(blocks, block, num_words))
  return scores.reshape(blocks * block, size)[:num_queries]


def _find(sorted_U, x) -> jax.Array:
  """The first place whose value is not below x; the last place if all are."""
  place = jnp.zeros_like(x)
  for bit in reversed(range(sorted_U.size.bit_length())):
    after = place + 2**bit
    below = sorted_U[jnp.minimum(after, sorted_U.size) - 1] < x
    place = jnp.where((after <= sorted_U.size) & below, after, place)
  return jnp.minimum(place, sorted_U.size - 1)


def _idf(df, count, floor) -> jax.Array:
  """Weights of words; with rank_bm25's floor if there is one."""
  ratio = (count - df + 0.5) / (df + 0.5)
  if floor is None:
    return jnp.log1p(ratio)
  return jnp.where(2 * df > count, floor, jnp.log(ratio))


def _mean_idf(terms_P, owner_P, mine_P, count) -> jax.Array:
  """Mean of Okapi's weight over the distinct words of the store."""
  size = terms_P.size
  last = jnp.iinfo(jnp.int32).max
  terms_P, owner_P = jax.lax.sort(
    (jnp.where(mine_P, terms_P, last), owner_P), num_keys=2
  )
  first_P = jnp.arange(size) == 0
  new_term_P = first_P | (terms_P != jnp.roll(terms_P, 1))
  new_pair_P = new_term_P | (owner_P != jnp.roll(owner_P, 1))
  word_P = jnp.cumsum(new_term_P) - 1
  mine_P = terms_P != last
  df_U = jnp.zeros(size, jnp.int32).at[word_P].add(new_pair_P & mine_P)
  idf_U = jnp.log((count - df_U + 0.5) / (df_U + 0.5))
  words = (new_term_P & mine_P).sum()
  return jnp.where(df_U > 0, idf_U, 0).sum() / jnp.maximum(words, 1)
