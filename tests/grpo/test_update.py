import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mem_alpha import mesh as mesh_lib
from mem_alpha import optimizer
from mem_alpha.grpo import loss as losses
from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import lora
from mem_alpha.models import presets
from mem_alpha.rollout import batch

CFG = presets.get('tiny', vocab_size=24, width=16, head_width=8, ff=16)
# All turns in one micro-batch, and a few at a time.
WHOLE = batch.Shape(rows=4, length=24, targets=12, turns=8, response=6)
SMALL = dataclasses.replace(WHOLE, rows=2, length=12, targets=6, turns=2)
TX = optimizer.make(lr=1e-2, warmup=0, total=10, clip_norm=1.0)
# Five columns of logits at a time, at a temperature.
POLICY = update.UpdateSpec(chunk=5, temperature=0.7)
SFT = dataclasses.replace(POLICY, kind='sft')


@functools.cache
def make_params():
  return decoder.init(CFG, jax.random.key(0))


@functools.cache
def texts():
  """Seven prompts, responses, log-probs and advantages."""
  rng = np.random.default_rng(0)

  def draw(most):
    return rng.integers(1, 24, rng.integers(1, most + 1)).tolist()

  prompts, responses = [draw(5) for _ in range(7)], [draw(6) for _ in range(7)]
  logps = [rng.uniform(-4, -2, len(r)).tolist() for r in responses]
  return prompts, responses, logps, [rng.normal(size=len(r)) for r in responses]


def make_parts(shape=WHOLE, logps=None, advantages=None):
  prompts, responses, old, worth = texts()
  return batch.pack(
    prompts,
    responses,
    logps=old if logps is None else logps,
    advantages=worth if advantages is None else advantages,
    shape=shape,
    pad=0,
  )


def totals(parts):
  return losses.Totals(
    np.float32(sum(part.response_valid_BN.sum() for part in parts)),
    np.float32(sum(part.response_valid_BN.any(1).sum() for part in parts)),
  )


@functools.partial(jax.jit, static_argnames='spec')
def one(params, part, total, spec):
  return update.gradients(params, part, total, {}, cfg=CFG, spec=spec)


def gradients(parts, spec=POLICY):
  """Summed over micro-batches, with the maximum of maxima."""
  total = totals(parts)
  found = [one(make_params(), part, total, spec) for part in parts]
  grads = jax.tree.map(lambda *x: sum(x), *[g for g, _ in found])
  metrics = {
    name: (max if name.endswith('/max') else sum)(m[name] for _, m in found)
    for name in found[0][1]
  }
  return grads, metrics


@jax.jit
def score(params, part):
  return update.score(params, part, cfg=CFG, spec=POLICY)


def assert_close(a, b, **tolerance):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def own_logps():
  """What the trainer itself gives to each response token."""
  (part,) = make_parts()
  logp_BN = np.asarray(score(make_params(), part)[0])
  by_row = [logp_BN[b, : part.response_valid_BN[b].sum()] for b in range(7)]
  # `plan` fills rows out of order: match turns by their tokens.
  places = [part.place_BN[b][part.response_valid_BN[b]] for b in range(7)]
  said = [tuple(part.target_RM.reshape(-1)[place]) for place in places]
  return [by_row[said.index(tuple(r))].tolist() for r in texts()[1]]


def test_scores_are_those_of_each_text_alone():
  prompts, responses, *_ = texts()
  assert len(set(map(tuple, responses))) == 7

  def alone(prompt, response):
    text = np.array([prompt + response])
    x_1TD = decoder.forward(CFG, make_params(), text, np.ones_like(text))
    logits_TV = decoder.logits(CFG, make_params(), x_1TD)[0]
    logp_TV = jax.nn.log_softmax(logits_TV[len(prompt) - 1 : -1] / 0.7)
    return np.asarray(logp_TV)[np.arange(len(response)), response]

  for prompt, response, found in zip(prompts, responses, own_logps()):
    np.testing.assert_allclose(found, alone(prompt, response), atol=1e-5)


def test_gradient_of_a_fresh_batch_is_the_policy_gradient():
  parts = make_parts(logps=own_logps())

  @jax.jit
  @jax.grad
  def want(params):
    logp_BN, _ = update.score(params, parts[0], cfg=CFG, spec=POLICY)
    real_BN = parts[0].response_valid_BN
    worth_BN = parts[0].advantage_BN * real_BN
    return -(worth_BN * logp_BN).sum() / real_BN.sum()

  policy, metrics = gradients(parts)
  assert_close(policy, want(make_params()), atol=1e-6)
  np.testing.assert_allclose(metrics['ratio/mean'], 1, rtol=1e-6)
  for name in ('clip_frac', 'kl/k1', 'kl/k3', 'gap/mean', 'gap/max'):
    np.testing.assert_allclose(metrics[name], 0, atol=1e-6)


def test_metrics_say_how_far_sampler_and_trainer_are_apart():
  old, new = np.concatenate(texts()[2]), np.concatenate(own_logps())
  _, metrics = gradients(make_parts())
  gap = np.abs(new - old)
  np.testing.assert_allclose(metrics['gap/mean'], gap.mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics['gap/max'], gap.max(), rtol=1e-5)


def test_zero_advantages_give_exactly_zero_gradients():
  grads, _ = gradients(
    make_parts(advantages=[np.zeros(len(r)) for r in texts()[1]])
  )
  assert_close(grads, jax.tree.map(jnp.zeros_like, grads), atol=0)


@pytest.mark.parametrize('spec', [POLICY, SFT], ids=['policy', 'sft'])
@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_micro_batches_packing_and_remat_change_nothing(spec, aggregation):
  spec = dataclasses.replace(spec, aggregation=aggregation, limit=6)
  parts = make_parts(SMALL)
  assert len(parts) > 2
  grads, metrics = gradients(parts, dataclasses.replace(spec, remat='full'))
  whole, figures = gradients(make_parts(), spec)
  # Single entries are off by more than 1e-6 where the gradient is steep.
  error = optax.tree.norm(optax.tree.sub(grads, whole))
  assert error < 1e-6 * optax.tree.norm(whole)
  assert_close(metrics, figures, rtol=1e-5, atol=1e-6)


def test_steps_raise_what_did_well_donate_and_compile_once():
  params = jax.tree.map(jnp.copy, make_params())
  opt_state = TX.init(params)
  parts = make_parts(SMALL, logps=own_logps())
  update._add.clear_cache()
  norms = []
  for _ in range(4):
    old = params
    params, opt_state, metrics = update.step(
      params, opt_state, parts, cfg=CFG, spec=POLICY, tx=TX
    )
    norms.append(float(metrics['grad_norm']))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(old))
  assert update._add._cache_size() == 1
  (part,) = make_parts()
  change_BN = score(params, part)[0] - score(make_params(), part)[0]
  real_BN = part.response_valid_BN
  assert (change_BN * part.advantage_BN * real_BN).sum() > 0.1
  assert norms[0] > 0  # later, every token may have reached its clip
  assert all(np.shape(value) == () for value in metrics.values())


def test_a_mesh_gives_the_same_gradients():
  (part,) = make_parts()
  total = totals([part])
  alone = one(make_params(), part, total, POLICY)
  mesh = jax.make_mesh((2, 2), mesh_lib.AXES, devices=jax.devices()[:4])
  with jax.set_mesh(mesh):
    params = decoder.init(CFG, jax.random.key(0))
    spread = one(params, mesh_lib.put_batch(part), total, POLICY)
  assert_close(
    jax.device_get(spread), jax.device_get(alone), rtol=1e-4, atol=1e-5
  )


def test_bad_settings_are_errors():
  for change, message in (
    (dict(kind='ppo'), 'no loss is called'),
    (dict(aggregation='mean'), 'no aggregation is called'),
    (dict(temperature=0.0), 'greedy samples cannot be trained on'),
  ):
    with pytest.raises(ValueError, match=message):
      dataclasses.replace(POLICY, **change)
  with pytest.raises(ValueError, match='at least one turn'):
    update.step({}, {}, [], cfg=CFG, spec=POLICY, tx=TX)


@pytest.mark.parametrize('bad', ['advantage', 'logp'])
def test_a_number_that_is_none_changes_nothing(bad):
  params = jax.tree.map(jnp.copy, make_params())
  opt_state = TX.init(params)
  before = jax.device_get((params, opt_state))
  (part,) = make_parts()
  name = f'{bad}_BN'
  planted_BN = getattr(part, name).copy()
  planted_BN[0, 0] = np.nan
  part = dataclasses.replace(part, **{name: planted_BN})
  params, opt_state, metrics = update.step(
    params, opt_state, [part], cfg=CFG, spec=POLICY, tx=TX
  )
  assert metrics['finite'] == 0
  jax.tree.map(np.testing.assert_array_equal, (params, opt_state), before)
  (part,) = make_parts()
  *_, metrics = update.step(
    params, opt_state, [part], cfg=CFG, spec=POLICY, tx=TX
  )
  assert metrics['finite'] == 1


def test_the_penalty_pulls_back_to_the_reference():
  away = jax.tree.map(lambda x: x * 1.1, make_params())
  parts = make_parts(advantages=[np.zeros(len(r)) for r in texts()[1]])
  spec = dataclasses.replace(POLICY, kl=0.5)
  tx = optimizer.make(lr=1e-3, warmup=0, total=10, clip_norm=1.0)
  params, opt_state = away, tx.init(away)
  found = []
  for _ in range(4):
    params, opt_state, metrics = update.step(
      params,
      opt_state,
      parts,
      cfg=CFG,
      spec=spec,
      tx=tx,
      frozen={'reference': make_params()},
    )
    found.append(float(metrics['kl/reference']))
  assert found[0] > 0
  assert found[-1] < found[0]


def test_adapters_learn_and_the_base_does_not():
  base = make_params()
  before = jax.device_get(base)
  adapters = lora.init(base, jax.random.key(1), rank=2, scale=2.0)
  params, opt_state = adapters, TX.init(adapters)
  losses_seen = []
  for _ in range(4):
    params, opt_state, metrics = update.step(
      params,
      opt_state,
      make_parts(),
      cfg=CFG,
      spec=SFT,
      tx=TX,
      frozen={'base': base},
    )
    losses_seen.append(float(metrics['loss']))
  assert losses_seen[-1] < losses_seen[0]
  jax.tree.map(np.testing.assert_array_equal, base, before)


def test_programs_can_be_traced_from_shapes_alone():
  shapes = jax.tree.map(mesh_lib.placed, make_params())
  opt = jax.tree.map(mesh_lib.placed, jax.eval_shape(TX.init, shapes))
  (part,) = make_parts()
  part = jax.tree.map(mesh_lib.placed, jax.tree.map(jnp.asarray, part))
  found = update.traced(shapes, opt, part, cfg=CFG, spec=POLICY, tx=TX)
  assert set(found) == {'zeros', 'update', 'optimizer'}
