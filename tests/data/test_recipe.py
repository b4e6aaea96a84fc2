"""What a recipe refuses, and which rows belong to it."""

import itertools
import random

import pytest

from mem_alpha.data import chunking
from mem_alpha.data import splits


@pytest.mark.parametrize(
  'options, words',
  [
    ({'split': 'dev'}, "No split 'dev'"),
    ({'chunk_tokens': 0}, 'chunk_tokens is 0'),
    ({'tokens': -5}, 'tokens is -5'),
    ({'min_chunk_tokens': 61}, 'min_chunk_tokens=61 is more than'),
  ],
)
def test_what_cannot_work_is_named(options, words, recipe_of):
  with pytest.raises(ValueError, match=words):
    recipe_of(**options)


def test_every_group_is_in_one_split(recipe_of):
  names = [f'g{n}' for n in range(300)]
  for benchmark in (None, True, False):
    held = [
      [n for n in names if recipe_of(s).holds(n, benchmark=benchmark)]
      for s in splits.NAMES
    ]
    assert sorted(sum(held, [])) == sorted(names)
    assert bool(held[2]) == (benchmark is not False)
    assert bool(held[0]) == (benchmark is not True)


def test_the_published_validation_is_its_test(recipe_of):
  names = [f'g{n}' for n in range(300)]
  train, validation, test = (
    {n for n in names if recipe_of(s, published=True).holds(n, benchmark=True)}
    for s in splits.NAMES
  )
  assert validation == test and not train & test and len(train | test) == 300


def test_targets_are_drawn_between_the_sizes(recipe_of):
  recipe = recipe_of(min_chunk_tokens=10, chunks=50)
  drawn = list(recipe.targets(random.Random(0)))
  assert len(drawn) == 50 and min(drawn) >= 10 and max(drawn) <= 60
  assert len(set(drawn)) > 20
  endless = recipe_of(tokens=9).targets(random.Random(0))
  assert list(itertools.islice(endless, 99)) == [60] * 99


def test_a_length_is_reached_by_trying(recipe_of):
  asked = []

  def fill(room):
    asked.append(room)
    return [chunking.Chunk('', (), round(1.7 * room))], 'rest'

  chunks, rest = recipe_of(tokens=10_000).reach(fill, 10_000)
  assert rest == 'rest' and abs(chunks[0].tokens - 10_000) <= 100
  assert len(asked) == 2
  recipe_of().reach(fill, 77)
  assert asked[2:] == [77]


def test_a_text_is_counted_once(recipe_of):
  counted = []
  recipe = recipe_of(count_tokens=lambda text: counted.append(text) or 3)
  assert [recipe.size('a'), recipe.size('a'), recipe.size('b')] == [3, 3, 3]
  assert counted == ['a', 'b']
