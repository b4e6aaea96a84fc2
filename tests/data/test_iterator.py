"""The order of training data: seeded, complete, resumable."""

import pytest

from mem_alpha import structs
from mem_alpha.data import iterator


def make(count, seed):
  instances = [structs.Instance(str(i), 's', (), ()) for i in range(count)]
  return iterator.Iterator(instances, seed)


def ids(batch):
  return [instance.instance_id for instance in batch]


def test_every_epoch_has_each_instance_once_in_a_new_order():
  data = make(20, seed=0)
  epochs = [ids(data.batch(epoch * 20, 20)) for epoch in range(3)]
  for epoch in epochs:
    assert sorted(epoch, key=int) == [str(i) for i in range(20)]
  assert len({tuple(epoch) for epoch in epochs}) == 3


def test_reading_on_from_a_position_equals_an_unbroken_run():
  unbroken = ids(make(7, seed=3).batch(0, 50))
  resumed = make(7, seed=3)  # a new process knows only the position
  parts = [ids(resumed.batch(position, 5)) for position in range(20, 50, 5)]
  assert sum(parts, []) == unbroken[20:]


def test_seeds_differ():
  assert ids(make(20, 0).batch(0, 20)) != ids(make(20, 1).batch(0, 20))


def test_the_order_is_the_same_on_every_machine():
  # A golden order: checkpoints of old runs must resume with the same data.
  assert ids(make(8, seed=0).batch(0, 8)) == list('02146735')


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match='no instance'):
    make(0, 0)
  with pytest.raises(ValueError, match='Position -1'):
    make(2, 0).batch(-1, 1)
