"""r2: share of calls that succeeded, by rule."""

import dataclasses

import pytest

from mem_alpha import structs
from mem_alpha.rewards import calls

S, A = structs.Status, structs.Action


def reward(statuses, *, done=False, rules=calls.DEFAULT, **call):
  made = [structs.Call(A.INSERT, **call) for _ in statuses]
  return calls.reward(made, statuses, done=done, rules=rules)


@pytest.mark.parametrize(
  'statuses, done, expected',
  [
    ([S.OK, S.OK], False, 1),
    ([S.OK, S.DUPLICATE, S.OK, S.TRUNCATED], False, 0.5),
    ([S.OK, S.NONE, S.NONE], False, 1),  # padding is no call
    ([], True, 1),
    ([S.NONE], True, 1),
    ([], False, 0),
    ([S.NONE], False, 0),
    ([S.INVALID], False, 0),
  ],
)
def test_reward_by_hand(statuses, done, expected):
  assert reward(statuses, done=done) == expected


@pytest.mark.parametrize('status', [s for s in S if s not in (S.OK, S.NONE)])
def test_every_other_status_is_a_failure(status):
  assert reward([S.OK, status]) == 0.5


@pytest.mark.parametrize(
  'change, action, status, fixed, switched',
  [
    (dict(unknown_delete=True), A.DELETE, S.UNKNOWN_ID, 0.5, 1),
    (dict(unknown_delete=True), A.UPDATE, S.UNKNOWN_ID, 0.5, 0.5),
    (dict(truncated=True), A.NONE, S.TRUNCATED, 0.5, 1),
    (dict(skipped='left_out'), A.INSERT, S.DUPLICATE, 0.5, 1),
    (dict(skipped='published'), A.INSERT, S.DUPLICATE, 0.5, 0.5),
  ],
)
def test_each_switch_changes_what_it_names(
  change, action, status, fixed, switched
):
  made = [structs.Call(A.INSERT), structs.Call(action)]
  rules = dataclasses.replace(calls.DEFAULT, **change)
  assert calls.reward(made, [S.OK, status], done=False) == fixed
  assert calls.reward(made, [S.OK, status], done=False, rules=rules) == switched


def test_a_turn_of_skipped_calls_alone_is_as_good_as_done():
  rules = calls.Rules(skipped='left_out', done=0.75)
  assert reward([S.DUPLICATE, S.NONE], rules=rules) == 0.75
  assert reward([S.NONE], rules=rules) == 0


def test_the_published_rules():
  assert reward([], done=True, rules=calls.PUBLISHED) == 0
  assert reward([S.TRUNCATED], rules=calls.PUBLISHED) == 1
  # A content can forge the mark that the published test looks for.
  forged = "was 'status': 'skipped'"
  assert reward([S.OK], rules=calls.PUBLISHED, content=forged) == 0
  assert reward([S.OK], content=forged) == 1


def test_counts_add_up_over_turns():
  turns = [[S.OK, S.FULL], [], [S.NONE, S.OK]]
  assert calls.count(turns) == (2, 3)


def test_an_unknown_treatment_is_named():
  with pytest.raises(ValueError, match="cannot be 'ignored': use one of"):
    calls.Rules(skipped='ignored')
