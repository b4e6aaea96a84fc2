"""How near the hardware's limits decoding and updates come, on one device.

python experiments/bench_model/gpu.py                 # SmolLM2 and Qwen3-4B
python experiments/bench_model/gpu.py --models=tiny --batch=4  # a trial on CPU

Weights are random: speed does not depend on them. Decoding is measured as the
share of memory bandwidth: each step must read all weights and the cache in use
once. Updates are measured as MFU: 6 FLOPs per parameter and token (the head:
response tokens only) plus attention, over the peak of the device. Both peaks
come from the data sheet (--bandwidth, --flops) where given, else from a copy
and a matrix product measured here; on a CPU the latter, and the output says so.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import presets
from mem_alpha.rollout import batch
from mem_alpha.rollout import engine
from mem_alpha.rollout import sampler

RESULTS = pathlib.Path(__file__).with_name('results.jsonl')


def best(function, *args, runs=3):
  """Seconds of the fastest run after a first one, which compiles."""
  times = []
  for _ in range(runs + 1):
    began = time.perf_counter()
    jax.block_until_ready(function(*args))
    times.append(time.perf_counter() - began)
  return min(times[1:])


def measured_bandwidth() -> float:
  """Bytes per second of reading and writing a large array."""
  x = jnp.zeros(1 << 27, jnp.float32)
  return 2 * x.nbytes / best(jax.jit(lambda x: x + 1), x)


def measured_flops(dtype) -> float:
  size = 8192 if jax.default_backend() != 'cpu' else 2048
  x = jnp.ones((size, size), dtype)
  return 2 * size**3 / best(jax.jit(jnp.matmul), x, x)


def decode(cfg, params, args) -> tuple[float, float]:
  """(steps per second, bytes that a step must read)."""
  rng = np.random.default_rng(0)
  prompts = rng.integers(3, cfg.vocab_size, (args.batch, args.prompt)).tolist()
  keys_B = jax.vmap(jax.random.key)(np.arange(args.batch))
  seconds = {}
  for new in (args.new, 1):  # the difference is decoding alone
    respond = engine.Engine(
      cfg,
      params,
      sampling=sampler.Sampling(
        temperature=1.0, max_new_tokens=new, end_of_turn=-1, pad=0
      ),
      sizes=engine.Sizes(
        prompt_tokens=args.prompt, slots=args.batch, prefill_tokens=8192
      ),
    )
    seconds[new] = best(lambda r=respond: r(prompts, keys_B) and None)
  step = (seconds[args.new] - seconds[1]) / (args.new - 1)
  width = jnp.dtype(cfg.dtype).itemsize
  weights = sum(x.size for x in jax.tree.leaves(params)) * width
  columns = args.prompt + args.new / 2
  cache = (
    2 * cfg.num_layers * cfg.num_kv_heads * cfg.head_width * columns * width
  )
  return 1 / step, weights + args.batch * cache


def train(cfg, params, args) -> tuple[float, float]:
  """(updates per second, FLOPs of an update)."""
  rng = np.random.default_rng(0)
  length = args.prompt + args.new
  shape = batch.Shape(args.rows, length, args.new, args.rows, args.new)
  draw = lambda n: rng.integers(3, cfg.vocab_size, (args.rows, n)).tolist()  # noqa: E731
  (part,) = batch.pack(
    draw(args.prompt),
    draw(args.new),
    shape=shape,
    pad=0,
    logps=[[-1.0] * args.new] * args.rows,
    advantages=[[1.0] * args.new] * args.rows,
  )
  tx = optax.adamw(1e-6)
  state = [params, tx.init(params)]
  spec = update.UpdateSpec(remat=args.remat)

  def step():
    *state[:], figures = update.step(*state, [part], cfg=cfg, spec=spec, tx=tx)
    return figures

  seconds = best(step)
  body = sum(x.size for x in jax.tree.leaves(params['blocks']))
  head = cfg.vocab_size * cfg.width
  heads = cfg.num_layers * cfg.num_heads * cfg.head_width
  flops = args.rows * (
    6 * (body * length + head * args.new) + 6 * heads * length**2
  )
  return 1 / seconds, flops


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--models', default='smollm2_135m,qwen3_4b')
  parser.add_argument('--dtype', default='bfloat16')
  parser.add_argument('--batch', type=int, default=64)
  parser.add_argument('--rows', type=int, default=8, help='of an update')
  parser.add_argument('--prompt', type=int, default=512)
  parser.add_argument('--new', type=int, default=64)
  parser.add_argument('--remat', default='dots')
  parser.add_argument('--bandwidth', type=float, help='GB/s of the data sheet')
  parser.add_argument('--flops', type=float, help='TFLOP/s of the data sheet')
  parser.add_argument('--skip_update', default='', help='models without one')
  args = parser.parse_args()
  device = jax.devices()[0]
  if device.platform == 'cpu':
    print('No GPU here: the figures below are of this CPU.')
  bandwidth = args.bandwidth * 1e9 if args.bandwidth else measured_bandwidth()
  flops = args.flops * 1e12 if args.flops else measured_flops(args.dtype)
  commit = subprocess.run(
    ['git', 'rev-parse', '--short', 'HEAD'],
    capture_output=True,
    text=True,
    check=False,
  ).stdout.strip()

  def log(name, value, unit, peak):
    line = dict(
      name=name,
      value=value,
      unit=unit,
      peer='peak of the device',
      peer_value=peak,
      ratio=value / peak,
      runs=3,
      commit=commit,
      machine=device.device_kind,
      command=' '.join(['python', *sys.argv]),
    )
    print(json.dumps(line), flush=True)
    with RESULTS.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')

  for name in args.models.split(','):
    cfg = presets.get(name, dtype=args.dtype)
    params = decoder.init(cfg, jax.random.key(0))
    steps, size = decode(cfg, params, args)
    where = f'{device.platform}/{name}'
    log(f'decode/{where}', steps * size / 1e9, 'GB/s', bandwidth / 1e9)
    if name not in args.skip_update.split(','):
      steps, work = train(cfg, params, args)
      log(f'update/{where}', steps * work / 1e12, 'TFLOP/s', flops / 1e12)
    del params


if __name__ == '__main__':
  main()
