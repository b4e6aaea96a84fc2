"""Whole episodes that share rows, and whose reading overlaps, fails or is
judged by a model."""

import dataclasses

import jax
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


def elsewhere(memories, queries):
  """The lexical reader, as if it ran on another machine."""
  return LEXICAL(memories, queries)


elsewhere.overlaps = True


@pytest.mark.parametrize('batch', [1, 2, 3])
@pytest.mark.parametrize('reader', [LEXICAL, elsewhere])
def test_rows_that_take_the_next_episode_change_nothing(
  make_runner, written, conversations, batch, reader
):
  """Episodes of 1 to 5 chunks, all at a time or few: the same in all respects.

  A judge and a history are asked for, too.
  """
  cut = [
    dataclasses.replace(i, chunks=i.chunks[:n], notes=i.notes[:n])
    for n, i in zip((3, 1, 5, 2, 4), conversations)
  ]
  asked = []

  def judge(stored):
    asked.append(len(stored))
    return [len(call.content) % 3 > 0 for call, _ in stored]

  writer = written(script.IMPERFECT)
  calls = []

  def counted(prompts, contexts):
    calls.append([c and (c.number % 5, c.chunk) for c in contexts])
    return writer(prompts, contexts)

  want = make_runner(BATCH).run(
    cut, writer, reading.Panel(LEXICAL, judge=judge), keep_history=True
  )
  found = make_runner(batch).run(
    cut, counted, reading.Panel(reader, judge=judge), keep_history=True
  )
  for name in (
    *('instances', 'entries', 'cores', 'memory_tokens', 'chunk_tokens'),
    *('answers', 'scores', 'history', 'turns'),
  ):
    assert getattr(found, name) == getattr(want, name), name
  # Words are numbered as they come: in another order of turns, otherwise.
  unnamed = [
    [dataclasses.replace(m, terms_P=None) for m in rollouts.stored]
    for rollouts in (found, want)
  ]
  jax.tree.map(np.testing.assert_array_equal, *unnamed)
  queries = [[q.text for q in i.questions] for i in cut]
  assert found.memories.search(queries) == want.memories.search(queries)
  # Each chunk of each episode once, in order, and no row idle while one waits.
  done = [turn for row in calls for turn in row if turn]
  assert sorted(done) == [
    (e, c) for e, i in enumerate(cut) for c in range(len(i.chunks))
  ]
  assert len(calls) == {1: 15, 2: 9, 3: 7}[batch]
  assert any(want.scores[0])


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
