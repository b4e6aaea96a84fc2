"""Whole episodes whose reading overlaps, fails or is judged by a model."""

import dataclasses

import numpy as np
import pytest

from configs import embedded
from mem_alpha import build
from mem_alpha import structs
from mem_alpha.agent import writer as script
from mem_alpha.data import synthetic
from mem_alpha.evals import collect
from mem_alpha.evals import score
from mem_alpha.readers import lexical
from mem_alpha.rewards import total
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import waves
from mem_alpha.rollout import writers

BATCH = 6
LEXICAL = lexical.Lexical()
READER = reading.Panel(LEXICAL)
WEIGHTS = total.Weights(calls=1.0, compression=0.3, content=0.2)


@pytest.fixture(scope='module')
def conversations():
  return synthetic.Dataset(synthetic.Spec(), 'test', 0, 5)[:]


@pytest.fixture(scope='module')
def tokenizer(tmp_path_factory):
  config = embedded.get_config()
  config.tokenizer.instances = 20
  return build.tokenizer(config, tmp_path_factory.mktemp('run') / 'tokenizer')


@pytest.fixture(scope='module')
def make_runner(tokenizer):
  spec = build.episode_spec(embedded.get_config(), tokenizer)
  return lambda batch: episode.Runner(spec, tokenizer, batch=batch)


@pytest.fixture(scope='module')
def written(tokenizer):
  """Scripted writers by their habits."""
  return lambda habits: writers.scripted(
    writers.annotated(habits, show=None), tokenizer, seed='t'
  )


def test_long_conversations_come_first_and_copies_stay_together(conversations):
  cut = [
    dataclasses.replace(i, chunks=i.chunks[:n])
    for n, i in zip((2, 5, 1, 4), conversations)
  ]
  groups = waves.split(cut, rollouts=3, waves=2)
  assert [[len(i.chunks) for i in group] for group in groups] == [
    [5, 5, 5, 4, 4, 4],
    [2, 2, 2, 1, 1, 1],
  ]
  assert waves.split(cut, rollouts=1, waves=1) == [
    [cut[n] for n in (1, 3, 0, 2)]
  ]


def test_reading_beside_the_sampling_and_in_waves_changes_nothing(
  make_runner, written, conversations
):
  """Instances of 1 to 5 chunks: rows end one after the other."""
  cut = [
    dataclasses.replace(i, chunks=i.chunks[:n], notes=i.notes[:n])
    for n, i in enumerate(conversations, 1)
  ]
  runner = make_runner(BATCH)
  writer = written(script.IMPERFECT)
  want = runner.run(cut, writer, READER)

  def elsewhere(memories, queries):
    return LEXICAL(memories, queries)

  elsewhere.overlaps = True
  found = runner.run(cut, writer, reading.Panel(elsewhere))
  parts = [
    runner.start(part, writer, reading.Panel(elsewhere))
    for part in (cut[:3], cut[3:])
  ]
  joined = waves.join([finish() for finish in parts])
  rows = [0, 1, 2, BATCH, BATCH + 1]  # of two batches, each of BATCH rows
  for name in ('entries', 'answers', 'scores', 'memory_tokens'):
    assert getattr(found, name) == getattr(want, name)
    values = getattr(joined, name)
    assert [values[row] for row in rows] == getattr(want, name)[:5]
  assert (
    any(want.scores[0]) and [t.row for t in joined.turns[BATCH]] == [BATCH] * 4
  )
  queries = [['Who?'] if row in rows else [] for row in range(2 * BATCH)]
  hits = joined.memories.search(queries)
  assert [len(h) for h in hits] == [len(q) for q in queries]
  assert (
    score.rewards(joined, WEIGHTS)[1].means()
    == score.rewards(want, WEIGHTS)[1].means()
  )


def test_waiting_for_a_batch_while_the_next_is_sampled_changes_nothing(
  make_runner, written, conversations
):
  small = make_runner(2)
  writer = written(script.IMPERFECT)
  found = collect.evaluate(small, conversations, writer, READER)
  large = make_runner(BATCH)
  assert found == collect.evaluate(large, conversations, writer, READER)


def test_failed_answers_are_counted_and_left_out(
  make_runner, written, conversations
):
  runner = make_runner(BATCH)
  writer = written(script.PERFECT)

  def flaky(memories, queries):
    found = LEXICAL(memories, queries)
    lost = structs.Answer('', failed='HTTP 500')
    return [[lost, *row[1:]] if row else [] for row in found]

  panel = reading.Panel(flaky)
  found = collect.evaluate(runner, conversations, writer, panel)
  assert [record.excluded for record in found.records] == [1] * 5
  assert found.row['mean'] > 0.95
  lost = [p for p in found.predictions if p['score'] is None]
  assert len(lost) == 5 and {p['failed'] for p in lost} == {'HTTP 500'}
  rates = score.rates(runner.run(conversations, writer, panel))
  count = sum(len(i.questions) for i in conversations)
  assert rates['excluded_questions'] == pytest.approx(5 / count)
  assert rates['excluded_verdicts'] == 0


def test_a_judge_gives_r4_and_the_rules_reach_the_reward(
  make_runner, written, conversations
):
  runner = make_runner(BATCH)
  writer = written(script.IMPERFECT)
  panel = reading.Panel(
    LEXICAL, judge=lambda stored: [i % 2 == 0 for i, _ in enumerate(stored)]
  )
  rollouts = runner.run(conversations, writer, panel)
  turns, judged = score.rewards(rollouts, WEIGHTS)
  _, formal = score.rewards(runner.run(conversations, writer, READER), WEIGHTS)
  assert 0.3 < judged.means()['reward/content'] < 0.7
  assert formal.means()['reward/content'] == 1
  for by in ('chunk', 'evidence'):
    rules = score.Rules(answer_by=by, count=lambda s: len(s))
    _, dense = score.rewards(rollouts, WEIGHTS, rules)
    assert len(set(dense.answer_B[:5])) > 1  # not one number per rollout
    assert (dense.compression_B != judged.compression_B).any()
    if by == 'evidence':
      np.testing.assert_allclose(
        dense.answer_B.mean(), judged.answer_B.mean(), atol=1e-9
      )
