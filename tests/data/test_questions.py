"""Which questions are asked, and what is written down of the others."""

import pytest

from mem_alpha import structs
from mem_alpha.data import questions


def question(text='Who?', *answers):
  return structs.Question(text, answers or ('Ada',), 'toy', 'exact')


@pytest.mark.parametrize(
  'asked, reason',
  [
    (question(), ''),
    (question('Who?', 'ADA'), ''),
    (question('Who?', 'Bo', 'Ada'), ''),
    (question(' '), 'empty question'),
    (question('Who?', ' '), 'question without answer'),
    (question('Who?', 'Ada went home now'), 'answer of more than 3 tokens'),
    (question('Who?', 'Bo'), 'answer is not in the text'),
    (question('Did she?', 'Yes'), 'answer is not in the text'),
  ],
)
def test_reasons(asked, reason, recipe_of):
  recipe = recipe_of(max_answer_tokens=3)
  assert questions.usable(asked, recipe, text='Then Ada left.') == reason


def test_benchmarks_may_ask_for_yes_and_no(recipe_of):
  asked = question('Did she?', 'Yes')
  assert not questions.usable(asked, recipe_of(), text='x', yes_no=True)


def test_too_many_are_sampled_and_too_few_leave_nothing(recipe_of):
  some = [question(f'{n}?') for n in range(10)]
  recipe = recipe_of(max_questions=4, min_questions=3)
  options = dict(source='toy', instance_id='x')
  chosen = questions.choose(some, recipe, **options)
  assert len(chosen) == 4 and list(chosen) == sorted(chosen, key=some.index)
  assert len(recipe.log.entries) == 6
  assert questions.choose(some[:2], recipe, **options) == ()
  assert recipe.log.entries[-1].reason == 'fewer than 3 questions'


def test_a_model_that_knows_the_answer_is_noticed(recipe_of):
  said = ['It was Ada, I think.', 'Adam.', 'I do not know.']
  recipe = recipe_of(ask=lambda prompts: said[: len(prompts)])
  some = [question(f'{n}?') for n in range(3)]
  options = dict(source='toy', instance_id='x', closed_book=True)
  assert questions.choose(some, recipe, **options) == tuple(some[1:])
