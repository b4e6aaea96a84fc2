import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha.grpo import loss as losses

CLIP = dict(clip_low=0.2, clip_high=0.3)
LIMIT = 9  # of a response, for the aggregation 'constant'


def random_batch(seed=0, B=5, N=7):
  rng = np.random.default_rng(seed)
  length_B = rng.integers(1, N + 1, B)
  old_logp_BN = -rng.exponential(size=(B, N))
  return dict(
    logp_BN=jnp.asarray(old_logp_BN + 0.3 * rng.normal(size=(B, N))),
    old_logp_BN=jnp.asarray(old_logp_BN),
    adv_BN=jnp.asarray(rng.normal(size=(B, N))),
    response_BN=jnp.asarray(np.arange(N) < length_B[:, None]),
    weight_B=jnp.ones(B),
  )


def test_two_tokens_by_hand():
  # Ratios 1.5 and 0.5; the first is clipped to 1.3, the second is not,
  # because with a positive advantage the smaller gain counts.
  loss, metrics = losses.policy_loss(
    jnp.log(jnp.array([[0.6, 0.1]])),
    jnp.log(jnp.array([[0.4, 0.2]])),
    jnp.full((1, 2), 2.0),
    jnp.array([[True, True]]),
    jnp.ones(1),
    aggregation='token',
    **CLIP,
  )
  np.testing.assert_allclose(loss, -2 * (1.3 + 0.5) / 2, rtol=1e-6)
  np.testing.assert_allclose(metrics['ratio/mean'], 1.0, rtol=1e-6)
  np.testing.assert_allclose(metrics['clip_frac'], 0.5)
  log_ratios = np.log([1.5, 0.5])
  k3 = np.array([1.5, 0.5]) - 1 - log_ratios
  np.testing.assert_allclose(metrics['kl/k1'], -log_ratios.mean(), rtol=1e-5)
  np.testing.assert_allclose(metrics['kl/k3'], k3.mean(), rtol=1e-5)


def test_negative_advantage_clips_below_and_dual_clip_above():
  # Ratios 0.5 (clipped to 0.8) and 5 (free, or 3 with the dual clip).
  args = (
    jnp.log(jnp.array([[0.1, 0.5]])),
    jnp.log(jnp.array([[0.2, 0.1]])),
    jnp.full((1, 2), -1.0),
    jnp.array([[True, True]]),
    jnp.ones(1),
  )
  free, _ = losses.policy_loss(*args, aggregation='token', **CLIP)
  dual, _ = losses.policy_loss(*args, aggregation='token', dual_clip=3, **CLIP)
  np.testing.assert_allclose(free, (0.8 + 5) / 2, rtol=1e-6)
  np.testing.assert_allclose(dual, (0.8 + 3) / 2, rtol=1e-6)


def test_aggregations_by_hand():
  # Rows of 1 and 3 tokens, each token worth its row's advantage.
  same = jnp.zeros((2, 3))
  response_BN = jnp.array([[1, 0, 0], [1, 1, 1]], bool)
  worth_BN = jnp.array([[4.0] * 3, [8.0] * 3])
  args = same, same, worth_BN, response_BN, jnp.ones(2)
  by_token, _ = losses.policy_loss(*args, aggregation='token', **CLIP)
  by_turn, _ = losses.policy_loss(*args, aggregation='turn', **CLIP)
  np.testing.assert_allclose(by_token, -(4 + 3 * 8) / 4)
  np.testing.assert_allclose(by_turn, -(4 + 8) / 2)
  logp_BN = jnp.array([[-1.0, 9, 9], [-2, -3, -4]])
  args = logp_BN, response_BN, jnp.ones(2)
  np.testing.assert_allclose(
    losses.sft_loss(*args, aggregation='token')[0], 10 / 4
  )
  np.testing.assert_allclose(
    losses.sft_loss(*args, aggregation='turn')[0], (1 + 3) / 2
  )


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_at_ratio_one_the_gradient_is_that_of_the_plain_policy(aggregation):
  batch = random_batch()
  logp_BN = batch.pop('logp_BN')
  batch['old_logp_BN'] = logp_BN
  grad_BN = jax.grad(
    lambda x_BN: losses.policy_loss(
      x_BN, aggregation=aggregation, limit=LIMIT, **batch, **CLIP
    )[0]
  )(logp_BN)
  response_BN = np.asarray(batch['response_BN'])
  share_BN = response_BN / response_BN.sum()
  if aggregation == 'turn':
    share_BN = response_BN / response_BN.sum(1, keepdims=True) / 5
  if aggregation == 'constant':
    share_BN = response_BN / (5 * LIMIT)
  want_BN = -batch['adv_BN'] * share_BN
  np.testing.assert_allclose(grad_BN, want_BN, rtol=1e-6)


def test_zero_advantage_gives_exactly_zero_gradient():
  batch = {**random_batch(), 'adv_BN': jnp.zeros((5, 7))}
  logp_BN = batch.pop('logp_BN')
  grad_BN = jax.grad(
    lambda x_BN: losses.policy_loss(x_BN, aggregation='token', **batch, **CLIP)[
      0
    ]
  )(logp_BN)
  np.testing.assert_array_equal(grad_BN, 0)


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_padding_changes_nothing(aggregation):
  batch = random_batch()
  plain = losses.policy_loss(
    **batch, **CLIP, aggregation=aggregation, limit=LIMIT
  )

  def garbage(x_BN, value):
    return jnp.pad(x_BN, ((0, 2), (0, 3)), constant_values=value)

  padded = dict(
    logp_BN=garbage(batch['logp_BN'], jnp.inf),
    old_logp_BN=garbage(batch['old_logp_BN'], -jnp.inf),
    adv_BN=garbage(batch['adv_BN'], 7),
    # A padding row may even claim to have a response.
    response_BN=jnp.pad(batch['response_BN'], ((0, 2), (0, 3))),
    weight_B=jnp.pad(batch['weight_B'], (0, 2)),
  )
  again = losses.policy_loss(
    **padded, **CLIP, aggregation=aggregation, limit=LIMIT
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain, again
  )


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_row_of_weight_zero_does_not_count(aggregation):
  batch = random_batch()
  batch['weight_B'] = jnp.array([1.0, 1, 0, 1, 0])
  kept = {k: v[jnp.array([0, 1, 3])] for k, v in batch.items()}
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
    losses.policy_loss(**batch, **CLIP, aggregation=aggregation, limit=LIMIT),
    losses.policy_loss(**kept, **CLIP, aggregation=aggregation, limit=LIMIT),
  )


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_batch_without_a_token_is_finite(aggregation):
  batch = random_batch()
  batch['response_BN'] = jnp.zeros_like(batch['response_BN'])
  logp_BN = batch.pop('logp_BN')

  def run(x_BN):
    policy, metrics = losses.policy_loss(
      x_BN, **batch, **CLIP, aggregation=aggregation, limit=LIMIT
    )
    sft, more = losses.sft_loss(
      x_BN,
      batch['response_BN'],
      batch['weight_B'],
      aggregation=aggregation,
      limit=LIMIT,
    )
    return policy + sft, {**metrics, **more}

  out = jax.value_and_grad(run, has_aux=True)(logp_BN)
  for leaf in jax.tree.leaves(out):
    np.testing.assert_array_equal(leaf, 0)


def test_extreme_ratio_stays_finite():
  batch = random_batch()
  batch['logp_BN'] = batch['old_logp_BN'] + 1e4
  out = losses.policy_loss(**batch, **CLIP, aggregation='token')
  assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(out))


@pytest.mark.parametrize('aggregation', losses.AGGREGATIONS)
def test_parts_add_up_to_the_batch(aggregation):
  batch = random_batch(B=6)
  total = losses.totals(batch['response_BN'], batch['weight_B'])
  args = dict(aggregation=aggregation, limit=LIMIT, **CLIP)
  whole = losses.policy_loss(**batch, **args)
  parts = [
    losses.policy_loss(
      **{k: v[i : i + 2] for k, v in batch.items()}, **args, total=total
    )
    for i in (0, 2, 4)
  ]
  jax.tree.map(
    lambda want, *got: np.testing.assert_allclose(sum(got), want, rtol=1e-5),
    whole,
    *parts,
  )


def test_unknown_aggregation_is_an_error():
  with pytest.raises(ValueError, match='no aggregation is called .mean.'):
    losses.policy_loss(**random_batch(), **CLIP, aggregation='mean')


def trl(batch, *, level, loss_type, kl, delta, reference_logp_BN=None):
  """The GRPO loss as TRL's documentation and GRPOTrainer put it.

  Written down in plain loops and float64 from TRL's formulas
  (importance_sampling_level, loss_type 'grpo', 'dapo' and 'dr_grpo', and
  `delta`, the bound of two-sided clipping, which is our dual clip): an
  implementation that shares no line with ours.
  """
  b = {name: np.asarray(value, np.float64) for name, value in batch.items()}
  per_turn, tokens = [], 0
  for i in range(len(b['logp_BN'])):
    n = int(b['response_BN'][i].sum())
    tokens += n
    log_ratios = b['logp_BN'][i, :n] - b['old_logp_BN'][i, :n]
    if level == 'sequence':
      log_ratios = np.full(n, log_ratios.sum() / n)
    turn = []
    for t in range(n):
      advantage = b['adv_BN'][i, t]
      coefficient = np.exp(log_ratios[t])
      clipped = min(max(coefficient, 1 - 0.2), 1 + 0.3)
      if delta is not None:
        coefficient = min(coefficient, delta)
      loss = -min(coefficient * advantage, clipped * advantage)
      if kl:
        apart = reference_logp_BN[i, t] - b['logp_BN'][i, t]
        loss += kl * (np.exp(apart) - apart - 1)
      turn.append(loss)
    per_turn.append(turn)
  if loss_type == 'grpo':
    return np.mean([np.mean(turn) for turn in per_turn])
  total = sum(sum(turn) for turn in per_turn)
  count = {'dapo': tokens, 'dr_grpo': len(per_turn) * LIMIT}[loss_type]
  return total / count


@pytest.mark.parametrize('delta', [None, 1.4])
@pytest.mark.parametrize('kl', [0.0, 0.04])
@pytest.mark.parametrize('ratio', losses.RATIOS)
@pytest.mark.parametrize(
  'aggregation, loss_type',
  [('turn', 'grpo'), ('token', 'dapo'), ('constant', 'dr_grpo')],
)
def test_equal_to_an_independent_implementation(
  aggregation, loss_type, ratio, kl, delta
):
  for seed in range(5):
    batch = random_batch(seed)
    rng = np.random.default_rng(seed + 100)
    reference_BN = np.asarray(batch['logp_BN']) + 0.5 * rng.normal(size=(5, 7))
    # The same number that ours sees, which is float32.
    reference_BN = reference_BN.astype(np.float32)
    want = trl(
      batch,
      level=ratio,
      loss_type=loss_type,
      kl=kl,
      delta=delta,
      reference_logp_BN=reference_BN.astype(np.float64),
    )
    found, _ = losses.policy_loss(
      **batch,
      **CLIP,
      aggregation=aggregation,
      limit=LIMIT,
      ratio=ratio,
      kl=kl,
      dual_clip=delta,
      reference_logp_BN=reference_BN,
    )
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-6)


def test_sequence_ratio_by_hand():
  # One turn with token ratios 2 and 1/2: the ratio of the sequence is 1, so
  # nothing is clipped, and each token has its own advantage's gradient.
  old_BN = jnp.log(jnp.array([[0.2, 0.4]]))
  new_BN = jnp.log(jnp.array([[0.4, 0.2]]))
  adv_BN = jnp.array([[3.0, -1.0]])

  def loss(x_BN):
    return losses.policy_loss(
      x_BN,
      old_BN,
      adv_BN,
      jnp.ones((1, 2), bool),
      jnp.ones(1),
      ratio='sequence',
      aggregation='turn',
      **CLIP,
    )

  (value, metrics), grad_BN = jax.value_and_grad(loss, has_aux=True)(new_BN)
  np.testing.assert_allclose(value, -(3 - 1) / 2, rtol=1e-6)
  np.testing.assert_allclose(grad_BN, [[-1.5, 0.5]], rtol=1e-6)
  np.testing.assert_array_equal(metrics['clip_frac'], 0)


def test_reference_penalty_by_hand():
  # Probabilities 0.5 now and 0.25 in the reference: k3 = 1/2 - ln(1/2) - 1.
  batch = dict(
    logp_BN=jnp.log(jnp.array([[0.5]])),
    old_logp_BN=jnp.log(jnp.array([[0.5]])),
    adv_BN=jnp.ones((1, 1)),
    response_BN=jnp.ones((1, 1), bool),
    weight_B=jnp.ones(1),
    aggregation='token',
    **CLIP,
  )
  reference_BN = jnp.log(jnp.array([[0.25]]))
  loss, metrics = losses.policy_loss(
    **batch, kl=0.1, reference_logp_BN=reference_BN
  )
  k3 = 0.5 + np.log(2) - 1
  np.testing.assert_allclose(metrics['kl/reference'], k3, rtol=1e-5)
  np.testing.assert_allclose(loss, -1 + 0.1 * k3, rtol=1e-6)
  _, metrics = losses.policy_loss(**batch)
  assert 'kl/reference' not in metrics


def test_constant_aggregation_ignores_the_length_of_turns():
  # A token of a short turn weighs as much as one of a long turn, and a batch
  # of longer turns has a larger loss (Dr. GRPO), unlike the mean over tokens.
  adv_BN = jnp.ones((2, 3))
  same_BN = jnp.zeros((2, 3))
  response_BN = jnp.array([[1, 0, 0], [1, 1, 1]], bool)
  args = same_BN, same_BN, adv_BN, response_BN, jnp.ones(2)
  found, _ = losses.policy_loss(*args, aggregation='constant', limit=4, **CLIP)
  np.testing.assert_allclose(found, -4 / (2 * 4))
  with pytest.raises(ValueError, match='needs the length limit'):
    losses.policy_loss(*args, aggregation='constant', **CLIP)


def test_unknown_ratio_is_an_error():
  with pytest.raises(ValueError, match='no ratio is called .word.'):
    losses.policy_loss(
      **random_batch(), **CLIP, aggregation='token', ratio='word'
    )
