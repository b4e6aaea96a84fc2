"""Attention: rotary positions, masks, and grouped-query attention.

Pure functions on arrays. Query heads are stored as [K, G]: G query heads read
each of the K key-value heads, so no step ever repeats keys or splits a sharded
axis. A token reads earlier tokens of its own segment and itself. Padding is
segment 0 and so reads padding only, which keeps its rows finite.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import mesh

NEGATIVE = -1e30  # score of a key that is not read


def segment_positions(segment_BT):
  """Position of each token within its run of equal segment ids."""
  index_T = jnp.arange(segment_BT.shape[1])
  begins_BT = segment_BT != jnp.roll(segment_BT, 1, axis=1)
  begins_BT |= index_T == 0
  return index_T - jax.lax.cummax(jnp.where(begins_BT, index_T, 0), axis=1)


def rope(position, *, head_width, theta, scaling):
  """Cosines and sines [..., H / 2] of rotary positions, in float32."""
  frequency = jnp.asarray(_frequencies(head_width, theta, scaling))
  angle = position[..., None].astype(jnp.float32) * frequency
  return jnp.cos(angle), jnp.sin(angle)


def _frequencies(head_width, theta, scaling):
  """Rotation per position and pair; `scaling` is Llama 3's, or None."""
  frequency = theta ** -(np.arange(0, head_width, 2) / head_width)
  if scaling is None:
    return frequency.astype(np.float32)
  factor, low, high, original = scaling
  # Fast pairs stay, slow pairs are stretched by `factor`, the rest blend.
  turns = original * frequency / (2 * np.pi)
  keep = np.clip((turns - low) / (high - low), 0, 1)
  return (frequency * (keep + (1 - keep) / factor)).astype(np.float32)


def rotate(x_BTKGH, cos_BTH, sin_BTH):
  """Applies rotary positions to pairs (i, i + H / 2)."""
  lead = cos_BTH.shape[:2] + (1,) * (x_BTKGH.ndim - 3) + cos_BTH.shape[2:]
  cos, sin = cos_BTH.reshape(lead), sin_BTH.reshape(lead)
  a, b = jnp.split(x_BTKGH.astype(jnp.float32), 2, axis=-1)
  out = jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
  return out.astype(x_BTKGH.dtype)


def attend(q_BTKGH, k_BTKH, v_BTKH, segment_BT):
  """Causal attention within segments, [B, T, K, G, H] like the queries.

  Every row and key-value head is on its own, hence local to a device. On CPU
  they are taken one after the other: plain matrix products whose operands stay
  in cache are about three times as fast there as batched ones.
  """
  rows = jax.lax.map if mesh.platform() == 'cpu' else _vmap

  def local(q_BKGTH, k_BKTH, v_BKTH, segment_BT):
    B, K = k_BKTH.shape[:2]
    segment_XT = jnp.repeat(segment_BT, K, axis=0)
    args = (jax.lax.collapse(x, 0, 2) for x in (q_BKGTH, k_BKTH, v_BKTH))
    out_XGTH = rows(lambda xs: _attend_head(*xs), (*args, segment_XT))
    return out_XGTH.reshape(B, K, *out_XGTH.shape[1:])

  if not jax.sharding.get_abstract_mesh().empty:
    split = jax.P('fsdp', 'tp')
    local = jax.shard_map(
      local, in_specs=(split, split, split, jax.P('fsdp')), out_specs=split
    )
  out_BKGTH = local(
    q_BTKGH.transpose(0, 2, 3, 1, 4),
    k_BTKH.swapaxes(1, 2),
    v_BTKH.swapaxes(1, 2),
    segment_BT,
  )
  return out_BKGTH.transpose(0, 3, 1, 2, 4)


def _vmap(f, xs):
  return jax.vmap(f)(xs)


@jax.checkpoint  # scores are cheaper to compute again than to keep
def _attend_head(q_GTH, k_TH, v_TH, segment_T):
  """One row and key-value head; blocks of queries skip the keys after them."""
  G, T, H = q_GTH.shape
  block = max(64, -(-T // 8))
  out = []
  for start in range(0, T, block):
    end = min(start + block, T)
    mask_TS = segment_T[start:end, None] == segment_T[None, :end]
    mask_TS &= jnp.arange(start, end)[:, None] >= jnp.arange(end)
    out_XH = _softmax_average(
      q_GTH[:, start:end].reshape(-1, H),
      k_TH[:end],
      v_TH[:end],
      jnp.tile(mask_TS, (G, 1)),
    )
    out.append(out_XH.reshape(G, end - start, H))
  return jnp.concatenate(out, axis=1)


def _softmax_average(q_TH, k_SH, v_SH, mask_TS):
  """Scores, softmax and sum in float32; divides once, after the product."""
  score_TS = jnp.matmul(
    q_TH * q_TH.shape[-1] ** -0.5,
    k_SH.T,
    preferred_element_type=jnp.float32,
  )
  score_TS = jnp.where(mask_TS, score_TS, NEGATIVE)
  best_T1 = jax.lax.stop_gradient(score_TS.max(-1, keepdims=True))
  weight_TS = jnp.exp(score_TS - best_T1)
  out_TH = jnp.matmul(
    weight_TS.astype(v_SH.dtype), v_SH, preferred_element_type=jnp.float32
  )
  return (out_TH / weight_TS.sum(-1, keepdims=True)).astype(v_SH.dtype)


def attend_cached(q_BKGH, k_BKSH, v_BKSH, valid_BS):
  """One query per row over the valid columns of a cache."""
  score_BKGS = jnp.einsum(
    'BKGH,BKSH->BKGS',
    q_BKGH * q_BKGH.shape[-1] ** -0.5,
    k_BKSH,
    preferred_element_type=jnp.float32,
  )
  score_BKGS = jnp.where(valid_BS[:, None, None], score_BKGS, NEGATIVE)
  weight_BKGS = jnp.exp(score_BKGS - score_BKGS.max(-1, keepdims=True))
  out_BKGH = jnp.einsum(
    'BKGS,BKSH->BKGH',
    weight_BKGS.astype(v_BKSH.dtype),
    v_BKSH,
    preferred_element_type=jnp.float32,
  )
  out_BKGH /= weight_BKGS.sum(-1, keepdims=True)
  return out_BKGH.astype(v_BKSH.dtype)
