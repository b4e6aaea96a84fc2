"""Attention on CPU: rows and key-value heads one after the other.

Plain matrix products whose operands stay in cache are about three times as fast
there as batched ones. Blocks of queries skip the keys that come after them. The
gradient is written out, as flash attention has it (arXiv 2205.14135, algorithm
4): of the forward pass only the result and each query's log of summed weights
are needed, so that no score outlives its block.
"""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

NEGATIVE = -1e30  # score of a key that is not read
KEPT = 'attention'  # name of what the gradient needs of the forward pass


def heads(q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS):
  """Takes and gives what all kernels do (see kernels.py)."""
  B, T, K, G, H = q_BTKGH.shape
  out_XGTH = _attend(
    q_BTKGH.transpose(0, 2, 3, 1, 4).reshape(B * K, G, T, H),
    k_BSKH.swapaxes(1, 2).reshape(B * K, -1, H),
    v_BSKH.swapaxes(1, 2).reshape(B * K, -1, H),
    jnp.repeat(segment_BT, K, axis=0),
    jnp.repeat(segment_BS, K, axis=0),
  )
  return out_XGTH.reshape(B, K, G, T, H).transpose(0, 3, 1, 2, 4)


def mask(segment_T, segment_S):
  """Who reads whom: earlier tokens of one's segment, and the prefix."""
  T, S = segment_T.shape[-1], segment_S.shape[-1]
  same_TS = segment_T[..., :, None] == segment_S[..., None, :]
  return same_TS & jnp.tri(T, S, S - T, dtype=bool)


@jax.custom_vjp
def _attend(*args):
  return _forward(*args)[0]


def _forward(*args):
  out_XGTH, log_XGT = jax.lax.map(lambda xs: _one(*xs), args)
  out_XGTH = checkpoint_name(out_XGTH, KEPT)
  return out_XGTH, (*args, out_XGTH, checkpoint_name(log_XGT, KEPT))


def _backward(kept, grad_XGTH):
  grads = jax.lax.map(lambda xs: _one_backward(*xs), (*kept, grad_XGTH))
  return *grads, None, None


_attend.defvjp(_forward, _backward)


def _one(q_GTH, k_SH, v_SH, *segments):
  """Result, and log of the sum of weights, of one row and key-value head."""
  out, log = [], []
  for _, keys, score_GQK in _blocks(q_GTH, k_SH, *segments):
    best_GQ1 = score_GQK.max(-1, keepdims=True)
    weight_GQK = jnp.exp(score_GQK - best_GQ1)
    total_GQ1 = weight_GQK.sum(-1, keepdims=True)
    # Divided after the product, which is smaller than the weights.
    out_GQH = _product(weight_GQK.astype(v_SH.dtype), v_SH[keys]) / total_GQ1
    out.append(out_GQH.astype(v_SH.dtype))
    log.append((best_GQ1 + jnp.log(total_GQ1))[..., 0])
  return jnp.concatenate(out, axis=1), jnp.concatenate(log, axis=1)


def _one_backward(q_GTH, k_SH, v_SH, segment_T, segment_S, out, log_GT, grad):
  """Gradients of queries, keys and values, given that of the result."""
  H, dtype = q_GTH.shape[-1], q_GTH.dtype
  mean_GT = jnp.einsum(
    'GTH,GTH->GT', grad, out, preferred_element_type=jnp.float32
  )
  grad_q = []
  grad_k_SH, grad_v_SH = jnp.zeros((2, *k_SH.shape), jnp.float32)
  for own, keys, score_GQK in _blocks(q_GTH, k_SH, segment_T, segment_S):
    weight_GQK = jnp.exp(score_GQK - log_GT[:, own, None])
    change_GQK = _product(grad[:, own], v_SH[keys].T) - mean_GT[:, own, None]
    change_GQK = (weight_GQK * change_GQK * H**-0.5).astype(dtype)
    grad_q.append(_product(change_GQK, k_SH[keys]).astype(dtype))
    grad_k_SH = grad_k_SH.at[keys].add(_over_queries(change_GQK, q_GTH[:, own]))
    weight_GQK = weight_GQK.astype(dtype)
    grad_v_SH = grad_v_SH.at[keys].add(_over_queries(weight_GQK, grad[:, own]))
  grad_q_GTH = jnp.concatenate(grad_q, axis=1)
  return grad_q_GTH, grad_k_SH.astype(dtype), grad_v_SH.astype(dtype)


def _blocks(q_GTH, k_SH, segment_T, segment_S):
  """Slices of queries and of the keys they may read, and their scores."""
  T, H = q_GTH.shape[1:]
  prefix = k_SH.shape[0] - T
  size = max(64, -(-T // 8))
  mask_TS = mask(segment_T, segment_S)
  q_GTH = q_GTH * H**-0.5
  for start in range(0, T, size):
    own = slice(start, min(start + size, T))
    keys = slice(0, prefix + own.stop)
    score_GQK = _product(q_GTH[:, own], k_SH[keys].T)
    yield own, keys, jnp.where(mask_TS[own, keys], score_GQK, NEGATIVE)


def _product(x_GQA, y_AB):
  """One product for all query heads."""
  x_RA = x_GQA.reshape(-1, x_GQA.shape[-1])
  out_RB = jnp.matmul(x_RA, y_AB, preferred_element_type=jnp.float32)
  return out_RB.reshape(*x_GQA.shape[:2], -1)


def _over_queries(x_GQK, y_GQH):
  """What every key gets from all queries."""
  x_RK, y_RH = (z.reshape(-1, z.shape[-1]) for z in (x_GQK, y_GQH))
  return jnp.matmul(x_RK.T, y_RH, preferred_element_type=jnp.float32)
