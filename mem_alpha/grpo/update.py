"""One optimiser step on a batch of turns: GRPO and supervised alike.

1. A training row is the prompt followed by the response. The hidden state at
   the token before each response token predicts it.
2. Log-probabilities are taken at the sampler's temperature.
3. Rows are worked through in micro-batches; every figure is divided by the
   counts of the whole batch, so gradients simply add up.
4. One optax update.

`turns` is a `rollout.batch.Turns`. Under the supervised loss its `logp_BN` and
`advantage_B` are not read. Parameters and optimiser state are donated.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from mem_alpha import mesh
from mem_alpha.grpo import loss as losses
from mem_alpha.models import decoder

KINDS = ('policy', 'sft')


@dataclasses.dataclass(frozen=True)
class UpdateSpec:
  """What an update does; hashable, so it can be a static argument."""

  kind: str = 'policy'
  temperature: float = 1.0  # the sampler's
  clip_low: float = 0.2
  clip_high: float = 0.2
  dual_clip: float | None = None
  aggregation: str = 'token'
  micro_batches: int = 1
  remat: bool = False  # recompute layers in the backward pass
  chunk: int = 128  # columns of logits that exist at a time

  def __post_init__(self):
    if self.kind not in KINDS:
      raise ValueError(
        f'no loss is called {self.kind!r}: choose one of {", ".join(KINDS)}'
      )
    if self.aggregation not in losses.AGGREGATIONS:
      raise ValueError(
        f'no aggregation is called {self.aggregation!r}: choose one of '
        f'{", ".join(losses.AGGREGATIONS)}'
      )
    if self.temperature <= 0:
      raise ValueError(
        f'temperature must be positive, got {self.temperature}: greedy '
        'samples cannot be trained on'
      )
    if self.micro_batches < 1:
      raise ValueError(
        f'micro_batches must be at least 1, got {self.micro_batches}'
      )


@functools.partial(
  jax.jit,
  static_argnames=('cfg', 'spec', 'tx'),
  donate_argnames=('params', 'opt_state'),
)
def step(
  params,
  opt_state,
  turns,
  *,
  cfg: decoder.Config,
  spec: UpdateSpec,
  tx: optax.GradientTransformation,
):
  """Returns (params, opt_state, metrics); metrics are scalars."""
  grads, metrics = gradients(params, turns, cfg=cfg, spec=spec)
  updates, opt_state = tx.update(grads, opt_state, params)
  metrics['grad_norm'] = optax.tree.norm(grads)
  return optax.apply_updates(params, updates), opt_state, metrics


def gradients(params, turns, *, cfg: decoder.Config, spec: UpdateSpec):
  """Gradient of the batch's loss, and its metrics."""
  total = losses.totals(turns.response_valid_BN, turns.weight_B)
  grad = jax.grad(
    functools.partial(_loss, total=total, cfg=cfg, spec=spec), has_aux=True
  )
  if spec.micro_batches == 1:
    return grad(params, turns)
  parts = jax.tree.map(
    functools.partial(_split, parts=spec.micro_batches), turns
  )

  def add(carry, part):
    sum_grads, sums = carry
    grads, metrics = grad(params, part)
    sum_grads = jax.tree.map(jnp.add, sum_grads, grads)
    return (sum_grads, {k: _join(k, sums[k], metrics[k]) for k in sums}), None

  keys = jax.eval_shape(grad, params, jax.tree.map(lambda x: x[0], parts))[1]
  zeros = (
    jax.tree.map(jnp.zeros_like, params),
    {k: jnp.float32(0) for k in keys},
  )
  return jax.lax.scan(add, zeros, parts)[0]


def score(params, turns, *, cfg: decoder.Config, spec: UpdateSpec):
  """Log-probability and entropy at each response token."""
  tokens_BT = jnp.concatenate([turns.prompt_BP, turns.response_BN], 1)
  valid_BT = jnp.concatenate(
    [turns.prompt_valid_BP, turns.response_valid_BN], 1
  )
  x_BTD = decoder.forward(
    cfg, params, tokens_BT, valid_BT.astype(jnp.int32), remat=spec.remat
  )
  before = turns.prompt_BP.shape[1] - 1
  x_BND = x_BTD[:, before : before + turns.response_BN.shape[1]]
  return decoder.target_log_probs(
    cfg,
    params,
    x_BND,
    turns.response_BN,
    temperature=spec.temperature,
    chunk=spec.chunk,
  )


def _loss(params, turns, *, total, cfg, spec):
  logp_BN, entropy_BN = score(params, turns, cfg=cfg, spec=spec)
  response_BN, weight_B = turns.response_valid_BN, turns.weight_B
  if spec.kind == 'sft':
    loss, metrics = losses.sft_loss(
      logp_BN,
      response_BN,
      weight_B,
      aggregation=spec.aggregation,
      total=total,
    )
  else:
    loss, metrics = losses.policy_loss(
      logp_BN,
      turns.logp_BN,
      turns.advantage_B,
      response_BN,
      weight_B,
      clip_low=spec.clip_low,
      clip_high=spec.clip_high,
      dual_clip=spec.dual_clip,
      aggregation=spec.aggregation,
      total=total,
    )
    real_BN = response_BN & (weight_B[:, None] > 0)
    gap_BN = jnp.where(real_BN, jnp.abs(logp_BN - turns.logp_BN), 0)
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


def _split(x, *, parts):
  """[B, ...] to [parts, B / parts, ...], taking every parts-th row.

  So each device cuts up its own rows and none has to move.
  """
  if x.shape[0] % (parts * mesh.size('fsdp')):
    raise ValueError(
      f'{x.shape[0]} rows cannot be split into {parts} micro-batches on '
      f'{mesh.size("fsdp")} devices (mesh axis fsdp): pad the batch'
    )
  x = mesh.place(x, 'fsdp', *[None] * (x.ndim - 1))
  shape = (x.shape[0] // parts, parts, *x.shape[1:])
  spec = mesh.spec('fsdp', *[None] * x.ndim)
  return jax.lax.reshape(x, shape, out_sharding=spec).swapaxes(0, 1)
