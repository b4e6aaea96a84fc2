"""From a config to a model: its shape, its first weights, its adapters."""

import dataclasses
import pathlib

import jax

from mem_alpha import text
from mem_alpha.models import decoder
from mem_alpha.models import gguf
from mem_alpha.models import hf
from mem_alpha.models import lora
from mem_alpha.models import presets


def model(config, vocab: text.Tokenizer):
  """The decoder's shape, and a function that makes its first parameters."""
  if config.model.weights:
    weights = pathlib.Path(config.model.weights)
    load = gguf.load if weights.suffix == '.gguf' else hf.load
    cfg, *loaded = load(weights, dtype=config.model.dtype)[:2]

    def first_params():
      # Training donates what it gets, so the next to ask reads the file again.
      params = loaded.pop() if loaded else load(weights, dtype=cfg.dtype)[1]
      return cast(config, params)

    kernel = config.model.attention
    return dataclasses.replace(cfg, attention=kernel), first_params
  cfg = preset(config, vocab_size=vocab.vocab_size)
  key = jax.random.fold_in(jax.random.key(config.seed), 0)
  return cfg, lambda: cast(config, decoder.init(cfg, key))


def cast(config, params):
  """The weights in the dtype that they are kept in."""
  dtype = config.model.param_dtype
  return jax.tree.map(lambda leaf: leaf.astype(dtype), params)


def adapters(config, base):
  """What learns: adapters of the base, or None where all of it does."""
  if not config.lora.rank:
    return None
  key = jax.random.fold_in(jax.random.key(config.seed), 1)
  return lora.init(base, key, rank=config.lora.rank, scale=config.lora.scale)


def preset(config, **overrides) -> decoder.Config:
  """The decoder's shape as the config alone gives it."""
  m = config.model
  own = {k: m[k] for k in ('num_layers', 'width') if m[k] is not None}
  return presets.get(
    m.preset, dtype=m.dtype, attention=m.attention, **own, **overrides
  )
