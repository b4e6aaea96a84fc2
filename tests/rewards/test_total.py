"""The reward of hand-made turns equals the formula by hand."""

import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.rewards import answer
from mem_alpha.rewards import calls
from mem_alpha.rewards import compression
from mem_alpha.rewards import content
from mem_alpha.rewards import total

WEIGHTS = total.Weights(compression=0.05, content=0.1)


def test_a_trajectory_of_three_turns():
  chunks = ['Bela lives in Odan.', 'It rains. Kira sings.', 'Nice day.']
  S, insert = structs.Status, structs.Action.INSERT
  turns = [
    (['Bela lives in Odan.'], [S.OK]),
    (['Kira sings', 'Kira dances', 'Kira sings'], [S.OK, S.OK, S.DUPLICATE]),
    ([], []),  # answered Done
  ]
  r1, excluded = answer.reward([1.0, 0.0, None, 0.5])
  assert excluded == 1
  rewards = total.combine(
    WEIGHTS,
    answer=[r1] * 3,
    calls=[
      calls.reward([structs.Call()] * len(s), s, done=not s) for _, s in turns
    ],
    compression=[compression.reward(8, 10)] * 3,
    content=[
      content.reward(
        content.judge(
          [structs.Call(insert, content=text) for text in texts],
          statuses,
          chunk=chunk,
          core='',
        )
      )
      for chunk, (texts, statuses) in zip(chunks, turns)
    ],
  )
  np.testing.assert_allclose(
    rewards.total_B,
    [
      0.5 + 1 + 0.05 * 0.2 + 0.1 * 1,
      0.5 + 2 / 3 + 0.05 * 0.2 + 0.1 * 0.5,
      0.5 + 1 + 0.05 * 0.2,
    ],
  )
  assert rewards.usable_B.all()
  assert rewards.means() == pytest.approx(
    {
      'reward/total': (1.61 + 0.51 + 2 / 3 + 0.05 + 1.51) / 3,
      'reward/answer': 0.5,
      'reward/calls': (1 + 2 / 3 + 1) / 3,
      'reward/compression': 0.2,
      'reward/content': 0.75,  # of the two turns that stored something
    }
  )


def test_weights_scale_their_parts():
  parts = {'answer': [1.0], 'calls': [0.5], 'compression': [-2.0]}
  weights = total.Weights(calls=3, compression=0.5, content=0)
  rewards = total.combine(weights, **parts, content=[1.0])
  np.testing.assert_allclose(rewards.total_B, [1.0 + 1.5 - 1.0])


def test_a_rollout_without_scores_is_not_usable():
  rewards = total.combine(
    WEIGHTS,
    answer=[np.nan, 1.0],
    calls=[1.0, 1.0],
    compression=[0.5, 0.5],
    content=[None, None],
  )
  assert rewards.usable_B.tolist() == [False, True]
  assert rewards.means()['reward/answer'] == 1
  assert 'reward/content' not in rewards.means()


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match='weight content is nan'):
    total.Weights(compression=0, content=float('nan'))
  with pytest.raises(ValueError, match='differ in shape'):
    total.combine(WEIGHTS, answer=[1], calls=[1], compression=[1], content=[])
