"""A Hugging Face model directory -> the decoder's config and parameters.

`config.json` is read as plain JSON: its spelling changed between transformers
4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`), and both are in
use. Weights are read from safetensors, one file or several, tensor by tensor;
neither torch nor transformers is needed. A model that computes something the
decoder does not (sliding windows, other rope scalings, quantised weights) is
refused by name rather than loaded wrongly.

    cfg, params = hf.load('models/Qwen3-0.6B', dtype='bfloat16')
    tokenizer = text.load('models/Qwen3-0.6B')
"""

import json
import os
import pathlib

import numpy as np
import safetensors

from mem_alpha.models import decoder
from mem_alpha.models import weights

FAMILIES = ('llama', 'qwen2', 'qwen3')
CONFIG_FILE = 'config.json'
INDEX_FILE = 'model.safetensors.index.json'
SINGLE_FILE = 'model.safetensors'

# Settings of Llama 3's rope scaling, in the order of Config.rope_scaling.
LLAMA3 = (
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'original_max_position_embeddings',
)
_HEAD = 'lm_head.weight'
_EMBED = 'model.embed_tokens.weight'
_LAYER = 'model.layers.{}.'
NAMES = {
  'embed': _EMBED,
  'blocks/attention_norm': _LAYER + 'input_layernorm.weight',
  'blocks/query': _LAYER + 'self_attn.q_proj.weight',
  'blocks/query_bias': _LAYER + 'self_attn.q_proj.bias',
  'blocks/query_norm': _LAYER + 'self_attn.q_norm.weight',
  'blocks/key': _LAYER + 'self_attn.k_proj.weight',
  'blocks/key_bias': _LAYER + 'self_attn.k_proj.bias',
  'blocks/key_norm': _LAYER + 'self_attn.k_norm.weight',
  'blocks/value': _LAYER + 'self_attn.v_proj.weight',
  'blocks/value_bias': _LAYER + 'self_attn.v_proj.bias',
  'blocks/out': _LAYER + 'self_attn.o_proj.weight',
  'blocks/ff_norm': _LAYER + 'post_attention_layernorm.weight',
  'blocks/gate': _LAYER + 'mlp.gate_proj.weight',
  'blocks/up': _LAYER + 'mlp.up_proj.weight',
  'blocks/down': _LAYER + 'mlp.down_proj.weight',
  'norm': 'model.norm.weight',
  'head': _HEAD,
}
_STORED = {'F64', 'F32', 'F16', 'BF16'}
# A key of config.json and its only values that the decoder computes.
_SUPPORTED = {
  'hidden_act': ('silu',),
  'mlp_bias': (False,),
  'partial_rotary_factor': (1, None),
  'quantization_config': (None,),
  'use_sliding_window': (False,),
}


def load(directory: str | os.PathLike, *, dtype: str = 'float32'):
  """(Config, params) of a model directory; `dtype` is that of activations."""
  cfg = read_config(directory, dtype=dtype)
  return cfg, load_params(cfg, directory)


def read_config(
  directory: str | os.PathLike, *, dtype: str = 'float32'
) -> decoder.Config:
  path = pathlib.Path(directory) / CONFIG_FILE
  raw = _read_json(path)
  family = raw.get('model_type')
  if family not in FAMILIES:
    raise ValueError(
      f'{path} describes a {family!r} model; the decoder covers '
      f'{", ".join(FAMILIES)}.'
    )
  _check_supported(raw, family, path)
  heads = _require(raw, 'num_attention_heads', path)
  width = _require(raw, 'hidden_size', path)
  theta, scaling = _rope(raw, path)
  return decoder.Config(
    vocab_size=_require(raw, 'vocab_size', path),
    num_layers=_require(raw, 'num_hidden_layers', path),
    width=width,
    num_heads=heads,
    num_kv_heads=raw.get('num_key_value_heads') or heads,
    head_width=raw.get('head_dim') or width // heads,
    ff=_require(raw, 'intermediate_size', path),
    rope_theta=theta,
    rope_scaling=scaling,
    norm_eps=_require(raw, 'rms_norm_eps', path),
    qk_norm=family == 'qwen3',
    attention_bias=family == 'qwen2',
    tied=bool(raw.get('tie_word_embeddings', False)),
    dtype=dtype,
  )


def load_params(cfg: decoder.Config, directory: str | os.PathLike):
  """Parameters of `cfg` from the safetensors of a directory."""
  directory = pathlib.Path(directory)
  files = _tensors(directory)
  shapes = {
    name: tuple(file.get_slice(name).get_shape())
    for name, file in files.items()
  }

  def read(name):
    stored = files[name].get_slice(name).get_dtype()
    if stored not in _STORED:
      raise ValueError(
        f'{name} in {directory} is stored as {stored}: fetch the model in '
        'bfloat16, float16 or float32.'
      )
    return files[name].get_tensor(name)

  if cfg.tied and {_HEAD, _EMBED} <= shapes.keys():  # so is Qwen3-0.6B
    if not np.array_equal(read(_HEAD), read(_EMBED)):
      raise ValueError(
        f'{directory} has an {_HEAD} of its own although its {CONFIG_FILE} '
        'ties it to the embedding: set tie_word_embeddings to false.'
      )
    del shapes[_HEAD]
  return weights.assemble(cfg, shapes, read, names=NAMES, where=str(directory))


def _tensors(directory):
  """The open file of each tensor, by the tensor's name."""
  homes, files = {}, {}
  for part in _weight_files(directory):
    files[part] = _open(directory / part)
    for name in files[part].keys():
      # Old Llama files carry this buffer; rope is computed from the config.
      if name.endswith('rotary_emb.inv_freq'):
        continue
      if name in homes:
        raise ValueError(
          f'{name} is in {homes[name]} and in {part} of {directory}: remove '
          'the files that do not belong to the model.'
        )
      homes[name] = part
  return {name: files[part] for name, part in homes.items()}


def _check_supported(raw, family, path):
  supported = dict(_SUPPORTED)
  if family != 'qwen2':  # there, the flag would put a bias on the output too
    supported['attention_bias'] = (False,)
  for key, values in supported.items():
    if key in raw and raw[key] not in values:
      raise ValueError(
        f'{path} sets {key} to {raw[key]!r}, which the decoder does not '
        f'compute (only {" or ".join(map(repr, values))}).'
      )
  kinds = set(raw.get('layer_types') or ()) - {'full_attention'}
  if kinds:
    raise ValueError(
      f'{path} has layers of type {", ".join(sorted(kinds))}; the decoder '
      'computes full_attention only.'
    )


def _rope(raw, path):
  """Base and Llama 3 scaling, in the spelling of transformers 4 or 5."""
  rope = {
    **(raw.get('rope_scaling') or {}),
    **(raw.get('rope_parameters') or {}),
  }
  theta = rope.get('rope_theta', raw.get('rope_theta', 1e4))
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if kind == 'default':
    return float(theta), None
  if kind != 'llama3':
    raise ValueError(
      f'{path} scales rope by {kind!r}; the decoder covers default and llama3.'
    )
  return float(theta), tuple(float(_require(rope, k, path)) for k in LLAMA3)


def _require(raw, key, path):
  value = raw.get(key)
  if not isinstance(value, int | float) or value <= 0:
    raise ValueError(
      f'{path} should give a positive number for {key}, got {value!r}; fetch '
      'the file again.'
    )
  return value


def _weight_files(directory):
  index = directory / INDEX_FILE
  if not index.is_file():
    return [SINGLE_FILE]
  places = _read_json(index).get('weight_map')
  if not isinstance(places, dict) or not places:
    raise ValueError(f'{index} has no weight_map; fetch it again.')
  return sorted(set(places.values()))


def _open(path):
  if not path.is_file():
    raise FileNotFoundError(
      f'No {path.name} in {path.parent}: weights are read from safetensors; '
      'fetch every file of the model.'
    )
  try:
    return safetensors.safe_open(path, 'numpy')
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} cannot be read as safetensors ({error}); fetch it again.'
    ) from error


def _read_json(path):
  if not path.is_file():
    raise FileNotFoundError(
      f'No {path.name} in {path.parent}: point to the directory of a Hugging '
      'Face model.'
    )
  try:
    raw = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(
      f'{path} is not JSON ({error}); fetch it again.'
    ) from error
  if not isinstance(raw, dict):
    raise ValueError(f'{path} must hold a JSON object; fetch it again.')
  return raw
