"""One turn of calls: 64 rollouts, 8 calls of 40 tokens each, large pools.

Times are medians over turns that insert, update and delete in memories that
fill up; capacities take turns, so that both see the same machine. Bytes are
those of XLA's analysis of the compiled program.
"""

import statistics
import time

import jax
import numpy as np

from mem_alpha import structs
from mem_alpha.memory import ops
from mem_alpha.memory import state

ROLLOUTS, CALLS, TOKENS, ROWS = 64, 8, 40, 1024
LARGE, SMALL = 131_072, 16_384
LIMITS = ops.Limits()
WARM = 3


def make_turn(turn: int) -> ops.Ops:
  """Five inserts, two updates and a delete of what is a few turns old."""
  rng = np.random.default_rng(turn)

  def call(b, n):
    action = ((structs.Action.INSERT,) * 5 + (structs.Action.UPDATE,) * 2 + (
      structs.Action.DELETE,
    ))[n]  # fmt: skip
    text = action != structs.Action.DELETE
    tokens = rng.integers(0, 150_000, TOKENS if text else 0).tolist()
    return ops.EncodedCall(
      action,
      structs.Kind.SEMANTIC,
      max(0, 5 * turn - n - 8 * (action == structs.Action.DELETE)),
      tuple(tokens),
      tuple(token % 8000 for token in tokens),
    )

  calls = [[call(b, n) for n in range(CALLS)] for b in range(ROLLOUTS)]
  packed = ops.pack(calls, O=CALLS, T=CALLS * TOKENS, W=CALLS * TOKENS)
  return jax.tree.map(jax.numpy.asarray, packed)


def measure(*, runs: int) -> dict[int, float]:
  """Median seconds of a turn at each capacity."""
  memories = {
    pool: state.empty_batch(ROLLOUTS, tokens=pool, terms=pool, rows=ROWS)
    for pool in (LARGE, SMALL)
  }
  times = {pool: [] for pool in memories}
  for turn in range(WARM + runs):
    packed = make_turn(turn)
    jax.block_until_ready(packed)
    for pool in memories:
      start = time.perf_counter()
      memories[pool], status_BO, _ = ops.apply_turn(
        memories[pool], packed, turn, limits=LIMITS
      )
      jax.block_until_ready((memories[pool], status_BO))
      if turn >= WARM:
        times[pool].append(time.perf_counter() - start)
  return {pool: statistics.median(ts) for pool, ts in times.items()}


def compiled_bytes() -> dict[str, int]:
  """Bytes of the memories, of what is aliased and of what is temporary."""
  memory_B = jax.eval_shape(
    lambda: state.empty_batch(ROLLOUTS, tokens=LARGE, terms=LARGE, rows=ROWS)
  )
  program = ops.apply_turn.lower(memory_B, make_turn(0), 0, limits=LIMITS)
  found = program.compile().memory_analysis()
  leaves = jax.tree.leaves(memory_B)
  return {
    'memories': sum(x.size * x.dtype.itemsize for x in leaves),
    'pools': memory_B.tokens_P.size * 4 + memory_B.terms_P.size * 4,
    'aliased': found.alias_size_in_bytes,
    'temporary': found.temp_size_in_bytes,
  }
