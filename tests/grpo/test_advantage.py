import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mem_alpha.grpo import advantage


def index_arrays(instances, rollouts, chunks):
  grid = itertools.product(range(instances), range(rollouts), range(chunks))
  instance_B, rollout_B, chunk_B = np.array(list(grid)).T
  return dict(instance_B=instance_B, rollout_B=rollout_B, chunk_B=chunk_B)


def test_two_groups_by_hand():
  adv_B = advantage.group_relative(
    jnp.array([1.0, 2.0, 3.0, 5.0, 9.0]),
    jnp.array([0, 0, 0, 1, 1]),
    jnp.ones(5),
    num_groups=2,
  )
  half = 2 / np.sqrt(8)  # deviation of (5, 9) with ddof 1
  np.testing.assert_allclose(adv_B, [-1, 0, 1, -half, half], atol=2e-6)


def test_matches_numpy_on_interleaved_groups():
  rng = np.random.default_rng(0)
  reward_B = rng.normal(size=40).astype(np.float32)
  group_B = rng.integers(0, 7, 40)
  for std in (True, False):
    adv_B = advantage.group_relative(
      reward_B, group_B, np.ones(40), num_groups=40, std=std
    )
    for group in np.unique(group_B):
      mine = reward_B[group_B == group]
      scale = mine.std(ddof=1) + 1e-6 if std and len(mine) > 1 else 1
      want = (mine - mine.mean()) / scale
      np.testing.assert_allclose(adv_B[group_B == group], want, atol=1e-5)


@pytest.mark.parametrize('std', [True, False])
@pytest.mark.parametrize('by', advantage.GROUPINGS)
def test_equal_rewards_have_exactly_zero_advantage(by, std):
  index = index_arrays(instances=3, rollouts=7, chunks=3)
  reward_B = np.float32([0.1, 1 / 3, 1e6])[index['instance_B']]
  weight_B = np.ones(63)
  weight_B[::5] = 0  # rollouts of different lengths
  adv_B = advantage.of_turns(reward_B, weight_B, by=by, std=std, **index)
  np.testing.assert_array_equal(adv_B, 0)


def test_group_of_one_is_zero():
  adv_B = advantage.group_relative(
    jnp.array([3.7, 1.0]), jnp.array([0, 1]), jnp.ones(2), num_groups=2
  )
  np.testing.assert_array_equal(adv_B, 0)


@pytest.mark.parametrize('by', advantage.GROUPINGS)
def test_padding_rows_change_nothing(by):
  rng = np.random.default_rng(1)
  index = index_arrays(instances=2, rollouts=4, chunks=3)
  reward_B = rng.normal(size=24).astype(np.float32)
  plain_B = advantage.of_turns(reward_B, np.ones(24), by=by, **index)
  padded = {k: np.append(v, [0, 1, 0]) for k, v in index.items()}
  padded_B = advantage.of_turns(
    np.append(reward_B, [np.nan, 1e30, -np.inf]),
    np.append(np.ones(24), np.zeros(3)),
    by=by,
    **padded,
  )
  np.testing.assert_array_equal(padded_B[:24], plain_B)
  np.testing.assert_array_equal(padded_B[24:], 0)


def test_groupings_compare_the_right_turns():
  index = index_arrays(instances=2, rollouts=3, chunks=4)
  sizes = {'chunk': (8, 3), 'instance': (2, 12), 'rollout': (2, 12)}
  for by, (groups, size) in sizes.items():
    group_B = advantage.group_ids(by=by, **index)
    assert np.bincount(group_B).tolist() == [size] * groups
    for i, j in itertools.combinations(range(24), 2):
      same = index['instance_B'][i] == index['instance_B'][j]
      if by == 'chunk':
        same &= index['chunk_B'][i] == index['chunk_B'][j]
      assert (group_B[i] == group_B[j]) == same


def test_rollouts_count_once_whatever_their_length():
  # Means 1, 2 and 6: deviation sqrt(7) around 3. Lengths 3, 1 and 2.
  reward_B = np.float32([0, 1, 2, 2, 5, 7])
  rollout_B = np.array([0, 0, 0, 1, 2, 2])
  adv_B = advantage.of_turns(
    reward_B,
    np.ones(6),
    by='rollout',
    instance_B=np.zeros(6, int),
    rollout_B=rollout_B,
    chunk_B=np.array([0, 1, 2, 0, 0, 1]),
  )
  want = (np.array([1, 2, 6])[rollout_B] - 3) / np.sqrt(7)
  np.testing.assert_allclose(adv_B, want, atol=1e-5)


def test_works_under_jit():
  relative = jax.jit(
    advantage.group_relative, static_argnames=('num_groups', 'std')
  )
  args = jnp.array([1.0, 4.0]), jnp.array([0, 0]), jnp.ones(2)
  np.testing.assert_allclose(
    relative(*args, num_groups=1, std=False), [-1.5, 1.5]
  )


def test_unknown_grouping_is_an_error():
  with pytest.raises(ValueError, match='no grouping is called .turn.'):
    advantage.group_ids(by='turn', **index_arrays(1, 1, 1))


def test_advantage_of_decisions_by_hand():
  # Two groups: centred on 1 and 0.5; the scale is that of both together.
  adv_U = advantage.of_decisions([3, 1, -1, 0.5, 0.5], [7, 7, 7, 2, 2])
  scale = np.sqrt((4 + 0 + 4) / 5)
  np.testing.assert_allclose(
    adv_U, np.array([2, 0, -2, 0, 0]) / scale, rtol=1e-5
  )


def test_decisions_of_equal_worth_earn_exactly_nothing():
  # Groups may be rows of ids; 0.1 + 0.2 has no exact mean in binary.
  adv_U = advantage.of_decisions([0.3] * 3 + [0.1], [[0, 1]] * 3 + [[1, 0]])
  np.testing.assert_array_equal(adv_U, 0)
  assert advantage.of_decisions([], np.zeros((0, 2))).shape == (0,)


def test_a_decision_that_decided_much_is_bounded():
  credit_U, group_U = np.zeros(200), np.repeat(np.arange(100), 2)
  credit_U[0] = 1
  adv_U = advantage.of_decisions(credit_U, group_U)
  np.testing.assert_array_equal(adv_U[:2], [4, -4])


def test_advantages_of_decisions_sum_to_zero_in_each_group():
  rng = np.random.default_rng(0)
  credit_U, group_U = rng.normal(size=60), rng.integers(0, 5, 60)
  adv_U = advantage.of_decisions(credit_U, group_U)
  np.testing.assert_allclose(np.bincount(group_U, adv_U), 0, atol=1e-5)
  np.testing.assert_allclose(np.square(adv_U).mean(), 1, rtol=1e-4)
  # Units do not matter, nor does what is added to a whole group.
  other_U = advantage.of_decisions(1000 * credit_U + group_U, group_U)
  np.testing.assert_allclose(other_U, adv_U, atol=1e-4)


def test_groups_of_equal_rewards_can_be_left_out():
  reward_B = np.float32([1, 1, 1, 0, 2, 1])  # the second group's mean is 1
  group_B = np.array([0, 0, 0, 1, 1, 1])
  adv_B = advantage.group_relative(reward_B, group_B, np.ones(6), num_groups=6)
  kept_B = advantage.in_varied_groups(adv_B, group_B)
  # The turn that is exactly average stays: its group has something to learn.
  np.testing.assert_array_equal(kept_B, [0, 0, 0, 1, 1, 1])
  assert not len(advantage.in_varied_groups(adv_B[:0], group_B[:0]))
