"""Named decoder shapes.

`tiny` belongs to the embedded tier: its vocabulary is that of the tokenizer
trained in the run. The others are the published config.json of each model, so
that a random model of the right shape needs no download; `hf.py` and `gguf.py`
read the shape from the checkpoint itself.
"""

import dataclasses

from mem_alpha.models import decoder

PRESETS = {
  'tiny': dict(
    vocab_size=1024,
    num_layers=3,
    width=64,
    num_heads=2,
    num_kv_heads=2,
    head_width=32,
    ff=192,
    canon=4,
  ),
  'smollm2_135m': dict(
    vocab_size=49_152,
    num_layers=30,
    width=576,
    num_heads=9,
    num_kv_heads=3,
    head_width=64,
    ff=1536,
    rope_theta=1e5,
    norm_eps=1e-5,
  ),
  'qwen2p5_0p5b': dict(
    vocab_size=151_936,
    num_layers=24,
    width=896,
    num_heads=14,
    num_kv_heads=2,
    head_width=64,
    ff=4864,
    rope_theta=1e6,
    attention_bias=True,
  ),
  'qwen3_0p6b': dict(
    vocab_size=151_936,
    num_layers=28,
    width=1024,
    num_heads=16,
    num_kv_heads=8,
    head_width=128,
    ff=3072,
    rope_theta=1e6,
    qk_norm=True,
  ),
  'qwen3_4b': dict(
    vocab_size=151_936,
    num_layers=36,
    width=2560,
    num_heads=32,
    num_kv_heads=8,
    head_width=128,
    ff=9728,
    rope_theta=1e6,
    qk_norm=True,
  ),
}


def get(name: str, **overrides) -> decoder.Config:
  """The named shape with some fields replaced, such as dtype='bfloat16'."""
  if name not in PRESETS:
    raise ValueError(
      f'no model preset is called {name!r}: choose one of '
      f'{", ".join(sorted(PRESETS))}'
    )
  known = {field.name for field in dataclasses.fields(decoder.Config)}
  unknown = sorted(set(overrides) - known)
  if unknown:
    raise ValueError(
      f'a decoder has no {", ".join(unknown)}: its fields are '
      f'{", ".join(sorted(known))}'
    )
  return decoder.Config(**{**PRESETS[name], **overrides})
