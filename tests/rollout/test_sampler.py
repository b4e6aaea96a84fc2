import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh as mesh_lib
from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import presets
from mem_alpha.rollout import batch
from mem_alpha.rollout import sampler

END, PAD, N, P = 1, 0, 8, 6
CFG = presets.get(
  'tiny', vocab_size=30, width=16, head_width=8, ff=16, tied=False
)
SAMPLING = sampler.Sampling(
  temperature=0.7, max_new_tokens=N, end_of_turn=END, pad=PAD
)
PROMPTS = [
  [3],
  [4, 5, 6],
  [7, 8, 9, 10, 11, 12],
  [],
  [13, 14],
  [4, 5, 6],
  [2],
  [9, 8],
]


@pytest.fixture(scope='module')
def params():
  params = decoder.init(CFG, jax.random.key(0))
  # Sharper than at birth.
  return {**params, 'head': params['head'] * 2}


def run(params, prompts=PROMPTS, seeds=None, **changes):
  prompt_BP, valid_BP = batch.left_pad(
    prompts, rows=len(prompts), width=P, pad=PAD
  )
  seeds = np.arange(len(prompts)) if seeds is None else seeds
  return sampler.sample(
    CFG,
    params,
    prompt_BP,
    valid_BP,
    np.asarray(seeds, np.uint32),
    sampling=dataclasses.replace(SAMPLING, **changes),
  )


def assert_same_row(a, i, b, j):
  for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
    np.testing.assert_array_equal(x[i], y[j])


def test_greedy_equals_repeated_full_forward(params):
  samples = run(params, temperature=0.0)

  @jax.jit
  def next_scores(tokens_1T, segment_1T, at):
    x_1TD = decoder.forward(CFG, params, tokens_1T, segment_1T)
    return decoder.logits(CFG, params, x_1TD[:, at])[0]

  for row, prompt in enumerate(PROMPTS):
    text, logps = list(prompt), []
    while prompt and len(logps) < N and (not logps or text[-1] != END):
      tokens_1T = np.zeros((1, P + N), np.int32)
      tokens_1T[0, : len(text)] = text
      segment_1T = (np.arange(P + N) < len(text))[None].astype(np.int32)
      scores_V = next_scores(tokens_1T, segment_1T, len(text) - 1)
      text.append(int(scores_V.argmax()))
      logps.append(jax.nn.log_softmax(scores_V)[text[-1]])
    length = len(logps)
    assert samples.length_B[row] == length
    tokens_N, logp_N = samples.tokens_BN[row], samples.logp_BN[row]
    assert tokens_N[:length].tolist() == text[len(prompt) :]
    np.testing.assert_allclose(logp_N[:length], logps, atol=1e-5)


def test_nothing_follows_the_end_of_a_turn(params):
  finished, lengths = [], []
  for seed in range(20):
    samples = jax.device_get(run(params, seeds=np.arange(8) + 8 * seed))
    for row, length in enumerate(samples.length_B):
      if not PROMPTS[row]:
        continue
      tokens_N, logp_N = samples.tokens_BN[row], samples.logp_BN[row]
      assert (tokens_N[: length - 1] != END).all()
      assert (tokens_N[length:] == PAD).all() and (logp_N[length:] == 0).all()
      assert (logp_N[:length] < 0).all()
      finished.append(bool(samples.finished_B[row]))
      assert finished[-1] == (tokens_N[length - 1] == END)
      assert finished[-1] or length == N
      lengths.append(int(length))
  assert 5 < sum(finished) < 135
  assert 1 in lengths  # end-of-turn as the first token


def test_row_without_a_prompt_says_nothing(params):
  samples = run(params)
  assert samples.length_B[3] == 0 and not samples.finished_B[3]
  np.testing.assert_array_equal(samples.tokens_BN[3], PAD)


def test_row_depends_on_its_prompt_and_key_alone(params):
  a = run(params, seeds=[5, 6, 7, 8, 9, 6, 3, 4])
  assert_same_row(a, 1, a, 5)  # same prompt, same key
  others = [[9], [], [3], PROMPTS[1], [], [2], [2], [2]]
  b = run(params, others, seeds=[1, 2, 5, 6, 3, 4, 4, 5])
  assert_same_row(a, 0, b, 2)
  assert_same_row(a, 1, b, 3)
  assert b.tokens_BN[6].tolist() != b.tokens_BN[7].tolist()


def test_integers_and_keys_are_the_same_seeds(params):
  keys_B = jax.vmap(jax.random.key)(np.arange(8, dtype=np.uint32))
  prompt_BP, valid_BP = batch.left_pad(PROMPTS, rows=8, width=P, pad=PAD)
  again = sampler.sample(
    CFG, params, prompt_BP, valid_BP, keys_B, sampling=SAMPLING
  )
  jax.tree.map(np.testing.assert_array_equal, run(params), again)


def test_recorded_log_probs_are_the_trainers(params):
  samples = jax.device_get(run(params))
  assert samples.length_B.sum() > 20
  shape = batch.Shape(rows=1, length=P + N, targets=N, turns=1, response=N)
  spec = update.UpdateSpec(temperature=SAMPLING.temperature, chunk=3)
  score = jax.jit(functools.partial(update.score, cfg=CFG, spec=spec))
  for row, length in enumerate(samples.length_B):
    if not PROMPTS[row]:
      continue
    response = samples.tokens_BN[row, :length].tolist()
    (part,) = batch.pack([PROMPTS[row]], [response], shape=shape, pad=PAD)
    logp_1N, _ = score(params, part)
    np.testing.assert_allclose(
      samples.logp_BN[row, :length], logp_1N[0, :length], atol=2e-5
    )


def test_one_compilation_per_shape(params):
  sampler.sample.clear_cache()
  for seed in range(3):
    run(params, seeds=np.arange(8) + seed)
  run(params, [[2]] * 8)
  assert sampler.sample._cache_size() == 1


def test_a_mesh_gives_the_same_responses(params):
  alone = run(params)
  mesh = jax.make_mesh((4, 2), mesh_lib.AXES)
  with jax.set_mesh(mesh):
    spread = decoder.init(CFG, jax.random.key(0))
    spread = jax.tree.map(
      lambda x, s: jax.device_put(x, s.sharding), params, spread
    )
    keys_B = jax.vmap(jax.random.key)(np.arange(8, dtype=np.uint32))
    prompt_BP, valid_BP = batch.left_pad(PROMPTS, rows=8, width=P, pad=PAD)
    args = mesh_lib.put_batch((prompt_BP, valid_BP, keys_B))
    together = sampler.sample(CFG, spread, *args, sampling=SAMPLING)
  np.testing.assert_array_equal(alone.tokens_BN, together.tokens_BN)
  np.testing.assert_allclose(alone.logp_BN, together.logp_BN, atol=1e-5)


_draw = jax.jit(sampler.draw, static_argnames='sampling')
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
    index_B = sampler._pick(jnp.asarray(weight_BK), jnp.full(200, uniform))
    assert (weight_BK[np.arange(200), index_B] > 0).all()


def test_top_k_and_top_p_cut_where_they_should():
  weight_V = jnp.array([1.0, 30, 4, 20, 15, 30]) / 30  # largest is 1

  @functools.partial(jax.jit, static_argnames=('top_k', 'top_p'))
  def truncate(**changes):
    sampling = dataclasses.replace(SAMPLING, **changes)
    return sampler._truncate(weight_V.reshape(1, 2, 3), sampling).ravel()

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
  ],
)
def test_bad_settings_are_errors(change, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SAMPLING, **change)
