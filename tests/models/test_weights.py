"""Where each number of a checkpoint ends up, index by index."""

import jax
import numpy as np
import pytest

from mem_alpha.models import decoder
from mem_alpha.models import hf
from mem_alpha.models import weights

CFG = decoder.Config(
  vocab_size=5,
  num_layers=2,
  width=6,
  num_heads=6,
  num_kv_heads=2,
  head_width=4,
  ff=7,
  qk_norm=True,
  attention_bias=True,
  tied=False,
)
K, G, H = 2, 3, 4


def make_tensors():
  """Every tensor that CFG needs, in the layout of a Hugging Face file."""
  per_layer = {
    'input_layernorm.weight': (6,),
    'post_attention_layernorm.weight': (6,),
    'self_attn.q_proj.weight': (24, 6),
    'self_attn.q_proj.bias': (24,),
    'self_attn.q_norm.weight': (4,),
    'self_attn.k_proj.weight': (8, 6),
    'self_attn.k_proj.bias': (8,),
    'self_attn.k_norm.weight': (4,),
    'self_attn.v_proj.weight': (8, 6),
    'self_attn.v_proj.bias': (8,),
    'self_attn.o_proj.weight': (6, 24),
    'mlp.gate_proj.weight': (7, 6),
    'mlp.up_proj.weight': (7, 6),
    'mlp.down_proj.weight': (6, 7),
  }
  shapes = {
    'model.embed_tokens.weight': (5, 6),
    'model.norm.weight': (6,),
    'lm_head.weight': (5, 6),
  }
  for layer in range(2):
    for name, shape in per_layer.items():
      shapes[f'model.layers.{layer}.{name}'] = shape
  rng = np.random.default_rng(0)
  return {
    name: rng.normal(size=shape).astype(np.float32)
    for name, shape in shapes.items()
  }


def assemble(tensors):
  shapes = {name: value.shape for name, value in tensors.items()}
  return weights.assemble(
    CFG, shapes, tensors.get, names=hf.NAMES, where='the test'
  )


def test_every_leaf_of_init_is_filled():
  abstract = jax.eval_shape(lambda: decoder.init(CFG, jax.random.key(0)))
  params = assemble(make_tensors())
  assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
    lambda x: (x.shape, x.dtype), abstract
  )


def test_query_head_n_is_the_gth_of_key_head_k():
  tensors = make_tensors()
  blocks = assemble(tensors)['blocks']
  for layer in range(2):
    attention = f'model.layers.{layer}.self_attn.'
    for k, g, h in np.ndindex(K, G, H):
      row = (k * G + g) * H + h
      np.testing.assert_array_equal(
        blocks['query'][layer, :, k, g, h],
        tensors[attention + 'q_proj.weight'][row],
      )
      np.testing.assert_array_equal(
        blocks['out'][layer, k, g, h],
        tensors[attention + 'o_proj.weight'][:, row],
      )
      assert (
        blocks['query_bias'][layer, k, g, h]
        == tensors[attention + 'q_proj.bias'][row]
      )
    np.testing.assert_array_equal(
      blocks['value'][layer, :, 1, 2],
      tensors[attention + 'v_proj.weight'][1 * H + 2],
    )


def test_embedding_and_head_keep_their_layout():
  tensors = make_tensors()
  params = assemble(tensors)
  np.testing.assert_array_equal(params['head'], tensors['lm_head.weight'])
  np.testing.assert_array_equal(
    params['embed'], tensors['model.embed_tokens.weight']
  )


def test_a_long_list_of_faults_is_cut():
  tensors = make_tensors()
  few = {name: tensors[name] for name in list(tensors)[:-10]}
  with pytest.raises(ValueError, match=r'the test lacks .* and 6 more: '):
    assemble(few)
