"""What is exported gives transformers the same logits, and us the same bits."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import torch
import transformers

from mem_alpha import mesh
from mem_alpha import text
from mem_alpha.models import decoder
from mem_alpha.models import export
from mem_alpha.models import hf

SMALL = decoder.Config(
  vocab_size=280,
  num_layers=3,
  width=32,
  num_heads=4,
  num_kv_heads=2,
  head_width=8,
  ff=48,
  rope_theta=5e3,
  norm_eps=1e-5,
)
CONFIGS = {
  'qwen3': dataclasses.replace(SMALL, qk_norm=True, head_width=16),
  'qwen2': dataclasses.replace(SMALL, attention_bias=True, tied=False),
  'llama': dataclasses.replace(
    SMALL, rope_scaling=(8.0, 1.0, 4.0, 16.0), num_kv_heads=4
  ),
}
TOKENS_BT = np.random.default_rng(0).integers(0, 280, (2, 40))


@pytest.fixture(scope='module')
def tokenizer():
  return text.train_bpe(['a tiny text'] * 3, vocab_size=262)


def random_params(cfg):
  """Every weight random, norms and biases included."""
  params = decoder.init(cfg, jax.random.key(0))
  rng = np.random.default_rng(1)
  return jax.tree.map(
    lambda x: x + rng.normal(scale=0.2, size=x.shape).astype(x.dtype), params
  )


def our_logits(cfg, params):
  segment_BT = np.ones(TOKENS_BT.shape, np.int32)
  x_BTD = decoder.forward(cfg, params, TOKENS_BT, segment_BT)
  return decoder.logits(cfg, params, x_BTD)


@pytest.mark.parametrize('family', CONFIGS)
def test_transformers_computes_the_same(family, tokenizer, tmp_path):
  cfg = CONFIGS[family]
  params = random_params(cfg)
  # Several files, so that the index is read.
  export.save(tmp_path / 'x', cfg, params, tokenizer, file_bytes=20_000)
  assert len(list((tmp_path / 'x').glob('*.safetensors'))) > 1
  model = transformers.AutoModelForCausalLM.from_pretrained(
    tmp_path / 'x', dtype=torch.float32
  ).eval()
  assert model.config.model_type == family
  with torch.no_grad():
    want_BTV = model(torch.tensor(TOKENS_BT)).logits.numpy()
  np.testing.assert_allclose(our_logits(cfg, params), want_BTV, atol=1e-4)
  theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / 'x')
  assert theirs('a text')['input_ids'] == tokenizer.encode('a text')
  assert theirs.eos_token_id == tokenizer.end_of_turn


@pytest.mark.parametrize('family', CONFIGS)
def test_what_is_saved_is_loaded_to_the_bit(family, tokenizer, tmp_path):
  cfg = CONFIGS[family]
  params = random_params(cfg)
  export.save(tmp_path / 'x', cfg, params, tokenizer)
  again, loaded = hf.load(tmp_path / 'x')
  assert again == cfg
  jax.tree.map(np.testing.assert_array_equal, loaded, params)
  assert text.load(tmp_path / 'x').end_of_turn == tokenizer.end_of_turn


def test_half_precision_is_rounded_once(tokenizer, tmp_path):
  cfg = CONFIGS['qwen3']
  params = random_params(cfg)
  export.save(tmp_path / 'x', cfg, params, tokenizer, dtype='bfloat16')
  _, loaded = hf.load(tmp_path / 'x')
  rounded = jax.tree.map(lambda x: x.astype('bfloat16').astype(x.dtype), params)
  jax.tree.map(np.testing.assert_array_equal, loaded, rounded)
  raw = json.loads((tmp_path / 'x' / hf.CONFIG_FILE).read_text())
  assert raw['dtype'] == 'bfloat16'


def test_a_sharded_model_is_saved_whole(tokenizer, tmp_path):
  cfg = CONFIGS['qwen3']
  params = random_params(cfg)
  with jax.set_mesh(mesh.make(2, 2, devices=jax.devices()[:4])):
    like = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
    spread = jax.tree.map(
      lambda x, s: jax.device_put(
        np.asarray(x),
        jax.NamedSharding(jax.sharding.get_mesh(), s.sharding.spec),
      ),
      params,
      like,
    )
    export.save(tmp_path / 'x', cfg, spread, tokenizer)
    _, loaded = hf.load(tmp_path / 'x')
    assert loaded['embed'].sharding == spread['embed'].sharding
  jax.tree.map(np.testing.assert_array_equal, loaded, params)


def test_nothing_is_left_where_saving_fails(tokenizer, tmp_path):
  cfg = CONFIGS['qwen3']
  params = random_params(cfg)
  broken = {**params, 'unknown': params['norm']}
  with pytest.raises(KeyError, match='unknown'):
    export.save(tmp_path / 'x', cfg, broken, tokenizer)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(canon=3), 'canon=3 has no Hugging Face architecture'),
    (dict(attention_bias=True), 'qk_norm and attention_bias'),
  ],
)
def test_what_has_no_architecture(change, message, tokenizer, tmp_path):
  cfg = dataclasses.replace(CONFIGS['qwen3'], **change)
  with pytest.raises(ValueError, match=message):
    export.save(tmp_path / 'x', cfg, {}, tokenizer)
  assert not list(tmp_path.iterdir())


def test_an_unknown_dtype_and_a_directory_in_use(tokenizer, tmp_path):
  with pytest.raises(ValueError, match="dtype='int8' cannot be exported"):
    export.save(tmp_path / 'x', SMALL, {}, tokenizer, dtype='int8')
  with pytest.raises(FileExistsError, match='export to a new directory'):
    export.save(tmp_path, SMALL, {}, tokenizer)
