"""AdamW with warm-up, a schedule, optional clipping; decay on matrices only.

The decoder keeps its layers stacked: every leaf under 'blocks' has a leading
layer axis, so a norm's scale looks like a matrix. What is decayed is decided
on the shape of one layer, and a bias is never decayed whatever its shape.
"""

import functools

import jax
import jax.numpy as jnp
import optax

SCHEDULES = ('constant', 'linear', 'cosine')
STACKED = 'blocks'  # leaves below this key have a leading layer axis


def make(
  *,
  lr: float,
  warmup: int,
  total: int,
  schedule: str = 'constant',
  weight_decay: float = 0.0,
  clip_norm: float | None = None,
  b1: float = 0.9,
  b2: float = 0.999,
  eps: float = 1e-8,
  moments: str = 'float32',
) -> optax.GradientTransformation:
  """The optimiser of a run; `clip_norm=None` leaves gradients as they are.

  `moments` is the dtype that Adam's two averages are kept in; they are
  computed in float32 whatever that and the parameters' own is.
  """
  rate = learning_rate(lr, schedule=schedule, warmup=warmup, total=total)
  if clip_norm is not None and clip_norm <= 0:
    raise ValueError(
      f'clip_norm must be positive, or None for off, got {clip_norm}'
    )
  clip = [] if clip_norm is None else [optax.clip_by_global_norm(clip_norm)]
  tx = optax.chain(
    *clip,
    _adam(moments, b1=b1, b2=b2, eps=eps),
    optax.add_decayed_weights(weight_decay, mask=is_matrix),
    optax.scale_by_learning_rate(rate),
  )
  # Compiled, so that the counters start out on the mesh of the parameters:
  # the first update would otherwise be compiled for a placement of its own.
  return optax.GradientTransformation(jax.jit(tx.init), tx.update)


def _adam(moments, **settings) -> optax.GradientTransformation:
  """Adam in float32 whose averages are stored in another dtype."""
  adam = optax.scale_by_adam(**settings)

  def cast(tree, dtype):
    def one(x):
      return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(one, tree)

  def init(params):
    return adam.init(cast(params, moments))

  def update(grads, state, params=None):
    wide = cast(grads, jnp.float32), cast(state, jnp.float32)
    updates, state = adam.update(*wide, params)
    return updates, cast(state, moments)

  return optax.GradientTransformation(init, update)


def learning_rate(lr: float, *, schedule: str, warmup: int, total: int):
  """A function from the number of finished updates to the next rate.

  The rate rises linearly over `warmup` updates (the first one already moves
  the parameters), then stays, or falls to zero at update `total`.
  """
  if schedule not in SCHEDULES:
    raise ValueError(
      f'no schedule is called {schedule!r}: choose one of '
      f'{", ".join(SCHEDULES)}'
    )
  if warmup < 0 or total < 1 or (schedule != 'constant' and warmup >= total):
    raise ValueError(
      f'a {schedule} schedule of {total} updates cannot warm up for {warmup}'
    )
  return functools.partial(_rate, lr, schedule, warmup, total)


def _rate(lr, schedule, warmup, total, count):
  rise = jnp.minimum((count + 1) / max(warmup, 1), 1)
  done = jnp.clip((count - warmup) / max(total - warmup, 1), 0, 1)
  fall = {
    'constant': 1.0,
    'linear': 1 - done,
    'cosine': (1 + jnp.cos(jnp.pi * done)) / 2,
  }[schedule]
  return lr * rise * fall


def is_matrix(params):
  """True per leaf where one layer's parameter is a matrix or larger."""

  def decide(path, leaf):
    names = [getattr(part, 'key', None) for part in path]
    axes = leaf.ndim - (STACKED in names)
    return axes >= 2 and not str(names[-1]).endswith('bias')

  return jax.tree.map_with_path(decide, params)
