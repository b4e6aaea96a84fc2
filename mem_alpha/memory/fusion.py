"""Dense retrieval, and its fusion with BM25 by reciprocal rank.

The embeddings are the caller's: one vector per row of a memory's table (the
`order` of `state.snapshot`) and one per query. Similarity is the cosine; a
vector of zeros means that there is none, and is similar to nothing.

Fusion (Cormack et al. 2009) adds 1 / (60 + rank) over the two rankings, ranks
from 1. An entry has no rank in a ranking that says nothing of it: a BM25 score
of 0 or a similarity of 0. So a query without known words is answered by its
vector alone, and one without a vector by its words alone.
"""

import dataclasses

import jax
import jax.numpy as jnp

_SMOOTHING = 60


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Vectors:
  """Embeddings in E dimensions. `alone`: rank by similarity, without BM25."""

  rows_BME: jax.Array
  queries_BQE: jax.Array
  alone: bool = dataclasses.field(default=False, metadata={'static': True})


def fuse(bm25_BQM, vectors: Vectors, mine_BM, entry_BM) -> jax.Array:
  """Scores of the fused ranking, or the similarities where they are alone."""
  cosine_BQM = similarity(vectors)
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


def _unit(x) -> jax.Array:
  norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
  return x / jnp.where(norm > 0, norm, 1)
