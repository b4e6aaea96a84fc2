"""Our policy loss against google-tunix's own, values and gradients.

.venv_tunix/bin/python experiments/grpo_loss/run.py

tunix's `grpo_loss_fn` runs as it is; only the model's log-probabilities are
replaced by random ones, which both sides get. Writes results.json: the largest
difference of each setting over ten random batches; of gradients it is relative,
of losses too where they are above 1 (smaller ones are sums that nearly cancel).
"""

import importlib.metadata
import itertools
import json
import pathlib
import sys
import types

ROOT = pathlib.Path(__file__).parents[2]
RESULTS = pathlib.Path(__file__).with_name('results.json')
sys.path.insert(0, str(ROOT))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from flax import nnx  # noqa: E402
from tunix.rl import algo_core  # noqa: E402
from tunix.rl import common  # noqa: E402

from mem_alpha.grpo import loss as losses  # noqa: E402

B, N = 6, 9
MOST = 1e-6
AGGREGATIONS = {
  'token': 'token-mean',
  'turn': 'sequence-mean-token-mean',
  'constant': 'sequence-mean-token-scale',
}
RATIOS = {'token': 'grpo', 'sequence': 'gspo-token'}


def main() -> None:
  found = {}
  for aggregation, ratio, dual_clip, kl in itertools.product(
    AGGREGATIONS, RATIOS, (None, 1.5), (0.0, 0.04)
  ):
    setting = dict(
      aggregation=aggregation, ratio=ratio, dual_clip=dual_clip, kl=kl
    )
    name = ' '.join(f'{k}={v}' for k, v in setting.items())
    found[name] = max(_difference(seed, **setting) for seed in range(10))
    print(f'{name:60} {found[name]:.1e}')
  result = dict(
    tunix=importlib.metadata.version('google-tunix'),
    largest=max(found.values()),
    wanted=MOST,
    by_setting=found,
  )
  RESULTS.write_text(json.dumps(result, indent=2) + '\n')
  if result['largest'] > MOST:
    sys.exit(f'they differ by {result["largest"]}')


def _difference(seed: int, **setting) -> float:
  rng = np.random.default_rng(seed)
  old_BN = -rng.exponential(size=(B, N)).astype(np.float32)
  logp_BN = old_BN + rng.normal(0, 0.4, (B, N)).astype(np.float32)
  rest = dict(
    old=old_BN,
    reference=logp_BN + rng.normal(0, 0.5, (B, N)).astype(np.float32),
    adv=rng.normal(size=(B, N)).astype(np.float32),
    response=np.arange(N) < rng.integers(1, N + 1, B)[:, None],
  )
  values = [
    jax.value_and_grad(loss)(jnp.asarray(logp_BN), **rest, **setting)
    for loss in (_ours, _theirs)
  ]
  (ours, own_BN), (theirs, grad_BN) = values
  apart = np.linalg.norm(own_BN - grad_BN) / np.linalg.norm(grad_BN)
  return max(float(apart), abs(float(ours - theirs)) / max(abs(theirs), 1.0))


def _ours(logp_BN, *, old, reference, adv, response, **setting):
  return losses.policy_loss(
    logp_BN,
    old,
    adv,
    response,
    jnp.ones(B),
    clip_low=0.2,
    clip_high=0.3,
    limit=N,
    reference_logp_BN=reference,
    **setting,
  )[0]


def _theirs(
  logp_BN, *, old, reference, adv, response, aggregation, ratio, dual_clip, kl
):
  config = types.SimpleNamespace(
    beta=kl,
    epsilon=0.2,
    epsilon_high=0.3,
    epsilon_c=dual_clip,
    loss_algo=RATIOS[ratio],
    loss_agg_mode=AGGREGATIONS[aggregation],
    temperature=1.0,
    kl_loss_mode='low_var_kl',
    kl_clamp_value=None,
  )
  example = common.TrainExample(
    prompt_ids=None,
    prompt_mask=None,
    completion_ids=None,
    completion_mask=jnp.asarray(response, jnp.float32),
    advantages=jnp.asarray(adv),
    ref_per_token_logps=jnp.asarray(reference),
    old_per_token_logps=jnp.asarray(old),
  )
  real = common.compute_per_token_logps
  common.compute_per_token_logps = lambda *_, **__: (
    logp_BN,
    jnp.zeros((B, N, 2)),
  )
  try:
    return algo_core.grpo_loss_fn(nnx.Module(), example, config, 0, 1)[0]
  finally:
    common.compute_per_token_logps = real


if __name__ == '__main__':
  main()
