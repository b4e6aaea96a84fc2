"""Which questions are asked: the published filters, by rule or by a model.

The published set keeps short answers that a large model gets wrong without
the text. By rule that is: short answers that stand in the text (yes and no do
not, and a guess finds them half of the time). With `recipe.ask` the model is
asked too, and what it knows anyway is left out.
"""

import re
from collections.abc import Iterable, Sequence

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits

_WORDS = re.compile(r'\w+')


def usable(
  question: structs.Question,
  recipe: recipes.Recipe,
  *,
  text: str,
  yes_no: bool = False,
) -> str:
  """Why a question cannot be asked of a text; '' if it can.

  `yes_no` lets through questions that are answered so, as benchmarks ask them.
  """
  if not question.text.strip():
    return 'empty question'
  if not any(answer.strip() for answer in question.answers):
    return 'question without answer'
  most = recipe.max_answer_tokens
  if most and recipe.count_tokens(question.answers[0]) > most:
    return f'answer of more than {most} tokens'
  if not (yes_no and is_yes_no(question)) and not occurs(
    question, [text.lower()]
  ):
    return 'answer is not in the text'
  return ''


def is_yes_no(question: structs.Question) -> bool:
  return question.answers[0].lower() in ('yes', 'no')


def occurs(question: structs.Question, lowered: Iterable[str]) -> bool:
  """Whether an accepted answer stands in one of the lower-case texts."""
  golds = [a.strip().lower() for a in question.answers if a.strip()]
  return any(gold in text for text in lowered for gold in golds)


def unique(
  questions: Iterable[structs.Question],
  recipe: recipes.Recipe,
  *,
  source: str,
  place: str,
) -> list[structs.Question]:
  """The questions, each once."""
  found = {}
  for number, question in enumerate(questions):
    if question in found:
      name = f'{place}, question {number}: {question.text}'
      recipe.leave_out(source, name, 'duplicate question')
    found[question] = None
  return list(found)


def choose(
  questions: Sequence[structs.Question],
  recipe: recipes.Recipe,
  *,
  source: str,
  instance_id: str,
  closed_book: bool = False,
) -> tuple[structs.Question, ...]:
  """At most `max_questions`; () where fewer than `min_questions` are left.

  With `closed_book` and a model at hand, only of those that it cannot answer
  without the text. A question that comes again is left out.
  """
  questions = unique(questions, recipe, source=source, place=instance_id)

  def left_out(some: set[structs.Question], reason: str) -> None:
    for number, question in enumerate(questions):
      if question in some:
        place = f'{instance_id}, question {number}: {question.text}'
        recipe.leave_out(source, place, reason)

  if closed_book and recipe.ask and questions:
    answers = recipe.ask([question.text for question in questions])
    known = {q for a, q in zip(answers, questions, strict=True) if _said(a, q)}
    left_out(known, 'the model knows the answer')
  else:
    known = set()
  asked = [question for question in questions if question not in known]
  chosen = splits.sample(asked, recipe.max_questions, instance_id)
  if len(chosen) < recipe.min_questions:
    recipe.leave_out(
      source, instance_id, f'fewer than {recipe.min_questions} questions'
    )
    return ()
  left_out(
    set(asked).difference(chosen), f'more than {recipe.max_questions} questions'
  )
  return tuple(chosen)


def _said(answer: str, question: structs.Question) -> bool:
  said = f' {" ".join(_WORDS.findall(answer.lower()))} '
  golds = (' '.join(_WORDS.findall(a.lower())) for a in question.answers)
  return any(gold and f' {gold} ' in said for gold in golds)
