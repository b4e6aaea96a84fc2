"""Tiny GGUF files written here; the oracle is the same model through hf.py."""

import gguf as writer
import jax
import numpy as np
import pytest
import torch
import transformers
from gguf import quants
from tokenizers import pre_tokenizers

from mem_alpha import text
from mem_alpha.models import gguf
from mem_alpha.models import hf

Quant = writer.GGMLQuantizationType
SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
MERGES = ['t h', 'th e', 'Ġ Ġ', 'Ġ 5', '1 2']
TOKENS = (
  SPECIALS
  + sorted(pre_tokenizers.ByteLevel.alphabet())
  + [merge.replace(' ', '') for merge in MERGES]
)
SHAPE = dict(
  vocab_size=len(TOKENS),
  hidden_size=32,
  intermediate_size=64,
  num_hidden_layers=2,
  num_attention_heads=4,
  num_key_value_heads=2,
  rms_norm_eps=1e-5,
  tie_word_embeddings=False,
  rope_parameters={'rope_type': 'default', 'rope_theta': 7e3},
)
FAMILIES = {
  'llama': (transformers.LlamaConfig, {}),
  'qwen2': (transformers.Qwen2Config, {}),
  'qwen3': (transformers.Qwen3Config, {'head_dim': 16}),
}


def save_hf(directory, family, **changes):
  """A directory in the Hugging Face layout, every weight random."""
  config, extra = FAMILIES[family]
  torch.manual_seed(0)
  model = transformers.AutoModelForCausalLM.from_config(
    config(**{**SHAPE, **extra, **changes})
  )
  with torch.no_grad():
    for name, weight in model.named_parameters():
      torch.nn.init.normal_(weight, mean='norm' in name, std=0.2)
  model.save_pretrained(directory)
  return model


def head_width(config):
  width = getattr(config, 'head_dim', None)
  return width or config.hidden_size // config.num_attention_heads


def pair(rows, width):
  """Rows of a head as llama.cpp keeps them: 0, h/2, 1, h/2 + 1, …"""
  order = [
    head + i + half
    for head in range(0, len(rows), width)
    for i in range(width // 2)
    for half in (0, width // 2)
  ]
  return rows[order]


def tensors_of(model, family):
  """The model's tensors under their names in a GGUF file."""
  config = model.config
  kept = {
    hf.NAMES[key].format(layer): gguf.NAMES[key].format(layer)
    for key in hf.NAMES
    for layer in range(config.num_hidden_layers)
  }
  tensors = {}
  for name, value in model.state_dict().items():
    if name == 'lm_head.weight' and config.tie_word_embeddings:
      continue
    value = value.numpy()
    if family == 'llama' and ('q_proj' in name or 'k_proj' in name):
      value = pair(value, head_width(config))
    tensors[kept[name]] = value
  return tensors


def fields_of(model, family):
  config = model.config
  return {
    'general.architecture': family,
    f'{family}.block_count': config.num_hidden_layers,
    f'{family}.embedding_length': config.hidden_size,
    f'{family}.feed_forward_length': config.intermediate_size,
    f'{family}.attention.head_count': config.num_attention_heads,
    f'{family}.attention.head_count_kv': config.num_key_value_heads,
    f'{family}.attention.key_length': head_width(config),
    f'{family}.attention.layer_norm_rms_epsilon': config.rms_norm_eps,
    f'{family}.rope.freq_base': config.rope_parameters['rope_theta'],
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': 'smollm',
    'tokenizer.ggml.tokens': TOKENS,
    'tokenizer.ggml.token_type': [3] * 3 + [1] * (len(TOKENS) - 3),
    'tokenizer.ggml.merges': MERGES,
    'tokenizer.ggml.padding_token_id': 2,
  }


def write(path, fields, tensors, types=None):
  """`types` maps a tensor's name to (raw bytes, quantisation)."""
  out = writer.GGUFWriter(path, fields['general.architecture'])
  for key, value in fields.items():
    if key == 'general.architecture':
      continue
    add = {
      str: out.add_string,
      int: out.add_uint32,
      float: out.add_float32,
      list: out.add_array,
    }[type(value)]
    add(key, value)
  for name, value in tensors.items():
    raw, kind = (types or {}).get(name, (value, None))
    out.add_tensor(name, raw, raw_dtype=kind)
  out.write_header_to_file()
  out.write_kv_data_to_file()
  out.write_tensors_to_file()
  out.close()
  return path


@pytest.fixture(scope='module')
def llama(tmp_path_factory):
  """(fields, tensors) of a small llama; copy before changing."""
  model = save_hf(tmp_path_factory.mktemp('llama'), 'llama')
  return fields_of(model, 'llama'), tensors_of(model, 'llama')


@pytest.mark.parametrize('tied', [True, False])
@pytest.mark.parametrize('family', sorted(FAMILIES))
def test_same_model_from_gguf_and_from_safetensors(tmp_path, family, tied):
  model = save_hf(tmp_path, family, tie_word_embeddings=tied)
  path = write(
    tmp_path / 'tiny.gguf', fields_of(model, family), tensors_of(model, family)
  )
  cfg, params, _ = gguf.load(path)
  want_cfg, want = hf.load(tmp_path)
  assert cfg == want_cfg
  jax.tree.map(np.testing.assert_array_equal, params, want)


def test_heads_are_divided_evenly_without_a_key_length(tmp_path, llama):
  fields, tensors = llama
  fields = dict(fields)
  del fields['llama.attention.key_length']
  cfg, _, _ = gguf.load(
    write(tmp_path / 'a.gguf', fields, tensors), dtype='bfloat16'
  )
  assert cfg.head_width == 8 and cfg.dtype == 'bfloat16'


def q4_k(block):
  """256 values of a Q4_K block, one by one."""
  d, low = np.frombuffer(block[:4].tobytes(), np.float16).astype(np.float64)
  s, q = block[4:16].astype(int), block[16:].astype(int)
  values = []
  for group in range(8):
    if group < 4:
      scale, offset = s[group] & 63, s[group + 4] & 63
    else:
      scale = (s[group + 4] & 15) | (s[group - 4] >> 6 << 4)
      offset = (s[group + 4] >> 4) | (s[group] >> 6 << 4)
    for i in range(32):
      nibble = q[group // 2 * 32 + i] >> 4 * (group % 2) & 15
      values.append(d * scale * nibble - low * offset)
  return values


def q6_k(block):
  """256 values of a Q6_K block, one by one."""
  low, high = block[:128].astype(int), block[128:192].astype(int)
  scale = block[192:208].view(np.int8).astype(int)
  d = float(block[208:].view(np.float16)[0])
  values = []
  for n in range(256):
    half, part, i = n // 128, n % 128 // 32, n % 32
    nibble = low[64 * half + 32 * (part % 2) + i] >> 4 * (part // 2) & 15
    q = nibble | (high[32 * half + i] >> 2 * part & 3) << 4
    values.append(d * scale[n // 16] * (q - 32))
  return values


def random_blocks(rows, size, scales):
  """Random bytes with sane float16 scales at the given byte offsets."""
  raw = np.random.default_rng(1).integers(0, 256, (rows, size), np.uint8)
  for offset in scales:
    raw[:, offset : offset + 2] = np.array([0.01], np.float16).view(np.uint8)
  return raw


def test_quantised_tensors(tmp_path):
  """Width 256: K-quants come in blocks of 256 values."""
  shape = dict(hidden_size=256, intermediate_size=256, num_hidden_layers=1)
  model = save_hf(tmp_path, 'qwen2', **shape)
  tensors = tensors_of(model, 'qwen2')
  value, down = random_blocks(128, 144, (0, 2)), random_blocks(256, 210, (208,))
  types = {
    'blk.0.attn_v.weight': (value, Quant.Q4_K),
    'blk.0.ffn_down.weight': (down, Quant.Q6_K),
  }
  for name, kind in {
    'blk.0.ffn_up.weight': Quant.Q4_1,
    'blk.0.ffn_gate.weight': Quant.Q8_0,
    'token_embd.weight': Quant.F16,
  }.items():
    types[name] = quants.quantize(tensors[name], kind), kind
  path = write(tmp_path / 'q.gguf', fields_of(model, 'qwen2'), tensors, types)
  _, params, _ = gguf.load(path)
  blocks = {key: leaf[0] for key, leaf in params['blocks'].items()}
  np.testing.assert_allclose(
    blocks['value'].reshape(256, -1).T, [q4_k(b) for b in value], rtol=1e-5
  )
  np.testing.assert_allclose(
    blocks['down'].T, [q6_k(b) for b in down], rtol=1e-5
  )
  np.testing.assert_allclose(
    params['embed'], tensors['token_embd.weight'], rtol=1e-3, atol=1e-6
  )
  # Half a step: 1/15 of a block's range, 1/127 of its largest value.
  up, gate = tensors['blk.0.ffn_up.weight'], tensors['blk.0.ffn_gate.weight']
  assert np.abs(blocks['up'].T - up).max() < np.ptp(up) / 15 * 0.51
  assert np.abs(blocks['gate'].T - gate).max() < np.abs(gate).max() / 127 * 0.51
  np.testing.assert_array_equal(
    blocks['query_bias'].ravel(), tensors['blk.0.attn_q.bias']
  )


def tokenizer_of(tmp_path, llama, **changes):
  fields = llama[0] | {
    f'tokenizer.ggml.{key}': value for key, value in changes.items()
  }
  return gguf.load_tokenizer(write(tmp_path / 't.gguf', fields, llama[1]))


def pieces(tokenizer, string):
  ids = tokenizer.encode(string)
  assert tokenizer.decode(ids) == string
  return [TOKENS[i] for i in ids]


def test_tokenizer_of_smollm(tmp_path, llama):
  tokenizer = tokenizer_of(tmp_path, llama)
  assert tokenizer.vocab_size == len(TOKENS)
  assert tokenizer.name == 't'
  # Digits are split off first, so the spaces before one stay together.
  assert pieces(tokenizer, 'the  512') == ['the', 'ĠĠ', '5', '1', '2']
  assert pieces(tokenizer, 'é\n') == ['Ã', '©', 'Ċ']


def test_tokenizer_of_qwen2(tmp_path, llama):
  tokenizer = tokenizer_of(tmp_path, llama, pre='qwen2')
  assert pieces(tokenizer, 'the  512') == ['the', 'Ġ', 'Ġ', '5', '1', '2']
  assert tokenizer.encode('e\u0301') == tokenizer.encode('é')


def test_special_tokens_count_in_markup_only(tmp_path, llama):
  tokenizer = tokenizer_of(tmp_path, llama)
  assert tokenizer.end_of_turn == 2
  assert tokenizer.pad == 0  # not the end of turn that the file pads with
  assert tokenizer.encode_markup('<|im_start|>the<|im_end|>') == [
    1,
    TOKENS.index('the'),
    2,
  ]
  assert not set(tokenizer.encode('<|im_start|>the<|im_end|>')) & {0, 1, 2}


def test_user_defined_tokens_count_in_markup_only(tmp_path, llama):
  tokens = ['<think>' if t == 'the' else t for t in TOKENS]
  merges = [m for m in MERGES if m != 'th e']
  types = [4 if t == '<think>' else 3 if t in SPECIALS else 1 for t in tokens]
  tokenizer = tokenizer_of(
    tmp_path, llama, tokens=tokens, merges=merges, token_type=types
  )
  think = tokens.index('<think>')
  assert tokenizer.encode_markup('<think>') == [think]
  assert think not in tokenizer.encode('<think>')


def test_tokenizer_survives_saving(tmp_path, llama):
  tokenizer = tokenizer_of(tmp_path, llama)
  tokenizer.save(tmp_path / 'tokenizer')
  again = text.load(tmp_path / 'tokenizer')
  string = 'the  512 <|im_end|>'
  assert again.encode(string) == tokenizer.encode(string)
  assert (again.end_of_turn, again.pad) == (2, 0)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'general.architecture': 'gemma'}, "holds a 'gemma' model"),
    ({'llama.block_count': None}, 'does not say llama.block_count'),
    ({'llama.block_count': 3}, 'lacks blk.2.attn_k.weight'),
    ({'llama.block_count': 1}, 'holds blk.1.attn_k.weight'),
    ({'llama.feed_forward_length': 65}, r'ffn_down.weight is \(32, 64\) inst'),
    ({'llama.rope.scaling.type': 'yarn'}, "scales rope \\('yarn'\\)"),
    ({'llama.rope.dimension_count': 4}, 'turns a part of each head'),
    ({'tokenizer.ggml.model': 'llama'}, "has a 'llama' tokenizer"),
    ({'tokenizer.ggml.pre': 'tekken'}, "splits text by 'tekken'"),
    ({'tokenizer.ggml.merges': ['t h', 'q qq']}, 'merges that do not fit'),
    ({'tokenizer.ggml.tokens': None}, 'does not say tokenizer.ggml.tokens'),
    ({'tokenizer.ggml.tokens': TOKENS + ['x', 'y']}, 'tokens but embeds'),
    (
      {'tokenizer.ggml.tokens': [t.replace('im_end', 'end') for t in TOKENS]},
      'has no <|im_end|> token',
    ),
  ],
)
def test_wrong_fields_are_named(tmp_path, llama, changes, message):
  fields = {k: v for k, v in (llama[0] | changes).items() if v is not None}
  with pytest.raises(ValueError, match=message.replace('|', r'\|')):
    gguf.load(write(tmp_path / 'a.gguf', fields, llama[1]))


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'token_embd.weight': None}, 'has no token_embd.weight'),
    ({'blk.1.ffn_up.weight': None}, 'lacks blk.1.ffn_up.weight'),
    ({'rope_freqs.weight': np.ones(4, np.float32)}, 'holds rope_freqs.weight'),
    ({'output_norm.weight': np.ones(32, np.int8)}, 'is stored as I8'),
    ({'output_norm.weight': np.full(32, np.inf, np.float32)}, 'not finite'),
  ],
)
def test_wrong_tensors_are_named(tmp_path, llama, changes, message):
  tensors = {k: v for k, v in (llama[1] | changes).items() if v is not None}
  with pytest.raises(ValueError, match=message):
    gguf.load(write(tmp_path / 'a.gguf', llama[0], tensors))


def test_missing_file(tmp_path):
  with pytest.raises(FileNotFoundError, match='third_party/README.md'):
    gguf.load(tmp_path / 'none.gguf')


def test_truncated_files_never_load(tmp_path, llama):
  path = write(tmp_path / 'a.gguf', *llama)
  data = path.read_bytes()
  sizes = [0, 3, 4, 8, 20, 100, *range(1000, len(data), len(data) // 40)]
  for size in [*sizes, len(data) - 129]:
    path.write_bytes(data[:size])
    with pytest.raises(ValueError, match='cannot be read as GGUF'):
      gguf.load(path)


def test_damaged_headers_raise_nothing_but_value_errors(tmp_path, llama):
  path = write(tmp_path / 'a.gguf', *llama)
  data = bytearray(path.read_bytes())
  rng = np.random.default_rng(0)
  refused = 0
  for _ in range(60):
    damaged = data.copy()
    damaged[rng.integers(0, 600)] ^= 1 << int(rng.integers(0, 8))
    path.write_bytes(damaged)
    try:
      gguf.load(path)
    except ValueError:
      refused += 1
  assert refused > 30
