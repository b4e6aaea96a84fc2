"""MemoryAgentBench's lists, present or absent, good or bad."""

import pytest

from mem_alpha.data import benchmark


def row(n, **more):
  return {
    'source': 'ruler_qa1_9K',
    'instance_id': 'ruler#0',
    'qa_pair_id': f'no{n}',
    'prompt': f' Question {n}? ',
    'golds': [n],
    **more,
  }


def test_rows_are_read_by_task_and_bad_ones_written_down(put, recipe_of):
  rows = [
    row(0),
    row(1, source='icl_nlu'),
    row(0),
    row(0, instance_id='ruler#1'),
    row(2, golds=['']),
  ]
  put(benchmark.QUESTIONS, rows, lines=True)
  recipe = recipe_of()
  found = benchmark.listed(recipe, 'ruler_qa1')
  assert [(q.name, q.text, q.golds) for q in found] == [
    ('ruler#0/no0', 'Question 0?', ('0',)),
    ('ruler#1/no0', 'Question 0?', ('0',)),
  ]
  assert recipe.log.counts() == {
    'memoryagentbench: left out: duplicate id': 1,
    'memoryagentbench: left out: question without answer': 1,
  }
  assert len(benchmark.listed(recipe)) == 3


def test_both_files_are_optional(recipe_of):
  assert benchmark.listed(recipe_of()) == []
  assert benchmark.label_numbers(recipe_of(), 'icl') == {}


def test_labels_have_numbers(put, recipe_of):
  put(benchmark.LABEL_MAPS, {'icl_nlu_9': {'7': 'a'}, 'icl_trec_9': {'1': 'b'}})
  assert benchmark.label_numbers(recipe_of(), 'icl_nlu') == {'a': 7}


def test_a_bad_row_is_named(put, recipe_of):
  put(benchmark.QUESTIONS, [row(0), {'source': 'x'}], lines=True)
  with pytest.raises(ValueError, match='line 2 lacks qa_pair_id, source'):
    benchmark.listed(recipe_of())


def test_bad_label_maps_are_named(put, recipe_of):
  for bad in ({'icl_x': ['a']}, ['a'], {'icl_x': {'one': 'a'}}):
    put(benchmark.LABEL_MAPS, bad)
    with pytest.raises(ValueError, match='are not objects of number and label'):
      benchmark.label_numbers(recipe_of(), 'icl')


def test_each_copy_of_a_row_is_written_down(put, recipe_of):
  put(benchmark.QUESTIONS, [row(0)] * 4, lines=True)
  recipe = recipe_of()
  benchmark.listed(recipe)
  assert recipe.log.counts() == {'memoryagentbench: left out: duplicate id': 3}
