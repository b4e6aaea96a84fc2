"""The arithmetic that the decoder is made of, on plain arrays.

Products are folded to two dimensions: one plain product is much faster on CPU
than one over several axes, in the backward pass above all. `project` splits
its result over 'tp'; `contract` sums over what `project` split, which is the
only place where the devices of 'tp' exchange activations.
"""

import jax
import jax.numpy as jnp

from mem_alpha import mesh


def rms_norm(x, scale, eps):
  y = x.astype(jnp.float32)
  y *= jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + eps)
  return (y * scale).astype(x.dtype)


def project(x_BTD, w):
  """x [B, T, D] times w [D, ...], whose second axis is on tp."""
  B, T, D = x_BTD.shape
  x_RD = mesh.reshape(x_BTD, (B * T, D), 'fsdp')
  w_DF = mesh.reshape(w, (D, -1), None, 'tp')
  shape = (B, T, *w.shape[1:])
  return mesh.reshape(x_RD @ w_DF, shape, 'fsdp', None, 'tp')


def contract(x, w):
  """x [B, T, ...] times w [..., D], whose first axis is on tp."""
  B, T, D = *x.shape[:2], w.shape[-1]
  x_RF = mesh.reshape(x, (B * T, -1), 'fsdp', 'tp')
  w_FD = mesh.reshape(w, (-1, D), 'tp')
  out = mesh.spec('fsdp', None)
  y_RD = jnp.einsum('RF,FD->RD', x_RF, w_FD, out_sharding=out)
  return mesh.reshape(y_RD, (B, T, D), 'fsdp')


def mix_past(h_BTD, taps_WD, position_BT, past_BWD=None):
  """Adds a weighted sum of the W tokens before; also past and h, joined.

  Tokens before the start of the segment (position 0) count as zero. Without
  `past_BWD` the rows begin at their first column.
  """
  T, W = h_BTD.shape[1], taps_WD.shape[0]
  if past_BWD is None:
    all_BSD = jnp.pad(h_BTD, ((0, 0), (W, 0), (0, 0)))
  else:
    all_BSD = jnp.concatenate([past_BWD, h_BTD], axis=1)
  for w in range(1, W + 1):
    near_BTD = all_BSD[:, W - w : W - w + T]
    near_BTD = jnp.where(position_BT[..., None] >= w, near_BTD, 0)
    h_BTD += taps_WD[w - 1] * near_BTD
  return h_BTD, all_BSD


def log_prob_and_entropy(score_RV, target_R):
  """Of each target, and of each distribution; V may be split over tp."""
  logp_RV = jax.nn.log_softmax(score_RV)
  # A sum over a mask, not a gather: it needs no whole row on any device.
  hit_RV = jnp.arange(score_RV.shape[1]) == target_R[:, None]
  logp_R = jnp.where(hit_RV, logp_RV, 0).sum(-1)
  return logp_R, -(jnp.exp(logp_RV) * logp_RV).sum(-1)
