"""Presets: known sizes, and errors that list the names."""

import jax
import pytest

from mem_alpha.models import decoder
from mem_alpha.models import presets


# Parameter counts that the model cards state, in millions.
@pytest.mark.parametrize(
  'name, millions',
  [
    ('smollm2_135m', 134.5),
    ('qwen2p5_0p5b', 494.0),
    ('qwen3_0p6b', 596.0),
    ('qwen3_4b', 4022.5),
  ],
)
def test_parameter_counts(name, millions):
  cfg = presets.get(name)
  shapes = jax.eval_shape(lambda: decoder.init(cfg, jax.random.key(0)))
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert count / 1e6 == pytest.approx(millions, abs=0.1)


def test_overrides():
  cfg = presets.get('tiny', vocab_size=300, dtype='bfloat16')
  assert (cfg.vocab_size, cfg.dtype) == (300, 'bfloat16')
  assert presets.get('tiny') == presets.get('tiny')


def test_unknown_name_lists_the_names():
  with pytest.raises(ValueError, match="'gpt2'.*qwen3_4b.*tiny"):
    presets.get('gpt2')


def test_unknown_field_lists_the_fields():
  with pytest.raises(ValueError, match='no heads: .*num_heads'):
    presets.get('tiny', heads=3)
