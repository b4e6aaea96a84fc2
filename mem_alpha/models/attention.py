"""Attention: rotary positions, and who reads whom.

Pure functions on arrays. Query heads are stored as [K, G]: G query heads read
each of the K key-value heads, so no step ever repeats keys or splits a sharded
axis. A token reads earlier tokens of its own segment and itself. Padding is
segment 0 and so reads padding only, which keeps its rows finite.

How whole rows are computed depends on the platform (`models/kernels.py`).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from mem_alpha import mesh
from mem_alpha.models import heads
from mem_alpha.models import kernels

# What each platform computes whole rows with; Config.attention overrides it.
BY_PLATFORM = {'cpu': 'heads', 'gpu': 'cudnn', 'tpu': 'splash'}


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

  `prefix` is (k_XKPH, v_XKPH, length_X): what tokens of segment 1 read besides,
  row b of prefix b // (B / X). Every row and key-value head is on its own,
  hence local to a device.
  """
  name = BY_PLATFORM[mesh.platform()] if kernel == 'auto' else kernel
  segment_BS = segment_BT
  if prefix is not None:
    k_XKPH, v_XKPH, length_X = prefix
    used_XP = jnp.arange(k_XKPH.shape[2]) < length_X[:, None]
    # A column that is not in use is in a segment without tokens.
    segment_BS = _after(jnp.where(used_XP, 1, -1), segment_BT)
    k_BTKH = _after(k_XKPH.swapaxes(1, 2), k_BTKH)
    v_BTKH = _after(v_XKPH.swapaxes(1, 2), v_BTKH)
  local = kernels.KERNELS[name]
  if not jax.sharding.get_abstract_mesh().empty:
    split = jax.P('fsdp', None, 'tp')
    local = jax.shard_map(
      local,
      in_specs=(split, split, split, jax.P('fsdp'), jax.P('fsdp')),
      out_specs=split,
      check_vma=name != 'splash',  # Pallas calls do not say what varies
    )
  return local(q_BTKGH, k_BTKH, v_BTKH, segment_BT, segment_BS)


def _after(prefix_XP, x_BT):
  """Columns of each row's prefix, then its own; any axes may follow."""
  prefix_BP = mesh.spread(prefix_XP.astype(x_BT.dtype), x_BT.shape[0])
  return jnp.concatenate([prefix_BP, x_BT], axis=1)


def attend_cached(q_BKGH, k_BKSH, v_BKSH, valid_BS, prefix=None):
  """One query per row over the valid columns of its cache, and a prefix.

  `prefix` as in `attend`. Rows of one prefix read its keys in one product.
  """
  q_BKGH = q_BKGH * q_BKGH.shape[-1] ** -0.5
  parts = [_read(q_BKGH, k_BKSH, v_BKSH, valid_BS)]
  if prefix is not None:
    k_XKPH, v_XKPH, length_X = prefix
    used_XP = jnp.arange(k_XKPH.shape[2]) < length_X[:, None]
    parts.append(_read(q_BKGH, k_XKPH, v_XKPH, used_XP))
  # Each part's weights are relative to its own best score.
  best_BKG1 = functools.reduce(jnp.maximum, [best for best, *_ in parts])
  scales = [jnp.exp(best - best_BKG1) for best, *_ in parts]
  total_BKG1 = sum(part[1] * scale for part, scale in zip(parts, scales))
  out_BKGH = sum(part[2] * scale for part, scale in zip(parts, scales))
  return (out_BKGH / total_BKG1).astype(v_BKSH.dtype)


def _read(q_BKGH, k_XKSH, v_XKSH, valid_XS):
  """Best score, sum of weights and weighted sum of values of each query.

  Rows of B / X neighbours read the same keys: all their queries are axis Q.
  """
  X, (B, K, G, H) = k_XKSH.shape[0], q_BKGH.shape
  q_XKRGH = mesh.split_rows(q_BKGH, X).swapaxes(1, 2)
  split = mesh.axes(q_XKRGH)[:3]
  score_XKQS = _scores(mesh.reshape(q_XKRGH, (X, K, -1, H), *split), k_XKSH)
  score_XKQS = jnp.where(valid_XS[:, None, None], score_XKQS, heads.NEGATIVE)
  best_XKQ1 = score_XKQS.max(-1, keepdims=True)
  weight_XKQS = jnp.exp(score_XKQS - best_XKQ1)
  total_XKQ1 = weight_XKQS.sum(-1, keepdims=True)
  weight_XKQS = weight_XKQS.astype(v_XKSH.dtype)
  out_XKQH = _einsum('XKQS,XKSH->XKQH', weight_XKQS, v_XKSH)

  def by_row(x_XKQ):
    x_XKRG = mesh.reshape(x_XKQ, (X, K, B // X, G, x_XKQ.shape[-1]), *split)
    return mesh.join_rows(x_XKRG.swapaxes(1, 2))

  return by_row(best_XKQ1), by_row(total_XKQ1), by_row(out_XKQH)


def _scores(q_XKQH, k_XKSH):
  if mesh.platform() != 'cpu':
    return _einsum('XKQH,XKSH->XKQS', q_XKQH, k_XKSH)
  # Keys first, as they lie: twice as fast. The barrier keeps the compiler from
  # turning the product round again.
  score_XKSQ = _einsum('XKSH,XKQH->XKSQ', k_XKSH, q_XKQH)
  return jax.lax.optimization_barrier(score_XKSQ).swapaxes(2, 3)


def _einsum(letters, a, b):
  return jnp.einsum(letters, a, b, preferred_element_type=jnp.float32)
