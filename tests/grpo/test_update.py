import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha import mesh as mesh_lib
from mem_alpha import optimizer
from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import presets
from mem_alpha.rollout import batch

CFG = presets.get('tiny', vocab_size=24, width=16, head_width=8, ff=16)
SHAPE = dict(prompt_tokens=5, response_tokens=6, pad=0)
TX = optimizer.make(lr=1e-2, warmup=0, total=10, clip_norm=1.0)
# Three columns of logits at a time, in a response of six, at a temperature.
POLICY = update.UpdateSpec(chunk=3, temperature=0.7)
SFT = dataclasses.replace(POLICY, kind='sft')
PARTS = dataclasses.replace(POLICY, micro_batches=4, remat=True)


def make_params():
  params = decoder.init(CFG, jax.random.key(0))
  return {**params, 'smear': jnp.full(16, 0.5, jnp.float32)}


def make_turns(rows=8, count=7, seed=0, **shape):
  rng = np.random.default_rng(seed)

  def text(most):
    return rng.integers(1, 24, rng.integers(1, most + 1)).tolist()

  responses = [text(6) for _ in range(count)]
  return batch.pack(
    [text(5) for _ in range(count)],
    responses,
    logps=[rng.uniform(-4, -2, len(r)).tolist() for r in responses],
    advantages=rng.normal(size=count),
    rows=rows,
    **{**SHAPE, **shape},
  )


@functools.partial(jax.jit, static_argnames='spec')
def gradients(params, turns, spec):
  return update.gradients(params, turns, cfg=CFG, spec=spec)


@jax.jit
def score(params, turns):
  return update.score(params, turns, cfg=CFG, spec=POLICY)


def assert_close(a, b, **tolerance):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def test_scores_are_those_of_the_unpadded_text():
  params, turns = make_params(), make_turns()
  logp_BN, entropy_BN = score(params, turns)

  @jax.jit
  def all_scores(text_1T):
    x_1TD = decoder.forward(CFG, params, text_1T, jnp.ones_like(text_1T))
    return decoder.logits(CFG, params, x_1TD)[0]

  prompt = turns.prompt_BP[3][turns.prompt_valid_BP[3]]
  response_N = turns.response_BN[3][turns.response_valid_BN[3]]
  scores_TV = all_scores(np.concatenate([prompt, response_N])[None])
  scores_NV = np.asarray(scores_TV)[len(prompt) - 1 : -1] / 0.7
  logp_NV = np.asarray(jax.nn.log_softmax(scores_NV))
  N = len(response_N)
  want_N = logp_NV[np.arange(N), response_N]
  np.testing.assert_allclose(logp_BN[3, :N], want_N, atol=1e-5)
  want_N = -(np.exp(logp_NV) * logp_NV).sum(1)
  np.testing.assert_allclose(entropy_BN[3, :N], want_N, atol=1e-5)


def test_gradients_are_those_of_the_weighed_log_probs():
  params, turns = make_params(), make_turns()
  logp_BN, _ = score(params, turns)
  turns = dataclasses.replace(turns, logp_BN=np.asarray(logp_BN))

  @jax.jit
  @jax.grad
  def want(params, worth_B):
    logp_BN, _ = update.score(params, turns, cfg=CFG, spec=POLICY)
    real_BN = turns.response_valid_BN
    return -(worth_B[:, None] * logp_BN * real_BN).sum() / real_BN.sum()

  policy, metrics = gradients(params, turns, POLICY)
  assert_close(policy, want(params, turns.advantage_B), atol=1e-6)
  np.testing.assert_allclose(metrics['ratio/mean'], 1, rtol=1e-6)
  for name in ('clip_frac', 'kl/k1', 'kl/k3', 'gap/mean', 'gap/max'):
    np.testing.assert_allclose(metrics[name], 0, atol=1e-6)
  sft, metrics = gradients(params, turns, SFT)
  assert_close(sft, want(params, turns.weight_B), atol=1e-6)
  assert metrics['nll'] == metrics['loss'] > 0


def test_metrics_say_how_far_sampler_and_trainer_are_apart():
  params, turns = make_params(), make_turns()
  logp_BN, entropy_BN = jax.device_get(score(params, turns))
  valid_BN = turns.response_valid_BN
  _, metrics = gradients(params, turns, POLICY)
  gap = np.abs(logp_BN - turns.logp_BN)[valid_BN]
  np.testing.assert_allclose(metrics['gap/mean'], gap.mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics['gap/max'], gap.max(), rtol=1e-5)
  np.testing.assert_allclose(
    metrics['entropy'], entropy_BN[valid_BN].mean(), rtol=1e-5
  )


def test_zero_advantages_give_exactly_zero_gradients():
  turns = dataclasses.replace(make_turns(), advantage_B=np.zeros(8, np.float32))
  grads, _ = gradients(make_params(), turns, POLICY)
  assert_close(grads, jax.tree.map(jnp.zeros_like, grads), atol=0)


def test_micro_batches_and_remat_change_nothing():
  params, turns = make_params(), make_turns()
  whole = gradients(params, turns, POLICY)
  assert_close(gradients(params, turns, PARTS), whole, rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing():
  params = make_params()
  wide = make_turns(rows=10, prompt_tokens=8, response_tokens=9)
  assert_close(
    gradients(params, wide, POLICY),
    gradients(params, make_turns(), POLICY),
    rtol=1e-5,
    atol=1e-6,
  )


def test_empty_batch_is_finite_and_moves_nothing():
  turns = batch.pack([], [], rows=8, **SHAPE)
  out = gradients(make_params(), turns, POLICY)
  assert_close(out, jax.tree.map(jnp.zeros_like, out), atol=0)


def test_steps_raise_what_did_well_donate_and_compile_once():
  params, turns = make_params(), make_turns()
  before_BN, _ = score(params, turns)
  turns = dataclasses.replace(turns, logp_BN=np.asarray(before_BN))
  opt_state = TX.init(params)
  update.step.clear_cache()
  for _ in range(4):
    old = params
    params, opt_state, metrics = update.step(
      params, opt_state, turns, cfg=CFG, spec=POLICY, tx=TX
    )
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
  assert update.step._cache_size() == 1
  after_BN, _ = score(params, turns)
  change_BN = (after_BN - before_BN) * turns.advantage_B[:, None]
  assert (change_BN * turns.response_valid_BN).sum() > 0.1
  assert metrics['grad_norm'] > 0 and metrics['loss'] < 0
  assert all(np.shape(value) == () for value in metrics.values())


def test_a_mesh_gives_the_same_gradients():
  turns = make_turns()
  alone, metrics = gradients(make_params(), turns, PARTS)
  mesh = jax.make_mesh((2, 2), mesh_lib.AXES, devices=jax.devices()[:4])
  with jax.set_mesh(mesh):
    params = make_params()
    placed = mesh_lib.put_batch(turns)
    spread, more = gradients(params, placed, PARTS)
    for leaf, grad in zip(jax.tree.leaves(params), jax.tree.leaves(spread)):
      assert leaf.sharding == grad.sharding
  assert_close(jax.device_get(spread), jax.device_get(alone), atol=1e-5)
  assert_close(
    jax.device_get(more), jax.device_get(metrics), rtol=1e-4, atol=1e-6
  )


def test_bad_settings_are_errors():
  for change, message in (
    (dict(kind='ppo'), 'no loss is called'),
    (dict(aggregation='mean'), 'no aggregation is called'),
    (dict(temperature=0.0), 'greedy samples cannot be trained on'),
    (dict(micro_batches=0), 'micro_batches must be at least 1'),
  ):
    with pytest.raises(ValueError, match=message):
      dataclasses.replace(POLICY, **change)
  spec = dataclasses.replace(POLICY, micro_batches=3)
  with pytest.raises(ValueError, match='8 rows cannot be split into 3'):
    update.gradients(make_params(), make_turns(), cfg=CFG, spec=spec)
