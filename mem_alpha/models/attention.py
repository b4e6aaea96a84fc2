"""Attention: rotary positions, and who reads whom.

Pure functions on arrays. Query heads are stored as [K, G]: G query heads read
each of the K key-value heads, so no step ever repeats keys or splits a sharded
axis. A token reads earlier tokens of its own segment and itself. Padding is
segment 0 and so reads padding only, which keeps its rows finite.

How whole rows are computed depends on the platform (`models/kernels.py`).
"""

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import mesh
from mem_alpha.models import kernels

# What each platform computes whole rows with; Config.attention overrides it.
BY_PLATFORM = {'cpu': 'heads', 'gpu': 'cudnn', 'tpu': 'splash'}
NEGATIVE = kernels.NEGATIVE


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


def attend(q_BTKGH, k_BTKH, v_BTKH, segment_BT, *, prefix=None, kernel='auto'):
  """Causal attention within segments, [B, T, K, G, H] like the queries.

  `prefix` holds keys and values [K, P, H] that every token reads besides.
  Every row and key-value head is on its own, hence local to a device.
  """
  name = BY_PLATFORM[mesh.platform()] if kernel == 'auto' else kernel
  if prefix is not None:
    k_BTKH = _after(prefix[0], k_BTKH)
    v_BTKH = _after(prefix[1], v_BTKH)
  local = kernels.KERNELS[name]
  if not jax.sharding.get_abstract_mesh().empty:
    split = jax.P('fsdp', None, 'tp')
    local = jax.shard_map(
      local,
      in_specs=(split, split, split, jax.P('fsdp')),
      out_specs=split,
      check_vma=name != 'splash',  # Pallas calls do not say what varies
    )
  return local(q_BTKGH, k_BTKH, v_BTKH, segment_BT)


def _after(prefix_KPH, x_BTKH):
  """Columns of the prefix, then those of each row."""
  shape = (x_BTKH.shape[0], *prefix_KPH.swapaxes(0, 1).shape)
  wide_BPKH = jnp.broadcast_to(
    prefix_KPH.swapaxes(0, 1).astype(x_BTKH.dtype),
    shape,
    out_sharding=mesh.spec('fsdp', None, 'tp', None),
  )
  return jnp.concatenate([wide_BPKH, x_BTKH], axis=1)


def attend_cached(q_BKGH, k_BKSH, v_BKSH, valid_BS, prefix=None):
  """One query per row over the valid columns of its cache, and a prefix."""
  q_BKGH = q_BKGH * q_BKGH.shape[-1] ** -0.5
  score_BKGS = _einsum('BKGH,BKSH->BKGS', q_BKGH, k_BKSH)
  score_BKGS = jnp.where(valid_BS[:, None, None], score_BKGS, NEGATIVE)
  best_BKG1 = score_BKGS.max(-1, keepdims=True)
  if prefix is not None:  # one product for all rows: its keys are read once
    score_BKGP = _einsum('BKGH,KPH->BKGP', q_BKGH, prefix[0])
    best_BKG1 = jnp.maximum(best_BKG1, score_BKGP.max(-1, keepdims=True))
  weight_BKGS = jnp.exp(score_BKGS - best_BKG1)
  total_BKG1 = weight_BKGS.sum(-1, keepdims=True)
  dtype = v_BKSH.dtype
  out_BKGH = _einsum('BKGS,BKSH->BKGH', weight_BKGS.astype(dtype), v_BKSH)
  if prefix is not None:
    weight_BKGP = jnp.exp(score_BKGP - best_BKG1)
    total_BKG1 += weight_BKGP.sum(-1, keepdims=True)
    weight_BKGP = weight_BKGP.astype(dtype)
    out_BKGH += _einsum('BKGP,KPH->BKGH', weight_BKGP, prefix[1])
  return (out_BKGH / total_BKG1).astype(dtype)


def _einsum(letters, a, b):
  return jnp.einsum(letters, a, b, preferred_element_type=jnp.float32)
