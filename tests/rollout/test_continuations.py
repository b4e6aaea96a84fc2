"""Shared prefixes: the same answers as one prompt each, at less work."""

import dataclasses

import jax
import numpy as np
import pytest

from mem_alpha.models import decoder
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import continuations
from mem_alpha.rollout import engine
from mem_alpha.rollout import sampler

CFG = decoder.Config(
  vocab_size=48,
  num_layers=1,
  width=16,
  num_heads=4,
  num_kv_heads=2,
  head_width=8,
  ff=32,
  canon=2,
)
END, PAD = 3, 0
GREEDY = sampler.Sampling(0.0, max_new_tokens=6, end_of_turn=END, pad=PAD)
SHAPE = continuations.Shape(groups=2, tails=4, prefix=16, tail=5)


@pytest.fixture(scope='module')
def params():
  return decoder.init(CFG, jax.random.key(0))


def random_groups(seed, sizes):
  rng = np.random.default_rng(seed)

  def ids(low, high):
    return rng.integers(4, 48, rng.integers(low, high + 1)).tolist()

  return [(ids(9, 16), [ids(1, 5) for _ in range(n)]) for n in sizes]


def one_by_one(params, prompt):
  """The sampler of the policy on the whole prompt."""
  sizes = engine.Sizes(prompt_tokens=21, slots=1, buckets=1, prefill_tokens=21)
  ask = engine.Engine(CFG, params, sampling=GREEDY, sizes=sizes)
  (said,) = ask([prompt], jax.random.split(jax.random.key(0), 1))
  end = len(said.tokens) - said.finished
  return list(said.tokens[:end]), said.logp


@pytest.mark.parametrize('sizes', [(3, 1, 6, 1, 0, 2), (1,), (9,)])
def test_greedy_answers_equal_those_to_whole_prompts(params, sizes):
  groups = random_groups(len(sizes), sizes)
  found = continuations.Continuer(CFG, params, shape=SHAPE, sampling=GREEDY)(
    groups
  )
  for (prefix, tails), answers in zip(groups, found, strict=True):
    assert len(answers) == len(tails)
    for tail, answer in zip(tails, answers):
      assert answer == one_by_one(params, prefix + tail)[0]


def test_log_probs_equal_those_of_whole_prompts(params):
  (prefix, tails), _ = groups = random_groups(5, (4, 1))
  prefixes, length_G = batch_lib.left_align(
    [prefix, groups[1][0]], rows=2, width=16, pad=PAD
  )
  tails_BS, length_B = batch_lib.left_align(tails, rows=8, width=5, pad=PAD)
  out = continuations.sample(
    CFG,
    params,
    prefixes,
    length_G,
    tails_BS,
    length_B,
    np.arange(8, dtype=np.uint32),
    sampling=GREEDY,
  )
  for row, tail in enumerate(tails):
    logp = one_by_one(params, prefix + tail)[1]
    np.testing.assert_allclose(out.logp_BN[row, : len(logp)], logp, atol=1e-5)
  assert (np.asarray(out.length_B)[4:] == 0).all()  # rows without a tail


def test_drawn_answers_do_not_depend_on_their_neighbours(params):
  sampling = sampler.Sampling(1.0, 6, END, PAD)
  ask = continuations.Continuer(CFG, params, shape=SHAPE, sampling=sampling)
  groups = random_groups(7, (3, 2, 1))
  together = ask(groups)
  assert together == ask(groups)
  assert ask(groups[::-1]) == together[::-1]
  prefix, tails = groups[0]
  assert ask([(prefix, tails[::-1])])[0] == together[0][::-1]


def test_a_prefix_over_its_limit_is_refused(params):
  ask = continuations.Continuer(CFG, params, shape=SHAPE, sampling=GREEDY)
  (prefix, tails), *_ = random_groups(9, (2,))
  prefix = (prefix * 16)[:16]
  assert ask([(prefix, tails)])
  with pytest.raises(ValueError, match='25 tokens is longer than 16'):
    ask([(prefix + [7] * 9, tails)])


@pytest.mark.parametrize('sizes, count', [((2, 2), 2), ((1, 1), 1)])
def test_a_mesh_changes_nothing(params, sizes, count):
  """Groups that devices share, and a single one, which all have."""
  groups = random_groups(11, (3, 1, 2))
  shape = dataclasses.replace(SHAPE, groups=count)
  ask = continuations.Continuer(CFG, params, shape=shape, sampling=GREEDY)
  want = ask(groups)
  devices = jax.devices()[: sizes[0] * sizes[1]]
  with jax.set_mesh(jax.make_mesh(sizes, ('fsdp', 'tp'), devices=devices)):
    split = decoder.init(CFG, jax.random.key(0))
    ask = continuations.Continuer(CFG, split, shape=shape, sampling=GREEDY)
    assert ask(groups) == want
