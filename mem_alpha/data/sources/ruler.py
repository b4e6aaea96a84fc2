"""RULER-QA as in MemoryAgentBench: many documents, questions about a few.

All documents of the source are shuffled, numbered and shown; the questions are
those that the benchmark lists, as far as their document is present, and then
others in the order of the file. What is listed but missing is reported.
"""

import dataclasses
import html
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import passages


def build(
  recipe: recipes.Recipe,
  *,
  source: str,
  items: Sequence[passages.Item],
  filler: Sequence[str],
) -> list[structs.Instance]:
  """One instance of `tokens` tokens, or as many as its chunks hold."""
  if recipe.split != 'test':
    raise recipes.NoInstanceError(
      f'{source} is a benchmark: it has no {recipe.split} split.'
    )
  recipe = dataclasses.replace(
    recipe,
    tokens=recipe.budget,
    instances=recipe.instances or 1,
    max_answer_tokens=None,  # no question of a benchmark is filtered
  )
  return passages.build(
    _listed_first(recipe, source, items),
    recipe,
    source=source,
    mix=True,
    filler=filler,
    benchmark=True,
    frame=lambda number, text: f'Document {number + 1}:\n{text}',
  )


def whole(source: str, items, documents) -> structs.Instance:
  """All questions and documents, to compare with: a document is a chunk."""
  questions = tuple(q for item in items for q in item.questions)
  return structs.Instance(source, source, tuple(documents), questions)


def _listed_first(recipe, source, items) -> list[passages.Item]:
  """One item per question, so many as are asked, the listed ones first."""
  by_text = {}
  for item in items:
    for question in item.questions:
      single = dataclasses.replace(item, questions=(question,))
      by_text.setdefault(_key(question.text), single)
  chosen = []
  for question in benchmark.listed(recipe, source):
    if _key(question.text) in by_text:
      chosen.append(by_text.pop(_key(question.text)))
    else:
      recipe.leave_out(source, question.name, 'its document is not there')
  return (chosen + list(by_text.values()))[: recipe.max_questions]


def _key(text: str) -> str:
  return ' '.join(html.unescape(text).split())
