"""The decoder's config and parameters -> a Hugging Face model directory.

transformers and vLLM load the result. Tensors are written one file at a time,
into a directory beside the target that is renamed when it is complete.

    export.save('runs/x/hf', cfg, params, tokenizer, dtype='bfloat16')
"""

import json
import os
import pathlib
import shutil
import tempfile

import jax
import numpy as np
from safetensors import numpy as st

from mem_alpha import text
from mem_alpha.models import config as config_lib
from mem_alpha.models import hf
from mem_alpha.models import weights

MAX_POSITIONS = 131_072  # rope itself has no limit; readers want to know one
DTYPES = ('float32', 'bfloat16', 'float16')


def save(
  directory: str | os.PathLike,
  cfg: config_lib.Config,
  params,
  tokenizer: text.Tokenizer,
  *,
  dtype: str = 'float32',
  file_bytes: int = 2 << 30,
) -> None:
  """Writes config, weights in `dtype` and tokenizer; refuses to overwrite."""
  directory = pathlib.Path(directory)
  if dtype not in DTYPES:
    raise ValueError(
      f'dtype={dtype!r} cannot be exported: use one of {", ".join(DTYPES)}'
    )
  if directory.exists():
    raise FileExistsError(f'{directory} exists: export to a new directory.')
  raw = config_json(cfg, dtype, tokenizer)
  directory.parent.mkdir(parents=True, exist_ok=True)
  temporary = pathlib.Path(
    tempfile.mkdtemp(prefix=f'{directory.name}.tmp-', dir=directory.parent)
  )
  try:
    tokenizer.save(temporary)
    (temporary / hf.CONFIG_FILE).write_text(json.dumps(raw, indent=2) + '\n')
    _write_weights(temporary, cfg, params, np.dtype(dtype), file_bytes)
    temporary.chmod(0o755)  # mkdtemp hides its directories from others
    temporary.rename(directory)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def config_json(cfg: config_lib.Config, dtype: str, tokenizer) -> dict:
  """What config.json says of the model, for transformers 4 and 5 alike."""
  family = _family(cfg)
  rope = {'rope_type': 'default'}
  if cfg.rope_scaling is not None:
    rope = {'rope_type': 'llama3', **dict(zip(hf.LLAMA3, cfg.rope_scaling))}
    rope[hf.LLAMA3[-1]] = int(rope[hf.LLAMA3[-1]])
  return {
    'architectures': [
      {'qwen3': 'Qwen3', 'qwen2': 'Qwen2', 'llama': 'Llama'}[family]
      + 'ForCausalLM'
    ],
    'model_type': family,
    'vocab_size': cfg.vocab_size,
    'hidden_size': cfg.width,
    'intermediate_size': cfg.ff,
    'num_hidden_layers': cfg.num_layers,
    'num_attention_heads': cfg.num_heads,
    'num_key_value_heads': cfg.num_kv_heads,
    'head_dim': cfg.head_width,
    'hidden_act': 'silu',
    'rms_norm_eps': cfg.norm_eps,
    'rope_theta': cfg.rope_theta,
    'rope_scaling': None if cfg.rope_scaling is None else rope,
    'rope_parameters': {**rope, 'rope_theta': cfg.rope_theta},
    'attention_bias': family == 'qwen2',
    'mlp_bias': False,
    'use_sliding_window': False,
    'max_position_embeddings': MAX_POSITIONS,
    'tie_word_embeddings': cfg.tied,
    'eos_token_id': tokenizer.end_of_turn,
    'pad_token_id': tokenizer.pad,
    'torch_dtype': dtype,
    'dtype': dtype,
  }


def _family(cfg):
  """The published architecture that computes what this decoder does."""
  if cfg.canon:
    raise ValueError(
      f'a decoder with canon={cfg.canon} has no Hugging Face architecture: '
      'only models without it can be exported'
    )
  if cfg.qk_norm and cfg.attention_bias:
    raise ValueError(
      'a decoder with qk_norm and attention_bias has no Hugging Face '
      'architecture: Qwen3 has the first, Qwen2.5 the second'
    )
  return 'qwen3' if cfg.qk_norm else 'qwen2' if cfg.attention_bias else 'llama'


def _write_weights(directory, cfg, params, dtype, file_bytes):
  """Tensors in files of at most about `file_bytes`, and where each one is."""
  parts, part, size, total = [], {}, 0, 0
  for name, read in _tensors(cfg, params):
    tensor = np.ascontiguousarray(read().astype(dtype))
    if part and size + tensor.nbytes > file_bytes:
      parts.append(_write_part(directory, len(parts), part))
      part, size = {}, 0
    part[name] = tensor
    size += tensor.nbytes
    total += tensor.nbytes
  parts.append(_write_part(directory, len(parts), part))
  if len(parts) == 1:
    (directory / parts[0][0]).rename(directory / hf.SINGLE_FILE)
    return
  index = {
    'metadata': {'total_size': total},
    'weight_map': {name: file for file, names in parts for name in names},
  }
  (directory / hf.INDEX_FILE).write_text(json.dumps(index, indent=2) + '\n')


def _write_part(directory, number, part):
  file = f'model-{number + 1:05d}.safetensors'
  st.save_file(part, directory / file, metadata={'format': 'pt'})
  return file, list(part)


def _tensors(cfg, params):
  """(name in the file, function that fetches it) of every tensor."""
  for path, leaf in jax.tree.leaves_with_path(params):
    key = jax.tree_util.keystr(path, simple=True, separator='/')
    if key.startswith('blocks/'):
      for layer in range(cfg.num_layers):
        name = hf.NAMES[key].format(layer)
        yield name, lambda k=key, x=leaf, i=layer: weights.to_file(k, x[i])
    else:
      yield hf.NAMES[key], lambda k=key, x=leaf: weights.to_file(k, x)
