"""A GGUF file -> the decoder's config, parameters and tokenizer.

GGUF is the one-file format of llama.cpp; SmolLM2 reaches this project in it
(third_party/). Weights are dequantised tensor by tensor with the `gguf`
package, without torch. Two things in such a file are not what they seem:

- Files of the llama architecture store query and key rows pairwise, for a
  rope that turns neighbours; the decoder turns halves, so rows move back.
- The tokenizer's split of text into words is given by name only.

    cfg, params, tokenizer = gguf.load('models/SmolLM2.gguf')
"""

import os
import pathlib

import gguf
import numpy as np
import tokenizers
from gguf import quants
from tokenizers import decoders
from tokenizers import models
from tokenizers import normalizers
from tokenizers import pre_tokenizers

from mem_alpha import text
from mem_alpha.models import decoder
from mem_alpha.models import weights

FAMILIES = ('llama', 'qwen2', 'qwen3')
NAMES = {
  'embed': 'token_embd.weight',
  'blocks/attention_norm': 'blk.{}.attn_norm.weight',
  'blocks/query': 'blk.{}.attn_q.weight',
  'blocks/query_bias': 'blk.{}.attn_q.bias',
  'blocks/query_norm': 'blk.{}.attn_q_norm.weight',
  'blocks/key': 'blk.{}.attn_k.weight',
  'blocks/key_bias': 'blk.{}.attn_k.bias',
  'blocks/key_norm': 'blk.{}.attn_k_norm.weight',
  'blocks/value': 'blk.{}.attn_v.weight',
  'blocks/value_bias': 'blk.{}.attn_v.bias',
  'blocks/out': 'blk.{}.attn_output.weight',
  'blocks/ff_norm': 'blk.{}.ffn_norm.weight',
  'blocks/gate': 'blk.{}.ffn_gate.weight',
  'blocks/up': 'blk.{}.ffn_up.weight',
  'blocks/down': 'blk.{}.ffn_down.weight',
  'norm': 'output_norm.weight',
  'head': 'output.weight',
}
# Splits of tokenizer.ggml.pre, as in each model's own tokenizer.json.
_SPLITS = {
  'smollm': lambda: [
    pre_tokenizers.Digits(individual_digits=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
  ],
  'qwen2': lambda: [
    pre_tokenizers.Split(
      tokenizers.Regex(
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r'| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+'
      ),
      'isolated',
    ),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
  ],
}
_NORMALIZERS = {'qwen2': normalizers.NFC}
_END_OF_TEXT = '<|endoftext|>'


def load(path: str | os.PathLike, *, dtype: str = 'float32'):
  """(Config, params, Tokenizer); `dtype` is that of activations."""
  path = pathlib.Path(path)
  reader = _open(path)
  cfg = _config(reader, path, dtype)
  tokenizer = _tokenizer(reader, path)
  if tokenizer.vocab_size > cfg.vocab_size:
    raise ValueError(
      f'{path} has {tokenizer.vocab_size} tokens but embeds {cfg.vocab_size}; '
      'fetch it again.'
    )
  return cfg, _params(cfg, reader, path), tokenizer


def load_tokenizer(path: str | os.PathLike) -> text.Tokenizer:
  """The tokenizer alone; weights are not read."""
  path = pathlib.Path(path)
  return _tokenizer(_open(path), path)


def _open(path):
  if not path.is_file():
    raise FileNotFoundError(
      f'No GGUF file at {path}: third_party/README.md says how to fetch one.'
    )
  try:
    return gguf.GGUFReader(path)
  except (ValueError, LookupError, OverflowError) as error:
    raise ValueError(
      f'{path} cannot be read as GGUF ({error}): it is damaged, cut short or '
      'something else; fetch it again.'
    ) from error


def _config(reader, path, dtype):
  family = _field(reader, 'general.architecture', path)
  if family not in FAMILIES:
    raise ValueError(
      f'{path} holds a {family!r} model; the decoder covers '
      f'{", ".join(FAMILIES)}.'
    )

  def get(key, *default):
    return _field(reader, f'{family}.{key}', path, *default)

  heads, width = get('attention.head_count'), get('embedding_length')
  head_width = get('attention.key_length', width // heads)
  scaling = get('rope.scaling.type', 'none')
  if scaling != 'none' or get('rope.dimension_count', head_width) != head_width:
    raise ValueError(
      f'{path} scales rope ({scaling!r}) or turns a part of each head, which '
      'is read from Hugging Face directories only; use one of those.'
    )
  names = {tensor.name: tensor for tensor in reader.tensors}
  if NAMES['embed'] not in names:
    raise ValueError(
      f'{path} has no {NAMES["embed"]}: it is one part of a split model or a '
      'vocabulary alone; fetch the whole model in one file.'
    )
  return decoder.Config(
    vocab_size=int(names[NAMES['embed']].shape[1]),
    num_layers=get('block_count'),
    width=width,
    num_heads=heads,
    num_kv_heads=get('attention.head_count_kv', heads),
    head_width=head_width,
    ff=get('feed_forward_length'),
    rope_theta=_decimal(get('rope.freq_base', 1e4)),
    norm_eps=_decimal(get('attention.layer_norm_rms_epsilon')),
    qk_norm=family == 'qwen3',
    attention_bias=family == 'qwen2',
    tied=NAMES['head'] not in names,
    dtype=dtype,
  )


def _params(cfg, reader, path):
  tensors = {tensor.name: tensor for tensor in reader.tensors}
  # GGUF counts axes from the fastest one.
  shapes = {
    name: tuple(tensor.shape.tolist()[::-1]) for name, tensor in tensors.items()
  }
  paired = _field(reader, 'general.architecture', path) == 'llama'

  def read(name):
    tensor = tensors[name]
    try:
      value = quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
      raise ValueError(
        f'{name} in {path} is stored as {tensor.tensor_type.name}, which the '
        'gguf package cannot dequantise; fetch another quantisation.'
      ) from error
    if paired and name.endswith(('.attn_q.weight', '.attn_k.weight')):
      value = _unpair(value, cfg.head_width)
    return value

  return weights.assemble(cfg, shapes, read, names=NAMES, where=str(path))


def _unpair(w_OD, head_width):
  """Rows of each head from (0, h/2), (1, h/2 + 1), … to 0, 1, 2, …"""
  w = w_OD.reshape(-1, head_width // 2, 2, w_OD.shape[-1])
  return w.swapaxes(1, 2).reshape(w_OD.shape)


def _tokenizer(reader, path):
  kind = _field(reader, 'tokenizer.ggml.model', path)
  split = _field(reader, 'tokenizer.ggml.pre', path, 'default')
  if kind != 'gpt2' or split not in _SPLITS:
    raise ValueError(
      f'{path} has a {kind!r} tokenizer that splits text by {split!r}; known '
      f'are gpt2 tokenizers with {" or ".join(_SPLITS)}.'
    )
  tokens = _field(reader, 'tokenizer.ggml.tokens', path)
  merges = _field(reader, 'tokenizer.ggml.merges', path)
  try:
    raw = tokenizers.Tokenizer(
      models.BPE(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=[tuple(merge.split(' ', 1)) for merge in merges],
      )
    )
  except Exception as error:  # the package raises bare Exception
    raise ValueError(
      f'{path} has merges that do not fit its vocabulary ({error}); fetch it '
      'again.'
    ) from error
  raw.pre_tokenizer = pre_tokenizers.Sequence(_SPLITS[split]())
  if split in _NORMALIZERS:
    raw.normalizer = _NORMALIZERS[split]()
  raw.decoder = decoders.ByteLevel()
  types = _field(reader, 'tokenizer.ggml.token_type', path, [])
  _add_tokens(raw, zip(tokens, types, strict=False))
  end = raw.token_to_id(text.TURN_END)
  if end is None:
    raise ValueError(
      f'{path} has no {text.TURN_END} token: prompts are ChatML; use a model '
      'trained on it.'
    )
  pad = _pad(reader, raw, end, path)
  template = _field(reader, 'tokenizer.chat_template', path, None)
  return text.Tokenizer(
    raw, end_of_turn=end, pad=pad, name=path.stem, chat_template=template
  )


def _add_tokens(raw, typed_tokens):
  """Neither is recognised in untrusted text (`text.Tokenizer`)."""
  special = {
    gguf.TokenType.CONTROL: True,
    gguf.TokenType.USER_DEFINED: False,
  }
  raw.add_tokens(
    [
      tokenizers.AddedToken(token, normalized=False, special=special[kind])
      for token, kind in typed_tokens
      if kind in special
    ]
  )


def _pad(reader, raw, end, path):
  """SmolLM2 pads with its end of turn; apart, padding cannot pass for one."""
  pad = _field(reader, 'tokenizer.ggml.padding_token_id', path, end)
  if pad == end and raw.token_to_id(_END_OF_TEXT) is not None:
    pad = raw.token_to_id(_END_OF_TEXT)
  return pad


def _field(reader, key, path, *default):
  field = reader.get_field(key)
  if field is None:
    if default:
      return default[0]
    raise ValueError(f'{path} does not say {key}; fetch a complete model.')
  return field.contents()


def _decimal(value):
  """1e-05 was stored in 32 bits: the shortest decimal is what was meant."""
  return float(str(np.float32(value)))
