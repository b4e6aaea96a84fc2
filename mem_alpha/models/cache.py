"""Keys and values that are kept: of the constant prefix, and of every slot.

    prefix = cache.read_prefix(cfg, params, prefix_P)      # once per update
    read = cache.prefill(cfg, params, prefix, tokens_BT, length_B)
    slots = cache.insert(slots, read, slot_B)
    x_BD, slots = cache.decode_step(cfg, params, prefix, token_B, slots)

Rows are left-aligned: token t of a row is in column t, so a row's columns, and
with them its numbers to the bit, do not depend on its neighbours or on when it
came. A prefix, up to P tokens that prompts begin with, is kept once for the
rows that share it: one for all rows, or X for as many groups of neighbours. It
is None where there is nothing to share.
"""

import dataclasses
import operator

import jax
import jax.numpy as jnp

from mem_alpha import mesh
from mem_alpha.models import attention
from mem_alpha.models import config
from mem_alpha.models import decoder
from mem_alpha.models import layers


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prefix:
  """What later tokens need of the first tokens of their prompts.

  Row b of B continues prefix b // (B / X). Columns from a prefix's length on
  are not in use.
  """

  k_LXKPH: jax.Array
  v_LXKPH: jax.Array
  past_LXWD: jax.Array | None  # last `canon` attention inputs, with canon
  length_X: jax.Array

  def layer(self, i):
    """Keys and values of one layer, and how many of them are in use."""
    return self.k_LXKPH[i], self.v_LXKPH[i], self.length_X


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Prompts:
  """Prompts that were read, without the prefix."""

  x_BD: jax.Array  # hidden state of the last token
  k_LBKTH: jax.Array
  v_LBKTH: jax.Array
  past_LBWD: jax.Array | None
  length_B: jax.Array

  def as_prefix(self) -> Prefix:
    """What was read, to go on from; every device has a single one."""
    prefix = Prefix(self.k_LBKTH, self.v_LBKTH, self.past_LBWD, self.length_B)
    return (
      jax.tree.map(_everywhere, prefix) if len(self.length_B) == 1 else prefix
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Cache:
  """Keys and values of the tokens of every slot; S is a fixed capacity.

  One array per layer, which measures fastest on CPU: a step writes one column
  of each in place and copies nothing.
  """

  k_BKSH: tuple[jax.Array, ...]
  v_BKSH: tuple[jax.Array, ...]
  past_BWD: tuple[jax.Array | None, ...]  # last `canon` attention inputs
  length_B: jax.Array  # columns in use


def empty(cfg: config.Config, *, slots: int, capacity: int) -> Cache:
  """Slots that hold nothing yet."""
  every = range(cfg.num_layers)
  shape = (slots, cfg.num_kv_heads, capacity, cfg.head_width)

  def zeros(shape, *axes):
    return jnp.zeros(shape, cfg.dtype, out_sharding=mesh.spec(*axes))

  past = (slots, cfg.canon, cfg.width)
  return Cache(
    k_BKSH=tuple(zeros(shape, 'fsdp', 'tp', None, None) for _ in every),
    v_BKSH=tuple(zeros(shape, 'fsdp', 'tp', None, None) for _ in every),
    past_BWD=tuple(
      zeros(past, 'fsdp', None, None) if cfg.canon else None for _ in every
    ),
    length_B=jnp.zeros(slots, jnp.int32, out_sharding=mesh.spec('fsdp')),
  )


def read_prefix(cfg: config.Config, params, tokens_P) -> Prefix:
  """Reads the tokens that all prompts begin with; every device has them."""
  rows, P = mesh.size('fsdp'), tokens_P.shape[0]
  tokens_BP = jnp.tile(tokens_P, (rows, 1))  # one row per device, all equal
  length_B = jnp.full(rows, P, jnp.int32)
  read = prefill(cfg, params, None, tokens_BP, length_B)

  rows = read.k_LBKTH, read.v_LBKTH, read.past_LBWD
  first = jax.tree.map(lambda x: _everywhere(x)[:, :1], rows)
  return Prefix(*first, jnp.full(1, P, jnp.int32))


def _everywhere(x):
  """Rows that every device has, not only one of them."""
  axes = [axis if axis == 'tp' else None for axis in mesh.axes(x)]
  return mesh.place(x, *axes)


def prefill(
  cfg: config.Config, params, prefix: Prefix | None, tokens_BT, length_B
) -> Prompts:
  """Reads prompts, what follows the prefix; at least one token of each."""
  net = decoder.model(cfg, params)
  tokens_BT = mesh.place(tokens_BT, 'fsdp', None)
  length_B = mesh.place(length_B, 'fsdp')
  position_BT = jnp.arange(tokens_BT.shape[1]) + jnp.zeros_like(tokens_BT)
  if prefix is not None:
    position_BT += mesh.spread(prefix.length_X, len(tokens_BT))[:, None]
  rope = decoder.rope(cfg, position_BT)
  # What stands after the end of a row is not seen by what comes before it.
  segment_BT = jnp.ones_like(tokens_BT)

  def layer(x_BTD, xs):
    block, shared = xs
    before = past_BWD = None
    if prefix is not None:
      *kv, past_XWD = shared
      before = *kv, prefix.length_X
      if cfg.canon:
        past_BWD = mesh.spread(past_XWD, len(tokens_BT))
    h_BTD, all_BSD = block.attention_input(cfg, x_BTD, position_BT, past_BWD)
    q_BTKGH, k_BTKH, v_BTKH = block.qkv(cfg, h_BTD, rope)
    a_BTKGH = attention.attend(
      q_BTKGH,
      k_BTKH,
      v_BTKH,
      segment_BT,
      prefix=before,
      kernel=cfg.attention,
    )
    kept = k_BTKH.swapaxes(1, 2), v_BTKH.swapaxes(1, 2), all_BSD
    if cfg.canon:
      kept = *kept[:2], _columns(all_BSD, length_B, cfg.canon)
    return block.finish(cfg, x_BTD, a_BTKGH), kept

  x_BTD = decoder.embed(cfg, net, tokens_BT)
  shared = prefix and (prefix.k_LXKPH, prefix.v_LXKPH, prefix.past_LXWD)
  x_BTD, kept = jax.lax.scan(layer, x_BTD, (net.blocks, shared))
  x_BD = _columns(x_BTD, length_B - 1, 1)[:, 0]
  x_BD = layers.rms_norm(x_BD, net.norm[...], cfg.norm_eps)
  return Prompts(x_BD, *kept, length_B)


def _columns(x_BSD, first_B, count):
  """`count` columns of each row from its own first one on."""
  index_BW = first_B[:, None] + jnp.arange(count)
  return jnp.take_along_axis(x_BSD, index_BW[..., None], axis=1)


def insert(slots: Cache, read: Prompts, slot_B) -> Cache:
  """Puts prompts into slots; a number past the last slot drops its prompt."""
  every = range(len(slots.k_BKSH))
  return Cache(
    k_BKSH=tuple(put(slots.k_BKSH[i], read.k_LBKTH[i], slot_B) for i in every),
    v_BKSH=tuple(put(slots.v_BKSH[i], read.v_LBKTH[i], slot_B) for i in every),
    past_BWD=tuple(
      old if old is None else put(old, read.past_LBWD[i], slot_B)
      for i, old in enumerate(slots.past_BWD)
    ),
    length_B=put(slots.length_B, read.length_B, slot_B),
  )


def put(old, new, slot_B):
  """Writes rows of `new` to rows `slot_B` of `old`, from column 0 on."""
  spec = jax.typeof(old).sharding.spec
  # Any device's row may be meant: all of them get the new rows.
  new = mesh.place(new, None, *spec[1:]).astype(old.dtype)
  index = (mesh.place(slot_B, None), *(slice(0, n) for n in new.shape[1:]))
  return old.at[index].set(
    new, mode='drop', unique_indices=True, out_sharding=mesh.spec(*spec)
  )


def decode_step(
  cfg: config.Config, params, prefix: Prefix | None, token_B, slots: Cache
):
  """Reads one token per slot; returns its hidden state and the new cache.

  A token for which a slot has no room left is not kept.
  """
  net = decoder.model(cfg, params)
  column_B = slots.length_B
  position_B1 = column_B[:, None]
  if prefix is not None:
    position_B1 += mesh.spread(prefix.length_X, len(column_B))[:, None]
  rope = decoder.rope(cfg, position_B1)
  S = slots.k_BKSH[0].shape[2]
  valid_BS = jnp.arange(S) <= column_B[:, None]
  k_BKSH, v_BKSH = list(slots.k_BKSH), list(slots.v_BKSH)
  past_BWD = list(slots.past_BWD)
  x_BTD = decoder.embed(cfg, net, mesh.place(token_B, 'fsdp')[:, None])
  for i in range(cfg.num_layers):
    block = jax.tree.map(operator.itemgetter(i), net.blocks)
    h_BTD, all_BSD = block.attention_input(cfg, x_BTD, position_B1, past_BWD[i])
    past_BWD[i] = all_BSD[:, 1:] if cfg.canon else None
    q_BTKGH, k_BTKH, v_BTKH = block.qkv(cfg, h_BTD, rope)
    k_BKSH[i] = _write(k_BKSH[i], k_BTKH[:, 0], column_B)
    v_BKSH[i] = _write(v_BKSH[i], v_BTKH[:, 0], column_B)
    a_BKGH = attention.attend_cached(
      q_BTKGH[:, 0],
      k_BKSH[i],
      v_BKSH[i],
      valid_BS,
      prefix and prefix.layer(i),
    )
    x_BTD = block.finish(cfg, x_BTD, a_BKGH[:, None])
  x_BD = layers.rms_norm(x_BTD[:, 0], net.norm[...], cfg.norm_eps)
  return x_BD, Cache(
    tuple(k_BKSH), tuple(v_BKSH), tuple(past_BWD), column_B + 1
  )


def _write(x_BKSH, new_BKH, column_B):
  """Writes one column of each row, in place; past the last one, nothing."""

  def row(x_KSH, new_KH, column):
    return x_KSH.at[:, column].set(new_KH, mode='drop')

  return jax.vmap(row)(x_BKSH, new_BKH, column_B)
