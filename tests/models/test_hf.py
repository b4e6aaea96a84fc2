"""Random checkpoints written by transformers; its logits are the oracle."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from safetensors import numpy as st

from mem_alpha import mesh
from mem_alpha.models import decoder
from mem_alpha.models import hf

SHAPE = dict(
  vocab_size=80,
  hidden_size=32,
  intermediate_size=48,
  num_hidden_layers=3,
  num_attention_heads=4,
  num_key_value_heads=2,
  rms_norm_eps=1e-5,
)
LLAMA3 = dict(
  rope_type='llama3',
  factor=8.0,
  low_freq_factor=1.0,
  high_freq_factor=4.0,
  original_max_position_embeddings=16,
)
FAMILIES = {
  'qwen3': (transformers.Qwen3Config, dict(head_dim=16)),
  'qwen2': (transformers.Qwen2Config, {}),
  'llama': (transformers.LlamaConfig, {}),
}
TOKENS_BT = np.random.default_rng(0).integers(0, 80, (2, 40))


def make_model(family, **changes):
  """A model whose every weight is random, norms and biases included."""
  config, extra = FAMILIES[family]
  rope = {'rope_type': 'default', 'rope_theta': 5e3}
  rope |= changes.pop('rope', {})
  torch.manual_seed(0)
  model = transformers.AutoModelForCausalLM.from_config(
    config(**{**SHAPE, **extra, 'rope_parameters': rope, **changes})
  ).eval()
  with torch.no_grad():
    for name, weight in model.named_parameters():
      torch.nn.init.normal_(weight, mean='norm' in name, std=0.2)
  return model


def save(model, directory):
  model.save_pretrained(directory, max_shard_size='20KB')
  assert len(list(directory.glob('*.safetensors'))) > 1
  return directory


def edit(directory, change):
  """Rewrites config.json after change(config)."""
  path = directory / hf.CONFIG_FILE
  config = json.loads(path.read_text())
  change(config)
  path.write_text(json.dumps(config))


def spell_as_transformers_4(config):
  rope = config.pop('rope_parameters')
  config['rope_theta'] = rope.pop('rope_theta')
  config['rope_scaling'] = rope if rope['rope_type'] != 'default' else None


def our_logits(cfg, params):
  x_BTD = decoder.forward(
    cfg, params, jnp.asarray(TOKENS_BT), jnp.ones(TOKENS_BT.shape, jnp.int32)
  )
  return decoder.logits(cfg, params, x_BTD)


def torch_logits(model):
  with torch.no_grad():
    return model(torch.tensor(TOKENS_BT)).logits.numpy()


@pytest.mark.parametrize('spelling', ['transformers 4', 'transformers 5'])
@pytest.mark.parametrize(
  'family, changes',
  [
    ('qwen3', dict(tie_word_embeddings=True)),
    ('qwen3', dict(tie_word_embeddings=False)),
    ('qwen2', dict(tie_word_embeddings=True)),
    ('qwen2', dict(tie_word_embeddings=False)),
    ('llama', dict(tie_word_embeddings=True)),
    ('llama', dict(tie_word_embeddings=False, rope=LLAMA3)),
  ],
)
def test_logits_are_those_of_transformers(tmp_path, family, changes, spelling):
  model = make_model(family, **changes)
  save(model, tmp_path)
  if spelling == 'transformers 4':
    edit(tmp_path, spell_as_transformers_4)
  cfg, params = hf.load(tmp_path)
  assert cfg.tied == changes['tie_word_embeddings']
  assert cfg.rope_theta == 5e3
  np.testing.assert_allclose(
    our_logits(cfg, params), torch_logits(model), atol=1e-4
  )


def test_llama3_scaling_is_read_and_matters(tmp_path):
  model = make_model('llama', rope=LLAMA3)
  cfg = hf.read_config(save(model, tmp_path))
  assert cfg.rope_scaling == (8.0, 1.0, 4.0, 16.0)
  params = hf.load_params(cfg, tmp_path)
  edit(tmp_path, lambda config: config.pop('rope_parameters'))
  plain = hf.read_config(tmp_path)
  assert plain.rope_theta == 1e4 and plain.rope_scaling is None
  gap = np.abs(our_logits(plain, params) - torch_logits(model)).max()
  assert gap > 1e-2


def test_bfloat16_weights_are_exact_and_dtype_is_that_of_activations(tmp_path):
  model = make_model('llama', tie_word_embeddings=True).bfloat16()
  cfg, params = hf.load(save(model, tmp_path), dtype='bfloat16')
  assert cfg.dtype == 'bfloat16'
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {
    jnp.dtype('float32')
  }
  np.testing.assert_array_equal(
    params['embed'], model.model.embed_tokens.weight.detach().float()
  )


def test_parameters_lie_where_init_puts_them(tmp_path):
  cfg, params = hf.load(save(make_model('qwen3'), tmp_path))
  with jax.set_mesh(mesh.make(fsdp=-1, tp=2)):
    _, split = hf.load(tmp_path)
    random = decoder.init(cfg, jax.random.key(0))
  for ours, theirs in zip(jax.tree.leaves(split), jax.tree.leaves(random)):
    assert ours.sharding.is_equivalent_to(theirs.sharding, ours.ndim)
  jax.tree.map(np.testing.assert_array_equal, split, params)


def test_one_file_without_an_index(tmp_path):
  model = make_model('qwen3')
  model.save_pretrained(tmp_path)
  assert not (tmp_path / hf.INDEX_FILE).exists()
  cfg, params = hf.load(tmp_path)
  np.testing.assert_allclose(
    our_logits(cfg, params), torch_logits(model), atol=1e-4
  )


def save_tensors(tmp_path, change):
  """A one-file tied Llama after change(tensors)."""
  model = make_model('llama', tie_word_embeddings=True)
  model.save_pretrained(tmp_path)
  path = tmp_path / hf.SINGLE_FILE
  tensors = st.load_file(path)
  change(tensors)
  st.save_file(tensors, path)
  return tmp_path


def test_a_copy_of_the_tied_head_and_old_buffers_are_no_error(tmp_path):
  def change(tensors):
    tensors['lm_head.weight'] = tensors['model.embed_tokens.weight'].copy()
    tensors['model.layers.0.self_attn.rotary_emb.inv_freq'] = np.ones(4)

  cfg, params = hf.load(save_tensors(tmp_path, change))
  assert cfg.tied and 'head' not in params


def set_nan(tensors):
  tensors['model.norm.weight'][3] = np.nan


@pytest.mark.parametrize(
  'change, message',
  [
    (
      lambda tensors: tensors.pop('model.layers.1.mlp.up_proj.weight'),
      'lacks model.layers.1.mlp.up_proj.weight: the download is incomplete',
    ),
    (
      lambda tensors: tensors.update({'score.weight': np.ones((2, 32))}),
      'holds score.weight, for which this decoder has no place',
    ),
    (
      lambda tensors: tensors.update({'model.norm.weight': np.ones(31)}),
      r'model.norm.weight is \(31,\) instead of \(32,\)',
    ),
    (
      lambda tensors: tensors.update({'lm_head.weight': np.ones((80, 32))}),
      'set tie_word_embeddings to false',
    ),
    (
      lambda tensors: tensors.update({'model.norm.weight': np.ones(32, int)}),
      'model.norm.weight in .* is stored as I64',
    ),
    (set_nan, 'model.norm.weight in .* not finite'),
  ],
)
def test_wrong_tensors_are_named(tmp_path, change, message):
  directory = save_tensors(tmp_path, change)
  with pytest.raises(ValueError, match=message):
    hf.load(directory)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(model_type='gemma3'), "'gemma3' model; the decoder covers llama"),
    (dict(hidden_act='gelu'), "sets hidden_act to 'gelu'"),
    (dict(attention_bias=True), 'sets attention_bias to True'),
    (dict(use_sliding_window=True), 'sets use_sliding_window to True'),
    (dict(layer_types=['sliding_attention']), 'type sliding_attention'),
    (dict(quantization_config={'bits': 4}), 'sets quantization_config'),
    (dict(rope_scaling={'type': 'yarn'}), "scales rope by 'yarn'"),
    (dict(hidden_size=None), 'positive number for hidden_size, got None'),
    (dict(rope_parameters={'rope_type': 'llama3'}), 'for factor, got None'),
  ],
)
def test_what_the_decoder_does_not_compute_is_refused(
  tmp_path, change, message
):
  config = {**SHAPE, 'model_type': 'qwen3', 'head_dim': 16, **change}
  (tmp_path / hf.CONFIG_FILE).write_text(json.dumps(config))
  with pytest.raises(ValueError, match=message):
    hf.read_config(tmp_path)


def test_missing_and_damaged_files(tmp_path):
  with pytest.raises(FileNotFoundError, match='No config.json in'):
    hf.load(tmp_path / 'nowhere')
  save(make_model('qwen3'), tmp_path)
  part = sorted(tmp_path.glob('*.safetensors'))[0]
  data = part.read_bytes()
  part.write_bytes(data[:-7])
  with pytest.raises(ValueError, match='cannot be read as safetensors'):
    hf.load(tmp_path)
  part.unlink()
  with pytest.raises(FileNotFoundError, match=f'No {part.name} in'):
    hf.load(tmp_path)
  (tmp_path / hf.INDEX_FILE).write_text('{}')
  with pytest.raises(ValueError, match='has no weight_map'):
    hf.load(tmp_path)
  (tmp_path / hf.CONFIG_FILE).write_text('{"a"')
  with pytest.raises(ValueError, match='is not JSON'):
    hf.load(tmp_path)


def test_a_tensor_in_two_files_is_refused(tmp_path):
  save(make_model('qwen3'), tmp_path)
  places = json.loads((tmp_path / hf.INDEX_FILE).read_text())['weight_map']
  name, part = next(iter(places.items()))
  other = next(p for p in places.values() if p != part)
  tensors = st.load_file(tmp_path / other)
  tensors[name] = np.ones(3, np.float32)
  st.save_file(tensors, tmp_path / other)
  with pytest.raises(ValueError, match=f'{name} is in model-.* and in model-'):
    hf.load(tmp_path)
