"""The arithmetic against NumPy."""

import jax.numpy as jnp
import numpy as np

from mem_alpha.models import layers


def test_rms_norm():
  x = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
  want = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * 2
  np.testing.assert_allclose(layers.rms_norm(x, 2.0, 1e-6), want, rtol=1e-5)


def test_project_and_contract_are_einsums():
  rng = np.random.default_rng(0)
  x, w = rng.normal(size=(2, 3, 4)), rng.normal(size=(4, 2, 5))
  y = np.einsum('BTD,DKH->BTKH', x, w)
  np.testing.assert_allclose(
    layers.project(jnp.asarray(x), jnp.asarray(w)), y, rtol=1e-4
  )
  back = layers.contract(jnp.asarray(y), jnp.asarray(w.transpose(1, 2, 0)))
  np.testing.assert_allclose(back, np.einsum('BTKH,DKH->BTD', y, w), rtol=1e-4)


def test_mix_past_is_a_sum_over_earlier_tokens_of_the_segment():
  h = np.arange(1.0, 6.0)[None, :, None]  # 1 2 3 4 5
  taps = np.array([[10.0], [100.0]])
  position = np.array([[0, 1, 2, 0, 1]])
  mixed, joined = layers.mix_past(jnp.asarray(h), jnp.asarray(taps), position)
  np.testing.assert_allclose(mixed[0, :, 0], [1, 12, 123, 4, 45])
  np.testing.assert_allclose(joined[0, :, 0], [0, 0, 1, 2, 3, 4, 5])
  # One more token of the last segment, from the past alone.
  mixed, joined = layers.mix_past(
    jnp.full((1, 1, 1), 6.0),
    jnp.asarray(taps),
    np.array([[2]]),
    joined[:, -2:],
  )
  np.testing.assert_allclose(mixed[0, :, 0], [6 + 50 + 400])
  np.testing.assert_allclose(joined[0, :, 0], [4, 5, 6])
