"""google-tunix's side: python tunix_peer.py MODEL_DIRECTORY WORK.json

Runs in an environment of its own: pip install google-tunix.
"""

import json
import sys

import jax
import jax.numpy as jnp
import worker
from tunix.generate import sampler
from tunix.models.llama3 import model as llama
from tunix.models.llama3 import params as llama_params


class Ids:
  """A tokenizer whose texts are token ids: both sides read the same."""

  def encode(self, text, **_):
    return [int(i) for i in text.split()]

  def decode(self, ids, **_):
    return ' '.join(map(str, ids))

  def bos_id(self):
    return 0  # none

  def eos_id(self):
    return -1  # no token: all responses have one length

  def pad_id(self):
    return 0


class Tunix:
  """tunix's Sampler over the same weights."""

  def __init__(self, directory, work):
    with open(f'{directory}/config.json', encoding='utf-8') as file:
      raw = json.load(file)
    self.work = work
    config = llama.ModelConfig(
      num_layers=raw['num_hidden_layers'],
      vocab_size=raw['vocab_size'],
      embed_dim=raw['hidden_size'],
      hidden_dim=raw['intermediate_size'],
      num_heads=raw['num_attention_heads'],
      head_dim=raw['head_dim'],
      num_kv_heads=raw['num_key_value_heads'],
      rope_theta=raw['rope_theta'],
      norm_eps=raw['rms_norm_eps'],
      weight_tying=raw['tie_word_embeddings'],
    )
    mesh = jax.make_mesh(
      (1, 1),
      ('fsdp', 'tp'),
      axis_types=(jax.sharding.AxisType.Auto,) * 2,
    )
    model = llama_params.create_model_from_safe_tensors(
      directory, config, mesh=mesh, dtype=jnp.float32
    )
    # The cache size must be a multiple of 128 or so; the least that fits.
    size = work['prompt_tokens'] + work['new_tokens']
    self.sampler = sampler.Sampler(
      model,
      Ids(),
      sampler.CacheConfig(
        cache_size=size + -size % 64,
        num_layers=config.num_layers,
        num_kv_heads=config.num_kv_heads,
        head_dim=config.head_dim,
      ),
    )

  def rollout(self, chunk):
    out = self.sampler(
      [' '.join(map(str, prompt)) for prompt in self.work[chunk]],
      max_generation_steps=self.work['new_tokens'],
      max_prompt_length=self.work['prompt_tokens'],
      eos_tokens=[-1],
      temperature=1.0,
      top_p=1.0,
      seed=0,
    )
    return {'tokens': sum(len(tokens) for tokens in out.tokens)}


if __name__ == '__main__':
  with open(sys.argv[2], encoding='utf-8') as file:
    side = Tunix(sys.argv[1], json.load(file))
  worker.serve({'rollout': side.rollout})
