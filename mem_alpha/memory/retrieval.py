"""temporary"""
import functools
import jax, jax.numpy as jnp
from mem_alpha import structs
from mem_alpha.memory import state

def bm25(memory, query_W, *, kind, k1=1.5, b=0.75):
  M = memory.kind_M.shape[0]; P = memory.terms_P.shape[0]
  used = jnp.arange(M) < memory.next_row
  owner = state.span_owner(memory.term_start_M, used, size=P)
  inside = jnp.arange(P) < memory.term_tail
  ok = state.live(memory) & used & (memory.kind_M == kind)
  hit = (memory.terms_P[:, None] == query_W[None]) & inside[:, None] & (query_W >= 0)
  tf = jnp.zeros((M, query_W.shape[0])).at[owner].add(hit) * ok[:, None]
  n = ok.sum(); df = (tf > 0).sum(0)
  idf = jnp.log1p((n - df + .5) / (df + .5))
  mean = jnp.maximum((memory.num_terms_M * ok).sum() / jnp.maximum(n, 1), 1)
  norm = k1 * (1 - b + b * memory.num_terms_M / mean)
  sc = (idf * tf * (k1 + 1) / (tf + norm[:, None])).sum(1)
  return jnp.where(ok, sc, -jnp.inf)

@functools.partial(jax.jit, static_argnames=('kind', 'k'))
def top_k(memory_B, queries_BQW, *, kind, k):
  def one(mem, q_QW):
    sc = jax.vmap(lambda q: bm25(mem, q, kind=kind))(q_QW)
    v, i = jax.lax.top_k(sc, min(k, sc.shape[1]))
    return jnp.where(v > -jnp.inf, i, -1), v
  return jax.vmap(one)(memory_B, queries_BQW)
