"""Ways to compute causal attention of whole rows; all give the same numbers.

Each takes queries [B, T, K, G, H], keys and values [B, S, K, H], the segments
[B, T] of the queries and [B, S] of the keys, and returns [B, T, K, G, H]. The
last T keys belong to the queries, in their order; the S - T before them are a
prefix. A query reads the keys of its segment, of its own T no later ones.

`einsum` is the reference: it holds all scores at once. `heads` is for CPU (see
heads.py). `cudnn` and `splash` call the fused kernels of GPU and TPU.
"""

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu import splash_attention as splash_lib

from mem_alpha import mesh
from mem_alpha.models import heads


def einsum(q_BTKGH, k_BSKH, v_BSKH, segment_BT, segment_BS):
  mask_BTS = heads.mask(segment_BT, segment_BS)
  score_BKGTS = jnp.einsum(
    'BTKGH,BSKH->BKGTS',
    q_BTKGH * q_BTKGH.shape[-1] ** -0.5,
    k_BSKH,
    preferred_element_type=jnp.float32,
  )
  score_BKGTS = jnp.where(mask_BTS[:, None, None], score_BKGTS, heads.NEGATIVE)
  weight_BKGTS = jax.nn.softmax(score_BKGTS).astype(v_BSKH.dtype)
  return jnp.einsum('BKGTS,BSKH->BTKGH', weight_BKGTS, v_BSKH)


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
    mask=heads.mask(segment_BT, segment_BS)[:, None],
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
    residual_checkpoint_name=heads.KEPT,
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
  'heads': heads.heads,
  'cudnn': cudnn,
  'splash': splash,
}
