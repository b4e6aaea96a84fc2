"""Dense retrieval, and its fusion with BM25 by reciprocal rank.

The embeddings are the caller's: one vector per row of a memory's table (the
`order` of `state.snapshot`) and one per query. Similarity is the cosine; a
vector of zeros means that there is none, and is similar to nothing. What floats
cannot tell apart is equal: similarities in a row that lie less than 1e-6 from
the next count as the largest of them, and less than that as 0.

Fusion (Cormack et al. 2009) adds 1 / (60 + rank) over the two rankings, ranks
from 1. An entry has no rank in a ranking that says nothing of it: a BM25 score
of 0 or a similarity of 0. So a query without known words is answered by its
vector alone, and one without a vector by its words alone.
"""

import dataclasses

import jax
import jax.numpy as jnp

_SMOOTHING = 60
_SAME = 1e-6  # of cosines; a float32 dot product is wrong by about 1e-7


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Vectors:
  """Embeddings in E dimensions. `alone`: rank by similarity, without BM25."""

  rows_BME: jax.Array
  queries_BQE: jax.Array
  alone: bool = dataclasses.field(default=False, metadata={'static': True})


def fuse(bm25_BQM, vectors: Vectors, mine_BM, entry_BM) -> jax.Array:
  """Scores of the fused ranking, or the similarities where they are alone."""
  cosine_BQM = _level(similarity(vectors), mine_BM)
  if vectors.alone:
    return cosine_BQM
  order_BM = jnp.argsort(entry_BM)
  place_BM = jnp.argsort(order_BM)
  votes = []
  for scores_BQM in (bm25_BQM, cosine_BQM):
    counts_BQM = mine_BM[:, None] & (scores_BQM != 0)
    scores_BQM = jnp.where(counts_BQM, scores_BQM, -jnp.inf)
    # Oldest first, so that the stable sort ranks the older of equals higher.
    old_BQM = jnp.take_along_axis(scores_BQM, order_BM[:, None], -1)
    rank_BQM = jnp.argsort(jnp.argsort(-old_BQM)) + 1
    rank_BQM = jnp.take_along_axis(rank_BQM, place_BM[:, None], -1)
    votes.append(jnp.where(counts_BQM, 1 / (_SMOOTHING + rank_BQM), 0))
  return sum(votes)


def similarity(vectors: Vectors) -> jax.Array:
  """cosine_BQM of every query and row."""
  return jnp.einsum(
    'bqe,bme->bqm',
    _unit(vectors.queries_BQE),
    _unit(vectors.rows_BME),
    precision=jax.lax.Precision.HIGHEST,
  )


def _level(cosine_BQM, mine_BM) -> jax.Array:
  """Makes similarities equal that only rounding tells apart."""
  near_BQM = jnp.where(jnp.abs(cosine_BQM) < _SAME, 0.0, cosine_BQM)
  near_BQM = jnp.where(mine_BM[:, None], near_BQM, -jnp.inf)
  order_BQM = jnp.argsort(-near_BQM)
  sorted_BQM = jnp.take_along_axis(near_BQM, order_BQM, -1)
  before_BQM = jnp.roll(sorted_BQM, 1, -1).at[..., 0].set(jnp.inf)
  first_BQM = before_BQM - sorted_BQM >= _SAME
  level_BQM = jnp.where(first_BQM, sorted_BQM, jnp.inf)
  level_BQM = jax.lax.cummin(level_BQM, axis=level_BQM.ndim - 1)
  # 0 must stay 0: it says nothing of an entry.
  level_BQM = jnp.where(sorted_BQM == 0, 0.0, level_BQM)
  place_BQM = jnp.argsort(order_BQM)
  return jnp.take_along_axis(level_BQM, place_BQM, -1)


def _unit(x) -> jax.Array:
  norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
  return x / jnp.where(norm > 0, norm, 1)
