"""Drawn tokens follow the distribution, and log-probs are the model's."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha.rollout import draws as draws_lib

SAMPLING = draws_lib.Sampling(
  temperature=0.7, max_new_tokens=8, end_of_turn=1, pad=0
)

_draw = jax.jit(draws_lib.draw, static_argnames='sampling')
COUNT = 20_000


def draws(weight_V, **changes):
  """How often each token is drawn, of COUNT times, from log(weight_V)."""
  sampling = dataclasses.replace(SAMPLING, **changes)
  with np.errstate(divide='ignore'):
    score_V = np.log(np.float32(weight_V))
  scores_BV = np.broadcast_to(score_V, (COUNT, len(score_V)))
  keys_B = jax.random.split(jax.random.key(3), COUNT)
  token_B, logp_B = _draw(scores_BV, keys_B, sampling=sampling)
  logp_V = jax.nn.log_softmax(score_V / sampling.temperature)
  np.testing.assert_allclose(logp_B, logp_V[token_B], atol=1e-5)
  return np.bincount(token_B, minlength=len(score_V))


@pytest.mark.parametrize('vocab', [97, 1024])
def test_draws_follow_the_distribution(vocab):
  rng = np.random.default_rng(vocab)
  weight_V = rng.exponential(size=vocab)
  weight_V[rng.random(vocab) < 0.3] = 0  # never to be drawn
  weight_V[0] = vocab / 4  # one likely token among many
  seen_V = draws(weight_V)
  assert (seen_V[weight_V == 0] == 0).all()
  share_V = weight_V ** (1 / SAMPLING.temperature)
  expected_V = COUNT * share_V / share_V.sum()
  big_V = expected_V > 5
  seen = np.append(seen_V[big_V], seen_V[~big_V].sum())
  expected = np.append(expected_V[big_V], expected_V[~big_V].sum())
  chi_square = ((seen - expected) ** 2 / expected).sum()
  freedom = big_V.sum()
  # Mean `freedom`, variance 2 * `freedom`: four deviations.
  assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)


def test_single_possible_token_is_always_drawn():
  for place in (0, 50, 96):
    weight_V = np.zeros(97)
    weight_V[place] = 1e-30
    assert draws(weight_V)[place] == COUNT


def test_extreme_uniforms_never_draw_an_impossible_token():
  rng = np.random.default_rng(0)
  weight_BK = rng.exponential(size=(200, 37)).astype(np.float32)
  weight_BK[rng.random((200, 37)) < 0.6] = 0
  weight_BK[:, 20] = 1e-12
  for uniform in (0.0, 1e-9, 0.5, 1 - 2**-24, 1.0):
    index_B = draws_lib._pick(jnp.asarray(weight_BK), jnp.full(200, uniform))
    assert (weight_BK[np.arange(200), index_B] > 0).all()


def test_top_k_and_top_p_cut_where_they_should():
  weight_V = jnp.array([1.0, 30, 4, 20, 15, 30]) / 30  # largest is 1

  @functools.partial(jax.jit, static_argnames=('top_k', 'top_p'))
  def truncate(**changes):
    sampling = dataclasses.replace(SAMPLING, **changes)
    return draws_lib._truncate(weight_V.reshape(1, 2, 3), sampling).ravel()

  def kept(**changes):
    left_V = np.asarray(truncate(**changes))
    np.testing.assert_array_equal(left_V[left_V > 0], weight_V[left_V > 0])
    return set(np.flatnonzero(left_V).tolist())

  assert kept(top_k=3) == {1, 3, 5}
  assert kept(top_k=1) == {1, 5}  # a tie is kept whole
  assert kept(top_k=9) == {0, 1, 2, 3, 4, 5}
  assert kept(top_p=0.59) == {1, 5}
  assert kept(top_p=0.61) == {1, 3, 5}
  assert kept(top_p=0.81) == {1, 3, 4, 5}
  assert kept(top_p=0.01) == {1, 5}
  assert kept(top_k=4, top_p=0.8) == {1, 3, 5}  # 80 of the 95 that are left


def test_truncated_draws_stay_inside_and_keep_the_whole_log_prob():
  # `draws` checks the log-probs: they are those of all six tokens.
  weight_V = [1, 30, 4, 20, 15, 30]
  seen_V = draws(weight_V, top_k=3, top_p=0.9, temperature=1.0)
  share_V = np.array([0, 3, 0, 2, 0, 3]) / 8
  np.testing.assert_allclose(seen_V / COUNT, share_V, atol=0.02)


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(temperature=-1.0), 'temperature must be positive'),
    (dict(max_new_tokens=0), 'max_new_tokens must be at least 1'),
    (dict(top_p=0.0), 'top_p'),
    (dict(top_k=-1), 'top_k'),
    (dict(stops=((3,), ())), 'stop sequence must hold at least one token'),
  ],
)
def test_bad_settings_are_errors(change, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SAMPLING, **change)
