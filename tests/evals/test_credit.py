"""Credit of calls and decisions; whole rollouts are in rollout/test_episode."""

import types

import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.evals import credit
from mem_alpha.evals import score
from mem_alpha.readers import base
from mem_alpha.readers import lexical
from mem_alpha.rollout import episode


def turn(row, chunk, token_subjects, call_subjects, passed=()):
  return types.SimpleNamespace(
    row=row,
    chunk=chunk,
    token_subjects=token_subjects,
    call_subjects=call_subjects,
    passed=passed,
  )


def test_credit_of_core_is_what_each_call_changed():
  credits = credit.of_core([(0, 0), (1, 0), (1, 2), (3, 0)], [0.5, 0.5, 1, 0])
  assert credits == {(0, 0): 0.5, (1, 0): 0, (1, 2): 0.5, (3, 0): -1}
  assert credit.of_core([], []) == {}


def test_a_decision_is_what_was_done_with_a_line():
  turns = [
    turn(0, 0, [1, 1, 2, 2, 2, 0], [2, 2]),  # skips 1, two calls on 2
    turn(1, 0, [1, 1, 2, 0], [1], [2]),  # says Done instead of 2
    turn(2, 0, [0, 0], [0]),  # another instance, no numbers
  ]
  worth_U, group_U3, units = credit.decisions(
    turns, [[0.25, -0.5], [0.125], [1.0]], rollouts=2, fault=0.25
  )
  found = [
    (tuple(group), worth) for group, worth in zip(group_U3.tolist(), worth_U)
  ]
  assert found == [
    ((0, 0, 1), 0.0),
    ((0, 0, 2), -0.25),
    ((0, 0, 0), 0.0),
    ((0, 0, 1), 0.125),
    ((0, 0, 2), -0.25),
    ((0, 0, 0), 0.0),
    ((1, 0, 0), 1.0),
  ]
  for t, unit_N in zip(turns, units):
    np.testing.assert_array_equal(group_U3[unit_N, 2], t.token_subjects)
  assert worth_U.sum() == pytest.approx(0.25 - 0.5 + 0.125 - 0.25 + 1)


def test_gains_of_entries_hidden_or_not():
  def entry(uid, text):
    return structs.Entry(structs.Kind.SEMANTIC, uid, text, 0, 0, uid, 5)

  kept = [
    entry(0, 'Bo is the uncle of Ann.'),
    entry(1, 'Maybe Cy is the uncle of Ann.'),
    entry(2, 'Oslo is the town of Bo.'),
  ]
  questions = tuple(
    structs.Question(text, (answer,), 'a', 'exact')
    for text, answer in (
      ('What is the uncle of Ann?', 'Bo'),
      ('What is the town of Bo?', 'Oslo'),
    )
  )
  memories = base.Memories(
    [''], lambda queries: [[list(kept) for _ in row] for row in queries]
  )
  reader = lexical.Lexical()
  rollouts = episode.Rollouts(
    instances=[structs.Instance('x', 'made', (), questions)],
    turns=[[]],
    entries=[kept],
    cores=[''],
    memory_tokens=[15],
    chunk_tokens=[15],
    memories=memories,
    answers=reader(memories, [[q.text for q in questions]]),
    scores=[[0.0, 1.0]],
    history=[],
  )
  assert rollouts.answers[0][0].text == 'Maybe Cy'
  (gains,) = credit.entry_gains(rollouts, reader)
  # The guess hides the fact, which earns what it would earn alone.
  keys = [(structs.Kind.SEMANTIC, uid) for uid in range(3)]
  assert gains == dict(zip(keys, (0.5, -0.5, 0.5)))
  assert sum(gains.values()) == np.mean(score.answers(rollouts, 0))
  (once,) = credit.entry_gains(rollouts, reader, depth=1)
  assert keys[0] not in once
