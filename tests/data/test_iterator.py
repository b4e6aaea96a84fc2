"""The order of training data: seeded, complete, resumable."""

import collections

import pytest

from mem_alpha import structs
from mem_alpha.data import iterator


def make(count, seed, **options):
  instances = [
    structs.Instance(
      str(i),
      'odd' if i % 2 else 'even',
      (),
      tuple(structs.Question(f'{n}?', ('a',), 'k', 'exact') for n in range(10)),
    )
    for i in range(count)
  ]
  return iterator.Iterator(instances, seed, **options)


def ids(batch):
  return [instance.instance_id for instance in batch]


def test_every_epoch_has_each_instance_once_in_a_new_order():
  data = make(20, seed=0)
  epochs = [ids(data.batch(epoch * 20, 20)) for epoch in range(3)]
  for epoch in epochs:
    assert sorted(epoch, key=int) == [str(i) for i in range(20)]
  assert len({tuple(epoch) for epoch in epochs}) == 3


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'weights': {'odd': 1.5, 'even': 0.3}, 'question_share': 0.3},
    {'lengths': [5, 1, 9, 9, 2, 3, 1], 'curriculum': 2},
  ],
)
def test_reading_on_from_a_position_equals_an_unbroken_run(options):
  unbroken = make(7, seed=3, **options).batch(0, 50)
  resumed = make(7, seed=3, **options)  # a new process knows the position only
  parts = [resumed.batch(position, 5) for position in range(20, 50, 5)]
  assert sum(parts, []) == unbroken[20:]


def test_seeds_differ():
  assert ids(make(20, 0).batch(0, 20)) != ids(make(20, 1).batch(0, 20))


def test_the_order_is_the_same_on_every_machine():
  # A golden order: checkpoints of old runs must resume with the same data.
  assert ids(make(8, seed=0).batch(0, 8)) == list('02146735')


def test_weights_say_how_often_a_source_comes_in_an_epoch():
  data = make(20, seed=0, weights={'odd': 2.5, 'even': 0.2})
  size = 10 * 2 + 5 + 2
  drawn = []
  for epoch in range(2):
    counts = collections.Counter(ids(data.batch(epoch * size, size)))
    odd = [counts[str(i)] for i in range(1, 20, 2)]
    assert sorted(odd) == [2] * 5 + [3] * 5
    even = [counts[str(i)] for i in range(0, 20, 2)]
    assert sorted(even) == [0] * 8 + [1] * 2
    drawn.append(tuple(odd + even))
  assert drawn[0] != drawn[1]  # what is drawn differs from epoch to epoch


def test_a_curriculum_begins_with_short_instances():
  lengths = [(i * 7) % 20 for i in range(20)]
  data = make(20, seed=1, lengths=lengths, curriculum=1)

  def bands(epoch):
    return [lengths[int(i)] // 5 for i in ids(data.batch(epoch * 20, 20))]

  assert bands(0) == sorted(bands(0)) and set(bands(0)) == {0, 1, 2, 3}
  assert bands(1) != sorted(bands(1))
  first = [lengths[int(i)] for i in ids(data.batch(0, 5))]
  assert first != sorted(first)  # shuffled within a band


def test_a_share_of_the_questions_is_drawn_anew_each_time():
  data = make(3, seed=0, question_share=0.3)
  drawn = [data.batch(position, 1)[0] for position in range(12)]
  assert all(len(instance.questions) == 3 for instance in drawn)
  assert len({instance.questions for instance in drawn}) > 6
  assert len(make(3, 0, question_share=0.01).batch(0, 1)[0].questions) == 1


@pytest.mark.parametrize('processes', [1, 3, 4])
def test_processes_share_a_batch(processes):
  data = make(9, seed=0)
  parts = [
    data.batch(5, 8, process=p, processes=processes) for p in range(processes)
  ]
  assert sum(parts, []) == data.batch(5, 8)
  assert max(map(len, parts)) - min(map(len, parts)) <= 1
  with pytest.raises(ValueError, match='is none of'):
    data.batch(0, 8, process=processes, processes=processes)


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match='no instance'):
    make(0, 0)
  with pytest.raises(ValueError, match='Position -1'):
    make(2, 0).batch(-1, 1)
  with pytest.raises(ValueError, match='needs the length'):
    make(2, 0, curriculum=1)
  with pytest.raises(ValueError, match='All weights are 0'):
    make(2, 0, weights={'odd': 0, 'even': 0})
