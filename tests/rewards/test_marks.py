"""Scores of whole batches: rules, judges, and what has no score."""

import pytest

from mem_alpha import structs
from mem_alpha.rewards import marks


def question(metric, text='?', answers=('Oslo',)):
  return structs.Question(text, answers, 'a', metric)


def test_rules_judges_and_failures_side_by_side():
  seen = []

  def judge(triples):
    seen.extend(triples)
    return [True, None, False]

  questions = [
    [question('exact'), question('judge', 'who?'), question('exact')],
    [],
    [question('judge', 'where?'), question('judge')],
  ]
  answers = [
    [
      structs.Answer('oslo'),
      structs.Answer('<think>x</think> Oslo it is'),
      structs.Answer('', failed='HTTP 500'),
    ],
    [],
    [structs.Answer('Rome'), structs.Answer(' ')],
  ]
  found = marks.Marker(judge=judge)(questions, answers)
  assert found == [[1.0, 1.0, None], [], [None, 0.0]]
  assert seen == [
    ('who?', ('Oslo',), ' Oslo it is'),
    ('where?', ('Oslo',), 'Rome'),
    ('?', ('Oslo',), 'unknown'),
  ]


@pytest.mark.parametrize('profile', ['default', 'reference'])
def test_a_judge_sees_that_an_answer_abstains(profile):
  judge = lambda triples: [said == 'unknown' for _, _, said in triples]  # noqa: E731
  asked = [question('judge', answers=('It was not mentioned.',))] * 2
  said = [structs.Answer(''), structs.Answer('<think>hm</think> ')]
  assert marks.Marker(profile, judge)([asked], [said]) == [[1.0, 1.0]]


def test_the_profile_reaches_the_scorers():
  questions, answers = [[question('boxed', answers=('tea',))]], None
  answers = [[structs.Answer('tea')]]
  assert marks.Marker()(questions, answers) == [[1.0]]
  assert marks.Marker('reference')(questions, answers) == [[0.0]]
  with pytest.raises(ValueError, match="reward.scores='old' is unknown"):
    marks.Marker('old')


def test_a_missing_judge_is_named():
  with pytest.raises(ValueError, match='there is none: set judge.name'):
    marks.Marker()([[question('judge')]], [[structs.Answer('x')]])


def test_replies_are_read_strictly_unless_published():
  assert marks.published_yes('default') is None
  assert marks.published_yes('reference')('Yes!')
