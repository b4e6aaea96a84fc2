"""Attention against a plain NumPy reference, and rotary positions."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha.models import attention
from mem_alpha.models import decoder
from mem_alpha.models import kernels


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


@pytest.mark.parametrize('lengths', [(), (2,), (2, 1, 4)])
def test_attend_cached_reads_the_valid_columns(lengths):
  """Behind no prefix, one for all rows, or one each, which is not full."""
  rng = np.random.default_rng(0)
  B, S, K, G, H = 3, 6, 2, 3, 4
  q_BKGH = rng.normal(size=(B, K, G, H)).astype(np.float32)
  k_BSKH, v_BSKH = rng.normal(size=(2, B, S, K, H)).astype(np.float32)
  valid_BS = np.array(
    [[1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]]
  )
  shape = 2, len(lengths), max(lengths, default=0), K, H
  k_XPKH, v_XPKH = rng.normal(size=shape).astype(np.float32)
  prefix = k_XPKH.swapaxes(1, 2), v_XPKH.swapaxes(1, 2), np.array(lengths)
  got = attention.attend_cached(
    q_BKGH,
    k_BSKH.swapaxes(1, 2),
    v_BSKH.swapaxes(1, 2),
    valid_BS > 0,
    prefix if lengths else None,
  )
  for b in range(B):
    seen = np.flatnonzero(valid_BS[b])
    k_SKH, v_SKH = k_BSKH[b, seen], v_BSKH[b, seen]
    if lengths:
      x = b * len(lengths) // B
      k_SKH = np.concatenate([k_XPKH[x, : lengths[x]], k_SKH])
      v_SKH = np.concatenate([v_XPKH[x, : lengths[x]], v_SKH])
    score_SKG = np.einsum('KGH,SKH->SKG', q_BKGH[b], k_SKH)
    weight_SKG = np.exp(score_SKG / H**0.5)
    weight_SKG /= weight_SKG.sum(0)
    want = np.einsum('SKG,SKH->KGH', weight_SKG, v_SKH)
    np.testing.assert_allclose(got[b], want, atol=2e-5)


@pytest.mark.parametrize('name', ['einsum', 'heads', 'dot_product', 'splash'])
def test_every_kernel_equals_the_reference(name):
  """Behind prefixes, too, of which a row uses the columns of its segment."""
  kernel = {
    **kernels.KERNELS,
    'dot_product': functools.partial(kernels.dot_product, implementation='xla'),
  }[name]
  rng = np.random.default_rng(1)
  B, T, K, G, H = 2, 9, 2, 3, 4
  q_BTKGH = rng.normal(size=(B, T, K, G, H)).astype(np.float32)
  k_BTKH, v_BTKH = rng.normal(size=(2, B, T, K, H)).astype(np.float32)
  segment_BT = np.sort(rng.integers(0, 4, (B, T)), 1)
  weight = rng.normal(size=q_BTKGH.shape).astype(np.float32)

  def results(kernel):
    def loss(*args):
      out = kernel(*args, segment_BT, segment_BT)
      return (out * weight).sum(), out

    args = q_BTKGH, k_BTKH, v_BTKH
    return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))(*args)

  got, want = results(kernel), results(kernels.einsum)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, atol=5e-5), got, want
  )
  want = _reference(q_BTKGH, k_BTKH, v_BTKH, segment_BT)
  np.testing.assert_allclose(got[1], want, atol=2e-5)
  # One segment behind a prefix is the end of a longer row.
  one_BT = np.ones_like(segment_BT)
  prefix_BP = np.array([[1, 1, 1], [1, -1, -1]])
  segment_BS = np.concatenate([prefix_BP, one_BT[:, 3:]], axis=1)
  got = jax.jit(kernel)(
    q_BTKGH[:, 3:], k_BTKH, v_BTKH, one_BT[:, 3:], segment_BS
  )
  for b, gap in enumerate((0, 2)):  # columns that row b does not use
    used = [x[b : b + 1] for x in (q_BTKGH, k_BTKH, v_BTKH)]
    used = [np.delete(x, np.s_[1 : 1 + gap], axis=1) for x in used]
    want = _reference(*used, one_BT[b : b + 1, gap:])
    np.testing.assert_allclose(got[b], want[0, 3 - gap :], atol=2e-5)


def test_no_score_waits_for_the_backward_pass():
  """Products are kept, and yet it grows with the length, not its square."""
  kernel = jax.checkpoint(
    kernels.KERNELS['heads'], policy=decoder.REMAT['dots']
  )

  def kept(T):
    args = [jnp.zeros((1, T, 1, 2, 4)), *jnp.zeros((2, 1, T, 1, 4))]
    segment_BT = jnp.ones((1, T), int)
    _, back = jax.eval_shape(
      lambda *args: jax.vjp(
        lambda *args: kernel(*args, segment_BT, segment_BT), *args
      ),
      *args,
    )
    return sum(leaf.size for leaf in jax.tree.leaves(back))

  assert kept(1024) <= 2 * kept(512)


def test_each_platform_has_a_kernel():
  assert set(attention.BY_PLATFORM.values()) <= set(kernels.KERNELS)


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


def _plain_rotation(x_TH, position_T, theta, scaling):
  """Every pair turned as a complex number; Llama 3 by its three cases."""
  half = x_TH.shape[1] // 2
  frequency = [theta ** (-2 * i / x_TH.shape[1]) for i in range(half)]
  if scaling is not None:
    factor, low, high, original = scaling
    for i, speed in enumerate(frequency):
      wavelength = 2 * np.pi / speed
      if wavelength > original / low:
        frequency[i] = speed / factor
      elif wavelength >= original / high:
        blend = (original / wavelength - low) / (high - low)
        frequency[i] = (1 - blend) * speed / factor + blend * speed
  turn_TH = np.exp(1j * np.outer(position_T, frequency))
  out_TH = (x_TH[:, :half] + 1j * x_TH[:, half:]) * turn_TH
  return np.concatenate([out_TH.real, out_TH.imag], 1)


@pytest.mark.parametrize('scaling', [None, (8.0, 1.0, 4.0, 64.0)], ids=str)
def test_rotations_equal_plain_complex_numbers(scaling):
  rng = np.random.default_rng(0)
  x_TH = rng.normal(size=(5, 16)).astype(np.float32)
  position_T = np.array([0, 1, 2, 63, 500])
  rope = attention.rope(
    position_T[None], head_width=16, theta=1e3, scaling=scaling
  )
  want_TH = _plain_rotation(x_TH, position_T, 1e3, scaling)
  for axes in ((0, 2), (0, 2, 3)):  # of keys, of queries
    got = attention.rotate(jnp.expand_dims(x_TH, axes), *rope)
    np.testing.assert_allclose(np.squeeze(got, axes), want_TH, atol=2e-4)


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
  from transformers import modeling_rope_utils as rope_utils

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
