"""One optimiser step on packed turns: GRPO and supervised alike.

1. The model reads the packed rows. The hidden state at the token before each
   response token predicts it; only those reach the vocabulary.
2. Log-probabilities are taken at the sampler's temperature.
3. Micro-batches are worked through one after the other; every figure is
   divided by the counts of all of them, so gradients simply add up. The loop
   is the host's: how many a step fills varies, and `lax.scan` would compile
   for each number of them, or compute empty ones.
4. One optax update. If the loss or the gradient is not finite, parameters and
   optimiser stay as they were, and the metric `finite` is 0.

What does not learn is passed as `frozen`: the `base` that adapters are added to
(models/lora.py; `params` are the adapters then), and the `reference` that the
KL penalty is measured from.

Under the supervised loss the sampler's log-probs and the advantages of a
`rollout.batch.Packed` are not read. What is updated is donated.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mem_alpha import mesh
from mem_alpha.grpo import loss as losses
from mem_alpha.models import decoder
from mem_alpha.models import lora

KINDS = ('policy', 'sft')


@dataclasses.dataclass(frozen=True)
class UpdateSpec:
  """What an update does; hashable, so it can be a static argument."""

  kind: str = 'policy'
  temperature: float = 1.0  # the sampler's
  clip_low: float = 0.2
  clip_high: float = 0.2
  dual_clip: float | None = None
  ratio: str = 'token'
  aggregation: str = 'token'
  limit: int | None = None  # of a response, for the aggregation 'constant'
  kl: float = 0.0  # weight of the penalty for leaving the reference
  remat: str = 'none'  # what the backward pass computes again: decoder.REMAT
  chunk: int = 128  # columns of logits that exist at a time

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(
        f'no loss is called {self.kind!r}: choose one of {", ".join(KINDS)}'
      )
    if self.remat not in decoder.REMAT:
      raise ValueError(
        f'no remat policy is called {self.remat!r}: choose one of '
        f'{", ".join(decoder.REMAT)}'
      )
    if self.aggregation not in losses.AGGREGATIONS:
      raise ValueError(
        f'no aggregation is called {self.aggregation!r}: choose one of '
        f'{", ".join(losses.AGGREGATIONS)}'
      )
    if self.ratio not in losses.RATIOS:
      raise ValueError(
        f'no ratio is called {self.ratio!r}: choose one of '
        f'{", ".join(losses.RATIOS)}'
      )
    if self.temperature <= 0:
      raise ValueError(
        f'temperature must be positive, got {self.temperature}: greedy '
        'samples cannot be trained on'
      )


def step(
  params,
  opt_state,
  parts: Sequence,
  *,
  cfg: decoder.Config,
  spec: UpdateSpec,
  tx: optax.GradientTransformation,
  frozen: Mapping | None = None,
):
  """Returns (params, opt_state, metrics); `parts` are host micro-batches."""
  total = losses.Totals(
    np.float32(sum(part.response_valid_BN.sum() for part in parts)),
    np.float32(sum(part.response_valid_BN.any(1).sum() for part in parts)),
  )
  static = dict(cfg=cfg, spec=spec)
  frozen = dict(frozen or {})
  sums = None
  for part in parts:
    part = mesh.put_batch(part)
    if sums is None:
      sums = _zeros(params, part, total, frozen, **static)
    sums = _add(params, sums, part, total, frozen, **static)
  if sums is None:
    raise ValueError('an update needs at least one turn to learn from')
  return _apply(params, opt_state, *sums, tx=tx)


def traced(params, opt_state, part, *, cfg, spec, tx, frozen=None) -> dict:
  """The programs of `step`, traced for arrays or for their shapes."""
  total = losses.Totals(np.float32(0), np.float32(0))
  static = dict(cfg=cfg, spec=spec)
  frozen = dict(frozen or {})
  zeros = _zeros.trace(params, part, total, frozen, **static)
  sums = jax.tree.map(mesh.placed, zeros.out_info)
  return dict(
    zeros=zeros,
    update=_add.trace(params, sums, part, total, frozen, **static),
    optimizer=_apply.trace(params, opt_state, *sums, tx=tx),
  )


def compile_step(params, opt_state, part, **settings) -> None:
  """Compiles what `step` runs on such a micro-batch, and updates nothing."""
  for program in traced(params, opt_state, part, **settings).values():
    program.lower().compile()


def gradients(
  params,
  part,
  total,
  frozen: Mapping,
  *,
  cfg: decoder.Config,
  spec: UpdateSpec,
):
  """A micro-batch's share of the batch's gradient and of its metrics."""
  loss = functools.partial(
    _loss, total=total, frozen=frozen, cfg=cfg, spec=spec
  )
  return jax.grad(loss, has_aux=True)(params, part)


@jax.jit(static_argnames=('cfg', 'spec'))
def _zeros(params, part, total, frozen, *, cfg, spec):
  like = jax.eval_shape(
    functools.partial(gradients, cfg=cfg, spec=spec),
    params,
    part,
    total,
    frozen,
  )
  grads = jax.tree.map(jnp.zeros_like, params)
  return grads, {name: jnp.float32(0) for name in like[1]}


@jax.jit(static_argnames=('cfg', 'spec'), donate_argnames='sums')
def _add(params, sums, part, total, frozen, *, cfg, spec):
  grads, metrics = gradients(params, part, total, frozen, cfg=cfg, spec=spec)
  return jax.tree.map(jnp.add, sums[0], grads), {
    name: _join(name, sums[1][name], metrics[name]) for name in metrics
  }


@jax.jit(static_argnames='tx', donate_argnames=('params', 'opt_state'))
def _apply(params, opt_state, grads, metrics, *, tx):
  updates, new_opt_state = tx.update(grads, opt_state, params)
  norm = optax.tree.norm(grads)
  finite = jnp.isfinite(norm) & jnp.isfinite(metrics['loss'])

  def keep_if_not(new, old):
    return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

  new_params = keep_if_not(optax.apply_updates(params, updates), params)
  metrics = {**metrics, 'grad_norm': norm, 'finite': finite.astype(jnp.float32)}
  return new_params, keep_if_not(new_opt_state, opt_state), metrics


def score(params, part, *, cfg: decoder.Config, spec: UpdateSpec):
  """Log-probability and entropy of each turn's response tokens, [B, N]."""
  x_RLD = decoder.forward(
    cfg, params, part.tokens_RL, part.segment_RL, remat=spec.remat
  )
  row_R1 = jnp.arange(x_RLD.shape[0])[:, None]
  x_RMD = x_RLD.at[mesh.place(row_R1, 'fsdp', None), part.before_RM].get(
    out_sharding=mesh.spec('fsdp', None, None)
  )
  both_RM = decoder.target_log_probs(
    cfg,
    params,
    x_RMD,
    part.target_RM,
    temperature=spec.temperature,
    chunk=spec.chunk,
  )

  def by_turn(value_RM):
    # A turn may sit in another device's row: these are scalars per token.
    value_X = mesh.place(value_RM, None, None).reshape(-1)
    return value_X.at[part.place_BN].get(out_sharding=mesh.spec('fsdp', None))

  return by_turn(both_RM[0]), by_turn(both_RM[1])


def _loss(params, part, *, total, frozen, cfg, spec):
  if 'base' in frozen:
    params = lora.merge(frozen['base'], params)
  logp_BN, entropy_BN = score(params, part, cfg=cfg, spec=spec)
  response_BN, weight_B = part.response_valid_BN, part.weight_B
  if spec.kind == 'sft':
    loss, metrics = losses.sft_loss(
      logp_BN,
      response_BN,
      weight_B,
      aggregation=spec.aggregation,
      limit=spec.limit,
      total=total,
    )
  else:
    reference_BN = None
    if spec.kl:
      reference_BN, _ = score(frozen['reference'], part, cfg=cfg, spec=spec)
    loss, metrics = losses.policy_loss(
      logp_BN,
      part.logp_BN,
      part.advantage_BN,
      response_BN,
      weight_B,
      clip_low=spec.clip_low,
      clip_high=spec.clip_high,
      dual_clip=spec.dual_clip,
      ratio=spec.ratio,
      aggregation=spec.aggregation,
      limit=spec.limit,
      kl=spec.kl,
      reference_logp_BN=reference_BN,
      total=total,
    )
    real_BN = response_BN & (weight_B[:, None] > 0)
    gap_BN = jnp.where(real_BN, jnp.abs(logp_BN - part.logp_BN), 0)
    # The sampler and the trainer compute the same number in two ways.
    metrics['gap/mean'] = losses.token_mean(
      gap_BN, response_BN, weight_B, total=total
    )
    metrics['gap/max'] = gap_BN.max()
  metrics['entropy'] = losses.token_mean(
    entropy_BN, response_BN, weight_B, total=total
  )
  return loss, {'loss': loss, **jax.lax.stop_gradient(metrics)}


def _join(key, a, b):
  """How a metric of the batch comes from those of its micro-batches."""
  return jnp.maximum(a, b) if key.endswith('/max') else a + b
