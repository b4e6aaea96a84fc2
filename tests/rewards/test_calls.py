"""r2: share of calls that succeeded."""

import pytest

from mem_alpha import structs
from mem_alpha.rewards import calls

S = structs.Status


@pytest.mark.parametrize(
  'statuses, done, expected',
  [
    ([S.OK, S.OK], False, 1),
    ([S.OK, S.DUPLICATE, S.OK, S.TRUNCATED], False, 0.5),
    ([S.OK, S.NONE, S.NONE], False, 1),  # padding is no call
    ([], True, 1),
    ([S.NONE], True, 1),
    ([], False, 0),
    ([S.INVALID], False, 0),
  ],
)
def test_reward_by_hand(statuses, done, expected):
  assert calls.reward(statuses, done=done) == expected


@pytest.mark.parametrize('status', [s for s in S if s not in (S.OK, S.NONE)])
def test_every_other_status_is_a_failure(status):
  assert calls.reward([S.OK, status], done=False) == 0.5


def test_counts_add_up_over_turns():
  turns = [[S.OK, S.FULL], [], [S.NONE, S.OK]]
  assert calls.count(turns) == (2, 3)
