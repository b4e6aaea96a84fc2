"""Ways to compute causal attention of whole rows; all give the same numbers.

Each takes queries [B, T, K, G, H], keys and values [B, S, K, H], the segments
[B, T] of the queries and [B, S] of the keys, and returns [B, T, K, G, H]. The
last T keys belong to the queries, in their order; the S - T before them are a
prefix. A query reads the keys of its segment, of its own T no later ones.

`einsum` is the reference: it holds all scores at once. `heads` takes rows and
key-value heads one after the other: on CPU, plain matrix products whose
operands stay in cache are about three times as fast as batched ones. `cudnn`
and `splash` call the fused kernels of GPU and TPU.
"""

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention as splash_lib

from mem_alpha import mesh

NEGATIVE = -1e30  # score of a key that is not read


def einsum(q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS):
  mask_BTS = _mask(segment_BT, segment_BS)
  score_BKGTS = jnp.einsum(
    'BTKGH,BSKH->BKGTS',
    q_BTKGH * q_BTKGH.shape[-1] ** -0.5,
    k_BSKH,
    preferred_element_type=jnp.float32,
  )
  score_BKGTS = jnp.where(mask_BTS[:, None, None], score_BKGTS, NEGATIVE)
  weight_BKGTS = jax.nn.softmax(score_BKGTS).astype(v_BSKH.dtype)
  return jnp.einsum('BKGTS,BSKH->BTKGH', weight_BKGTS, v_BSKH)


def _mask(segment_BT, segment_BS):
  """Who reads whom: earlier tokens of one's segment, and the prefix."""
  T, S = segment_BT.shape[1], segment_BS.shape[1]
  same_BTS = segment_BT[:, :, None] == segment_BS[:, None]
  return same_BTS & jnp.tri(T, S, S - T, dtype=bool)


def heads(q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS):
  B, T, K, G, H = q_BTKGH.shape
  args = (
    q_BTKGH.transpose(0, 2, 3, 1, 4).reshape(B * K, G, T, H),
    k_BSKH.swapaxes(1, 2).reshape(B * K, -1, H),
    v_BSKH.swapaxes(1, 2).reshape(B * K, -1, H),
    jnp.repeat(segment_BT, K, axis=0),
    jnp.repeat(segment_BS, K, axis=0),
  )
  out_XGTH = jax.lax.map(lambda xs: _one_head(*xs), args)
  return out_XGTH.reshape(B, K, G, T, H).transpose(0, 3, 1, 2, 4)


@jax.checkpoint  # scores are cheaper to compute again than to keep
def _one_head(q_GTH, k_SH, v_SH, segment_T, segment_S):
  """One row and key-value head; blocks of queries skip the keys after them."""
  G, T, H = q_GTH.shape
  prefix = k_SH.shape[0] - T
  block = max(64, -(-T // 8))
  mask_TS = _mask(segment_T[None], segment_S[None])[0]
  out = []
  for start in range(0, T, block):
    end = min(start + block, T)
    out_XH = _softmax_average(
      q_GTH[:, start:end].reshape(-1, H),
      k_SH[: prefix + end],
      v_SH[: prefix + end],
      jnp.tile(mask_TS[start:end, : prefix + end], (G, 1)),
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


def cudnn(q_BTKGH, *keys):
  """cuDNN's flash attention; it takes 16-bit numbers, so others go einsum."""
  if q_BTKGH.dtype not in (jnp.bfloat16, jnp.float16):
    return einsum(q_BTKGH, *keys)
  return dot_product(q_BTKGH, *keys, implementation='cudnn')


def dot_product(
  q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS, *, implementation
):
  """`jax.nn.dot_product_attention`; implementation is 'cudnn' or 'xla'."""
  B, T, K, G, H = q_BTKGH.shape
  out_BTNH = jax.nn.dot_product_attention(
    q_BTKGH.reshape(B, T, K * G, H),
    k_BSKH,
    v_BSKH,
    mask=_mask(segment_BT, segment_BS)[:, None],
    implementation=implementation,
  )
  return out_BTNH.reshape(q_BTKGH.shape)


def splash(q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS):
  """Pallas' flash attention for TPU; elsewhere it is interpreted, slowly.

  Lengths and head width are filled up to the tiles of the kernel.
  """
  _, T, _, G, H = q_BTKGH.shape
  P = k_BSKH.shape[1] - T
  rows = -T % _TILE
  columns = -(P + T + rows) % _TILE
  mask = splash_lib.CausalMask((T + rows, P + T + rows + columns), offset=P)
  call = splash_lib.make_splash_mqa_single_device(
    splash_lib.MultiHeadMask([mask] * G),
    block_sizes=_BLOCKS,
    interpret=mesh.platform() != 'tpu',
  )

  def fill(x, count):
    pad = [(0, 0)] * x.ndim
    pad[1] = (0, count)
    if x.ndim > 2:
      pad[-1] = (0, -H % _TILE)
    return jnp.pad(x, pad)

  # Padding reads padding, and no query reads the columns after its own.
  ids = splash_lib.SegmentIds(
    fill(segment_BT, rows), fill(segment_BS, rows + columns)
  )
  out_BKGTH = jax.vmap(jax.vmap(call, (0, 0, 0, None)))(
    fill(q_BTKGH * H**-0.5, rows).transpose(0, 2, 3, 1, 4),
    fill(k_BSKH, rows + columns).swapaxes(1, 2),
    fill(v_BSKH, rows + columns).swapaxes(1, 2),
    ids,
  )
  return out_BKGTH.transpose(0, 3, 1, 2, 4)[:, :T, ..., :H]


_TILE = 128
_BLOCKS = splash_lib.BlockSizes(
  block_q=_TILE,
  block_kv=_TILE,
  block_q_dkv=_TILE,
  block_kv_dkv=_TILE,
  block_q_dq=_TILE,
  block_kv_dq=_TILE,
)

KERNELS = {
  'einsum': einsum,
  'heads': heads,
  'cudnn': cudnn,
  'splash': splash,
}
