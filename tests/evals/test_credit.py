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


def entry(uid, text):
  return structs.Entry(structs.Kind.SEMANTIC, uid, text, 0, 0, uid, 5)


def finished(kept, asked):
  """One rollout that stored `kept` and was asked {question: answer}."""
  questions = tuple(
    structs.Question(text, (answer,), 'a', 'exact')
    for text, answer in asked.items()
  )
  memories = base.Memories(
    [''], lambda queries: [[list(kept) for _ in row] for row in queries]
  )
  answers = lexical.Lexical()(memories, [list(asked)])
  marks = [score.of_answer(q, a) for q, a in zip(questions, answers[0])]
  return episode.Rollouts(
    instances=[structs.Instance('x', 'made', (), questions)],
    turns=[[]],
    stored=[],
    entries=[kept],
    cores=[''],
    memory_tokens=[15],
    chunk_tokens=[15],
    memories=memories,
    answers=answers,
    scores=[marks],
    history=[],
  )


FACT, TOWN = 'Bo is the uncle of Ann.', 'Oslo is the town of Bo.'
GUESSES = 'Maybe Cy is the uncle of Ann.', 'Perhaps Di is the uncle of Ann.'
UNCLE = 'What is the uncle of Ann?'


@pytest.mark.parametrize(
  'texts, wanted',
  [
    ((FACT,), [1]),
    ((FACT, FACT), [0.5, 0.5]),  # either would have done
    ((FACT, TOWN, FACT, FACT), [1 / 3, 0, 1 / 3, 1 / 3]),
    ((FACT, GUESSES[0]), [1, -1]),  # hidden, and still worth what it is alone
    ((GUESSES[0], FACT), [0, 1]),  # the guess hides nothing
    ((FACT, *GUESSES), [1, -0.5, -0.5]),
    ((FACT, GUESSES[0], FACT), [1, -1, 1]),  # each removal changes the answer
    (GUESSES, [0, 0]),
  ],
)
def test_gains_of_a_question(texts, wanted):
  kept = [entry(uid, text) for uid, text in enumerate(texts)]
  rollouts = finished(kept, {UNCLE: 'Bo'})
  (gains,) = credit.entry_gains(rollouts, lexical.Lexical())
  found = [gains.get((e.kind, e.uid), 0) for e in kept]
  assert found == pytest.approx(wanted)
  assert sum(found) == pytest.approx(rollouts.scores[0][0])


def test_gains_of_entries_hidden_or_not():
  kept = [entry(0, FACT), entry(1, GUESSES[0]), entry(2, TOWN)]
  rollouts = finished(kept, {UNCLE: 'Bo', 'What is the town of Bo?': 'Oslo'})
  assert rollouts.answers[0][0].text == 'Maybe Cy'
  reader = lexical.Lexical()
  (gains,) = credit.entry_gains(rollouts, reader)
  # The guess hides the fact, which earns what it would earn alone.
  keys = [(structs.Kind.SEMANTIC, uid) for uid in range(3)]
  assert gains == dict(zip(keys, (0.5, -0.5, 0.5)))
  assert sum(gains.values()) == np.mean(score.answers(rollouts, 0))
  (once,) = credit.entry_gains(rollouts, reader, depth=1)
  assert keys[0] not in once
