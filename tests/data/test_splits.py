"""Splits depend on names alone."""

import collections

import pytest

from mem_alpha.data import splits


def test_shares_are_kept_and_stable():
  names = [f'title {n}' for n in range(2000)]
  counts = collections.Counter(map(splits.of, names))
  assert abs(counts['train'] - 1600) < 80
  assert abs(counts['test'] - 200) < 50 and abs(counts['validation'] - 200) < 50
  assert {splits.of(name, test=0) for name in names} == {'train', 'validation'}
  # Golden: a group must never move to another split.
  assert [splits.of(name) for name in names[:6]] == GOLDEN


GOLDEN = ['train', 'train', 'train', 'test', 'train', 'train']


def test_an_unknown_split_is_named():
  with pytest.raises(ValueError, match="No split 'dev'"):
    splits.check('dev')


def test_samples_keep_their_order():
  items = list(range(100))
  some = splits.sample(items, 10, 'k')
  assert some == sorted(some) and len(set(some)) == 10
  assert some == splits.sample(items, 10, 'k') != splits.sample(items, 10, 'j')
  assert splits.sample(items[:5], 10, 'k') == items[:5]
  assert sorted(splits.shuffled(items, 'k')) == items
