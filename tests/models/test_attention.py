"""Attention against a plain NumPy reference, and rotary positions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha.models import attention


def _reference(q_BTKGH, k_BTKH, v_BTKH, segment_BT):
  B, T, K, G, H = q_BTKGH.shape
  out = np.zeros_like(q_BTKGH)
  for b, t, k, g in np.ndindex(B, T, K, G):
    seen = [s for s in range(t + 1) if segment_BT[b, s] == segment_BT[b, t]]
    score = np.array([q_BTKGH[b, t, k, g] @ k_BTKH[b, s, k] for s in seen])
    weight = np.exp(score / H**0.5)
    out[b, t, k, g] = weight @ v_BTKH[b, seen, k] / weight.sum()
  return out


@pytest.mark.parametrize('length', [1, 5, 70, 130])
def test_attend_equals_reference(length):
  """Lengths under, over and at no multiple of a block of queries."""
  rng = np.random.default_rng(0)
  B, K, G, H = 2, 2, 3, 4
  q_BTKGH = rng.normal(size=(B, length, K, G, H)).astype(np.float32)
  k_BTKH, v_BTKH = rng.normal(size=(2, B, length, K, H)).astype(np.float32)
  segment_BT = np.sort(rng.integers(0, 4, (B, length)), 1)
  got = jax.jit(attention.attend)(q_BTKGH, k_BTKH, v_BTKH, segment_BT)
  want = _reference(q_BTKGH, k_BTKH, v_BTKH, segment_BT)
  np.testing.assert_allclose(got, want, atol=2e-5)


def test_attend_survives_large_scores():
  q = jnp.full((1, 3, 1, 1, 2), 1e4)
  k, v = jnp.full((1, 3, 1, 2), -1e4), jnp.arange(6.0).reshape(1, 3, 1, 2)
  out = attention.attend(q, k, v, jnp.ones((1, 3), int))
  np.testing.assert_allclose(out[0, :, 0, 0, 0], [0, 1, 2])


def test_positions_restart_with_each_segment():
  segment_BT = jnp.array([[0, 0, 1, 1, 2], [1, 1, 1, 3, 0]])
  np.testing.assert_array_equal(
    attention.segment_positions(segment_BT),
    [[0, 1, 0, 1, 0], [0, 1, 2, 0, 0]],
  )


def test_rotated_products_depend_on_distance_only():
  rng = np.random.default_rng(0)
  q, k = jnp.asarray(rng.normal(size=(2, 1, 1, 1, 8)), jnp.float32)

  def product(t, s):
    tables = [
      attention.rope(jnp.array([[n]]), head_width=8, theta=1e4, scaling=None)
      for n in (t, s)
    ]
    return float(
      (attention.rotate(q, *tables[0]) * attention.rotate(k, *tables[1])).sum()
    )

  assert product(7, 3) == pytest.approx(product(104, 100), abs=1e-4)
  assert product(7, 3) != pytest.approx(product(7, 4), abs=1e-4)


@dataclasses.dataclass(frozen=True)
class _Llama:
  """What transformers reads to initialise Llama 3 frequencies."""

  rope_parameters: dict
  hidden_size: int = 64
  num_attention_heads: int = 2
  head_dim: int = 32
  max_position_embeddings: int = 131_072

  def standardize_rope_params(self):
    pass


def test_llama3_scaling_equals_transformers():
  pytest.importorskip('torch')
  rope_utils = pytest.importorskip('transformers.modeling_rope_utils')
  parameters = {
    'rope_type': 'llama3',
    'rope_theta': 5e5,
    'factor': 8.0,
    'low_freq_factor': 1.0,
    'high_freq_factor': 4.0,
    'original_max_position_embeddings': 8192,
  }
  want, scale = rope_utils.ROPE_INIT_FUNCTIONS['llama3'](
    _Llama(parameters), 'cpu'
  )
  assert scale == 1
  cos, _ = attention.rope(
    jnp.array([1]), head_width=32, theta=5e5, scaling=(8.0, 1.0, 4.0, 8192.0)
  )
  np.testing.assert_allclose(cos[0], np.cos(want.numpy()), rtol=1e-6)
