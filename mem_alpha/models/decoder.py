"""One decoder for Qwen3, Qwen2.5, Llama (SmolLM2) and the embedded tier.

NNX modules declare: names, shapes, initial values and shardings. Pure
functions drive: `params` is a nested dict of float32 arrays and every function
takes (cfg, params, ...). `forward` reads whole rows, packed or padded, for
training; `models/cache.py` reads prompts and single tokens for sampling, with
the same blocks. All return hidden states; `logits` and `target_log_probs`
apply the head. Parameters are split over 'fsdp' at rest, gathered per layer
where they are used, and stay split over 'tp' (see mesh.py).

The embedded tier adds one thing: before attention a token takes in a weighted
sum of the `canon` tokens before it (Canon-A, arXiv 2512.17351). It finds what
followed the same few words earlier after far fewer steps of training.
"""

import functools
import operator

import jax
import jax.numpy as jnp
from flax import nnx

from mem_alpha import mesh
from mem_alpha.models import attention
from mem_alpha.models import config
from mem_alpha.models import heads
from mem_alpha.models import layers

Config = config.Config

# What a layer keeps for the backward pass: everything, the results of its
# matrix products and of attention (by heads and splash), or only its input.
REMAT = {
  'none': None,
  'dots': jax.checkpoint_policies.save_from_both_policies(
    jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    jax.checkpoint_policies.save_only_these_names(heads.KEPT),
  ),
  'full': jax.checkpoint_policies.nothing_saveable,
}


class Block(nnx.Module):
  """One layer. Holds parameters; never changes itself."""

  def __init__(self, cfg: Config, rngs: nnx.Rngs):
    D, F, H = cfg.width, cfg.ff, cfg.head_width
    K, G = cfg.num_kv_heads, cfg.num_heads // cfg.num_kv_heads
    small = (2 * cfg.num_layers) ** -0.5  # keeps the residual sum near one
    normal = functools.partial(_normal, rngs)
    self.attention_norm = _constant(1, (D,))
    if cfg.canon:
      self.canon = normal((cfg.canon, D), (), cfg.canon**-0.5)
    self.query = normal((D, K, G, H), ('fsdp', 'tp'), D**-0.5)
    self.key = normal((D, K, H), ('fsdp', 'tp'), D**-0.5)
    self.value = normal((D, K, H), ('fsdp', 'tp'), D**-0.5)
    out_scale = small * (K * G * H) ** -0.5
    self.out = normal((K, G, H, D), ('tp', None, None, 'fsdp'), out_scale)
    if cfg.attention_bias:
      self.query_bias = _constant(0, (K, G, H), 'tp')
      self.key_bias = _constant(0, (K, H), 'tp')
      self.value_bias = _constant(0, (K, H), 'tp')
    if cfg.qk_norm:
      self.query_norm = _constant(1, (H,))
      self.key_norm = _constant(1, (H,))
    self.ff_norm = _constant(1, (D,))
    self.gate = normal((D, F), ('fsdp', 'tp'), D**-0.5)
    self.up = normal((D, F), ('fsdp', 'tp'), D**-0.5)
    self.down = normal((F, D), ('tp', 'fsdp'), small * F**-0.5)

  def attention_input(self, cfg, x_BTD, position_BT, past_BWD=None):
    """Normed tokens with their neighbours mixed in, and the newest of them."""
    h_BTD = layers.rms_norm(x_BTD, self.attention_norm[...], cfg.norm_eps)
    if not cfg.canon:
      return h_BTD, None
    taps_WD = self.canon[...].astype(cfg.dtype)
    return layers.mix_past(h_BTD, taps_WD, position_BT, past_BWD)

  def qkv(self, cfg, h_BTD, rope):
    """Queries [B, T, K, G, H]; keys and values [B, T, K, H]."""
    q_BTKGH = layers.project(h_BTD, _use(self.query, cfg, None, 'tp'))
    k_BTKH = layers.project(h_BTD, _use(self.key, cfg, None, 'tp'))
    v_BTKH = layers.project(h_BTD, _use(self.value, cfg, None, 'tp'))
    if cfg.attention_bias:
      q_BTKGH += self.query_bias[...].astype(cfg.dtype)
      k_BTKH += self.key_bias[...].astype(cfg.dtype)
      v_BTKH += self.value_bias[...].astype(cfg.dtype)
    if cfg.qk_norm:
      q_BTKGH = layers.rms_norm(q_BTKGH, self.query_norm[...], cfg.norm_eps)
      k_BTKH = layers.rms_norm(k_BTKH, self.key_norm[...], cfg.norm_eps)
    q_BTKGH = attention.rotate(q_BTKGH, *rope)
    return q_BTKGH, attention.rotate(k_BTKH, *rope), v_BTKH

  def finish(self, cfg, x_BTD, a_BTKGH):
    """The rest of the layer, from the attention's output on."""
    out_KGHD = _use(self.out, cfg, 'tp')
    x_BTD += layers.contract(a_BTKGH, out_KGHD)
    h_BTD = layers.rms_norm(x_BTD, self.ff_norm[...], cfg.norm_eps)
    gate_BTF = layers.project(h_BTD, _use(self.gate, cfg, None, 'tp'))
    up_BTF = layers.project(h_BTD, _use(self.up, cfg, None, 'tp'))
    down_FD = _use(self.down, cfg, 'tp')
    return x_BTD + layers.contract(jax.nn.silu(gate_BTF) * up_BTF, down_FD)


class Decoder(nnx.Module):
  """Embedding, stacked layers (axis 0 of every leaf of blocks), norm, head."""

  def __init__(self, cfg: Config, rngs: nnx.Rngs):
    V, D = cfg.vocab_size, cfg.width
    self.embed = _normal(rngs, (V, D), ('tp', 'fsdp'), D**-0.5)
    keys = jax.random.split(rngs.params(), cfg.num_layers)
    self.blocks = jax.vmap(lambda key: Block(cfg, nnx.Rngs(key)))(keys)
    self.norm = _constant(1, (D,))
    if not cfg.tied:
      self.head = _normal(rngs, (V, D), ('tp', 'fsdp'), D**-0.5)


def init(cfg: Config, key: jax.Array):
  """Random parameters, placed on the mesh in use."""
  config.check_mesh(cfg)
  return _init(cfg, key)


@functools.partial(jax.jit, static_argnums=0)
def _init(cfg, key):
  model = Decoder(cfg, nnx.Rngs(key))
  return nnx.to_pure_dict(nnx.state(model, graph=False))


@functools.partial(jax.jit, static_argnums=0)
def for_sampling(cfg: Config, params):
  """Parameters made ready once for many steps of sampling.

  In the compute dtype and gathered over 'fsdp', which every step would do
  otherwise. On CPU `blocks` becomes a tuple, one tree per layer: its compiler
  would copy a layer's weights out of a stack at every step. Results stay the
  same to the bit.
  """

  def ready(path, leaf):
    # Norms stay: they are applied in float32.
    if not jax.tree_util.keystr(path, simple=True).endswith('norm'):
      leaf = leaf.astype(cfg.dtype)
    axes = jax.typeof(leaf).sharding.spec
    return mesh.place(leaf, *(a if a == 'tp' else None for a in axes))

  params = jax.tree.map_with_path(ready, params)
  if mesh.platform() != 'cpu':
    return params
  layers = [
    jax.tree.map(operator.itemgetter(i), params['blocks'])
    for i in range(cfg.num_layers)
  ]
  return {**params, 'blocks': tuple(layers)}


def forward(cfg: Config, params, tokens_BT, segment_BT, *, remat='none'):
  """Hidden states of whole rows, final norm applied.

  Segment 0 is padding; tokens see earlier tokens of their own segment, and
  positions count from the start of it. `remat` names what the backward pass
  computes again instead of storing it (see REMAT).
  """
  net = model(cfg, params)
  segment_BT = mesh.place(segment_BT, 'fsdp', None)
  position_BT = attention.segment_positions(segment_BT)
  turns = rope(cfg, position_BT)

  def layer(x_BTD, block):
    h_BTD, _ = block.attention_input(cfg, x_BTD, position_BT)
    q_BTKGH, k_BTKH, v_BTKH = block.qkv(cfg, h_BTD, turns)
    a_BTKGH = attention.attend(
      q_BTKGH, k_BTKH, v_BTKH, segment_BT, kernel=cfg.attention
    )
    return block.finish(cfg, x_BTD, a_BTKGH), None

  if remat != 'none':
    layer = jax.checkpoint(layer, policy=REMAT[remat])
  x_BTD = embed(cfg, net, mesh.place(tokens_BT, 'fsdp', None))
  x_BTD, _ = jax.lax.scan(layer, x_BTD, net.blocks)
  return layers.rms_norm(x_BTD, net.norm[...], cfg.norm_eps)


def logits(cfg: Config, params, x):
  """Scores of the next token, float32 [..., V], vocabulary not split."""
  score_RV = _scores(cfg, model(cfg, params), x)
  score_RV = mesh.place(score_RV, 'fsdp', None)
  return mesh.reshape(score_RV, (*x.shape[:-1], cfg.vocab_size), 'fsdp')


def target_log_probs(
  cfg: Config, params, x_BTD, target_BT, *, temperature=1.0, chunk=128
):
  """Log-probability of each target and entropy of each distribution.

  Works on at most `chunk` columns at a time and recomputes them in the
  backward pass, so that [B, T, V] never exists where T is larger.
  """
  if isinstance(temperature, int | float) and temperature <= 0:
    raise ValueError(
      f'temperature={temperature} must be positive: greedy samples have no '
      'log-probability'
    )
  net = model(cfg, params)
  B, T, D = x_BTD.shape
  count = -(-T // chunk)
  size = -(-T // count)

  def columns(args):
    x_BTD, target_BT = args
    score_RV = _scores(cfg, net, x_BTD) / temperature
    target_R = mesh.reshape(target_BT, (-1,), 'fsdp')
    return layers.log_prob_and_entropy(score_RV, target_R)

  def split(y_BT):
    rest = y_BT.shape[2:]
    none = ((0, 0),) * len(rest)
    y_BT = jnp.pad(y_BT, ((0, 0), (0, count * size - T), *none))
    return y_BT.reshape(B, count, size, *rest).swapaxes(0, 1)

  def join(y_CR):
    y_CBT = mesh.reshape(y_CR, (count, B, size), None, 'fsdp', None)
    return y_CBT.swapaxes(0, 1).reshape(B, -1)[:, :T]

  if count > 1:  # a single chunk may as well be kept
    columns = jax.checkpoint(columns)
  args = split(x_BTD), split(mesh.place(target_BT, 'fsdp', None))
  logp_CR, entropy_CR = jax.lax.map(columns, args)
  return join(logp_CR), join(entropy_CR)


@functools.cache
def _graphdef(cfg):
  abstract = nnx.eval_shape(lambda: Decoder(cfg, nnx.Rngs(0)))
  return nnx.split(abstract, graph=False)[0]


def model(cfg: Config, params) -> Decoder:
  """The module that holds these parameters."""
  blocks = params['blocks']
  if isinstance(blocks, tuple):  # nothing is copied where layers are taken out
    blocks = jax.tree.map(lambda *layers: jnp.stack(layers), *blocks)
  return nnx.merge(_graphdef(cfg), {**params, 'blocks': blocks})


def _normal(rngs, shape, axes, scale):
  value = scale * jax.random.normal(rngs.params(), shape)
  return nnx.Param(mesh.place(value, *axes))


def _constant(value, shape, *axes):
  full = jnp.full(shape, value, jnp.float32)
  return nnx.Param(mesh.place(full, *axes))


def _use(param, cfg, *axes):
  """A weight in the compute dtype, gathered over 'fsdp'."""
  return mesh.place(param[...].astype(cfg.dtype), *axes)


def rope(cfg: Config, position_BT):
  """Rotary cosines and sines of positions."""
  return attention.rope(
    position_BT,
    head_width=cfg.head_width,
    theta=cfg.rope_theta,
    scaling=cfg.rope_scaling,
  )


def embed(cfg: Config, net: Decoder, tokens_BT):
  """First hidden states of tokens."""
  embed_VD = _use(net.embed, cfg, 'tp')
  whole = mesh.spec('fsdp', None, None)
  return embed_VD.at[tokens_BT].get(out_sharding=whole)


def _scores(cfg, net, x):
  """Logits [R, V] of hidden states [..., D], split over both axes."""
  head_VD = _use(net.embed if cfg.tied else net.head, cfg, 'tp')
  x_RD = mesh.reshape(x, (-1, cfg.width), 'fsdp', None)
  return jnp.matmul(x_RD, head_VD.T, preferred_element_type=jnp.float32)
