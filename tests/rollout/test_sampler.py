"""Responses from slots: what was said, and that nothing else changes it."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from mem_alpha import mesh as mesh_lib
from mem_alpha.grpo import update
from mem_alpha.models import decoder
from mem_alpha.models import presets
from mem_alpha.rollout import batch
from mem_alpha.rollout import engine
from mem_alpha.rollout import sampler

END, PAD, N, P = 1, 0, 8, 6
CFG = presets.get(
  'tiny', vocab_size=30, width=16, head_width=8, ff=16, tied=False
)
SAMPLING = sampler.Sampling(
  temperature=0.7, max_new_tokens=N, end_of_turn=END, pad=PAD
)
SIZES = engine.Sizes(prompt_tokens=P, slots=8)
PROMPTS = [
  [3],
  [4, 5, 6],
  [7, 8, 9, 10, 11, 12],
  [],
  [13, 14],
  [4, 5, 6],
  [2],
  [9, 8],
]


@pytest.fixture(scope='module')
def params():
  params = decoder.init(CFG, jax.random.key(0))
  # Sharper than at birth.
  return {**params, 'head': params['head'] * 2}


def run(params, prompts=PROMPTS, seeds=None, *, sizes=SIZES, prefix=(), **how):
  sampling = dataclasses.replace(SAMPLING, **how)
  seeds = np.arange(len(prompts)) if seeds is None else seeds
  keys_B = jax.vmap(jax.random.key)(np.asarray(seeds, np.uint32))
  respond = engine.Engine(
    CFG, params, sampling=sampling, sizes=sizes, prefix=prefix
  )
  return respond(prompts, keys_B)


def assert_close(got, want, *, atol=1e-5):
  assert [r.tokens for r in got] == [r.tokens for r in want]
  assert [r.finished for r in got] == [r.finished for r in want]
  for a, b in zip(got, want):
    np.testing.assert_allclose(a.logp, b.logp, atol=atol)


def test_greedy_equals_repeated_full_forward(params):
  found = run(params, temperature=0.0)

  @jax.jit
  def next_scores(tokens_1T, segment_1T, at):
    x_1TD = decoder.forward(CFG, params, tokens_1T, segment_1T)
    return decoder.logits(CFG, params, x_1TD[:, at])[0]

  for response, prompt in zip(found, PROMPTS):
    text, logps = list(prompt), []
    while prompt and len(logps) < N and (not logps or text[-1] != END):
      tokens_1T = np.zeros((1, P + N), np.int32)
      tokens_1T[0, : len(text)] = text
      segment_1T = (np.arange(P + N) < len(text))[None].astype(np.int32)
      scores_V = next_scores(tokens_1T, segment_1T, len(text) - 1)
      text.append(int(scores_V.argmax()))
      logps.append(jax.nn.log_softmax(scores_V)[text[-1]])
    assert list(response.tokens) == text[len(prompt) :]
    np.testing.assert_allclose(response.logp, logps, atol=1e-5)


def test_nothing_follows_the_end_of_a_turn(params):
  finished, lengths = [], []
  keys = jax.vmap(jax.random.key)
  respond = engine.Engine(CFG, params, sampling=SAMPLING, sizes=SIZES)
  for seed in range(20):
    found = respond(PROMPTS, keys(np.arange(8, dtype=np.uint32) + 8 * seed))
    for prompt, response in zip(PROMPTS, found):
      if not prompt:
        assert not response.tokens and not response.finished
        continue
      assert END not in response.tokens[:-1]
      assert len(response.logp) == len(response.tokens)
      assert all(logp < 0 for logp in response.logp)
      finished.append(response.finished)
      assert finished[-1] == (response.tokens[-1] == END)
      assert finished[-1] or len(response.tokens) == N
      lengths.append(len(response.tokens))
  assert 5 < sum(finished) < 135
  assert 1 in lengths  # end-of-turn as the first token


def test_row_depends_on_its_prompt_and_key_alone(params):
  """To the bit, whoever its neighbours are and whenever its slot is free."""
  sizes = dataclasses.replace(SIZES, slots=3)
  a = run(params, seeds=[5, 6, 7, 8, 9, 6, 3, 4], sizes=sizes)
  assert a[1] == a[5]  # same prompt, same key
  others = [[9], [], [3], PROMPTS[1], [], [2], [2], [2]]
  b = run(params, others, seeds=[1, 2, 5, 6, 3, 4, 4, 5], sizes=sizes)
  assert a[0] == b[2]
  assert a[1] == b[3]
  assert b[5] == b[6] != b[7]


@pytest.mark.parametrize(
  'sizes',
  [
    dict(slots=2, prefill_tokens=1),
    dict(slots=5, prefill_tokens=12, buckets=3),
    dict(slots=11, buckets=2),
  ],
  ids=str,
)
def test_refill_blocks_and_buckets_change_nothing(params, sizes):
  changed = run(params, sizes=dataclasses.replace(SIZES, **sizes))
  assert_close(changed, run(params))


@pytest.mark.parametrize('slots', [3, 8])
def test_a_shared_prefix_changes_nothing(params, slots):
  prefix = [4, 17]
  prompts = [p and prefix + p[:4] for p in PROMPTS]
  sizes = dataclasses.replace(SIZES, slots=slots)
  shared = run(params, prompts, sizes=sizes, prefix=prefix)
  assert_close(shared, run(params, prompts))


def test_equal_prompts_are_read_once(params, monkeypatch):
  read = []
  prefill = engine._prefill

  def count(cfg, params, prefix, tokens_RT, length_R):
    read.append(tokens_RT.copy())
    return prefill(cfg, params, prefix, tokens_RT, length_R)

  monkeypatch.setattr(engine, '_prefill', count)
  prompts = [[4, 5, 6]] * 5 + [[7, 8]] * 3
  fanned = run(params, prompts)
  (tokens_RT,) = read  # one block of two prompts
  assert (tokens_RT != PAD).any(1).sum() == 2
  alone = [run(params, [p], [i])[0] for i, p in enumerate(prompts)]
  assert_close(fanned, alone)
  assert len({r.tokens for r in fanned[:5]}) > 1


def test_stop_sequences_end_a_response(params):
  plain = run(params)
  whole = [r.tokens for r in plain]
  stop = whole[2][1:3]  # said in the middle of a response
  stopped = run(params, stops=(tuple(stop), (29, 29, 29)))
  for old, new in zip(plain, stopped):
    ends = [
      i + 2 for i in range(len(old.tokens)) if old.tokens[i : i + 2] == stop
    ]
    end = min(ends, default=len(old.tokens))
    assert new.tokens == old.tokens[:end]
    assert new.finished == (old.finished or bool(ends))
  assert stopped[2].tokens == whole[2][:3]
  assert stopped[2].ending == 2  # the stop sequence is no text


def test_recorded_log_probs_are_the_trainers(params):
  prefix = [4, 17]
  prompts = [p and prefix + p[:4] for p in PROMPTS]
  sizes = dataclasses.replace(SIZES, slots=3)
  found = run(params, prompts, sizes=sizes, prefix=prefix)
  assert sum(len(r.tokens) for r in found) > 20
  shape = batch.Shape(rows=1, length=P + N, targets=N, turns=1, response=N)
  spec = update.UpdateSpec(temperature=SAMPLING.temperature, chunk=3)
  score = jax.jit(functools.partial(update.score, cfg=CFG, spec=spec))
  for prompt, response in zip(prompts, found):
    if prompt:
      (part,) = batch.pack([prompt], [response.tokens], shape=shape, pad=PAD)
      logp_1N, _ = score(params, part)
      np.testing.assert_allclose(
        response.logp, logp_1N[0, : len(response.tokens)], atol=2e-5
      )


def test_programs_are_compiled_once(params):
  programs = (engine._prefill, sampler.insert, sampler.decode)
  for program in programs:
    program.clear_cache()
  sizes = dataclasses.replace(SIZES, slots=3)
  for prompts in (PROMPTS, [[2]] * 8, [[3, 4]]):
    run(params, prompts, sizes=sizes)
  assert [program._cache_size() for program in programs] == [1, 1, 1]


@pytest.mark.parametrize('shape', [(2, 2), (4, 1)], ids=str)
def test_a_mesh_gives_the_same_responses(params, shape):
  sizes = dataclasses.replace(SIZES, slots=4)
  alone = run(params, sizes=sizes)
  devices = jax.devices()[: shape[0] * shape[1]]
  with jax.set_mesh(mesh_lib.make(*shape, devices=devices)):
    spread = decoder.init(CFG, jax.random.key(0))
    spread = jax.tree.map(
      lambda x, s: jax.device_put(x, s.sharding), params, spread
    )
    assert_close(run(spread, sizes=sizes), alone)


def test_a_prompt_that_is_too_long(params):
  with pytest.raises(ValueError, match='prompt 1 has 7 tokens but 6 is'):
    run(params, [[2], [2] * 7])


@pytest.mark.parametrize('prompt', [[5, 17, 3], [4, 17], [4]], ids=str)
def test_a_prompt_without_the_prefix(params, prompt):
  with pytest.raises(ValueError, match='prompt 0 does not go on from the'):
    run(params, [prompt], prefix=[4, 17])


def test_a_prefix_that_leaves_no_room(params):
  with pytest.raises(ValueError, match='leaves no room behind a prefix of 6'):
    run(params, prefix=[4] * 6)


@pytest.mark.parametrize('field', ['slots', 'buckets', 'prefill_tokens'])
def test_sizes_are_positive(field):
  with pytest.raises(ValueError, match=f'{field}=0 must be at least 1'):
    dataclasses.replace(SIZES, **{field: 0})
