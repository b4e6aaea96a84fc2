"""RULER-QA2 of MemoryAgentBench: HotpotQA, two articles per question.

Read from `$root/hotpotqa/dev_first500_part.jsonl`; the distractors of its rows
are the other documents.
"""

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import passages
from mem_alpha.data.sources import ruler

NAME = 'ruler_qa2'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  """One instance; the published one has 421k tokens."""
  items, documents = _read(recipe)
  return ruler.build(recipe, source=NAME, items=items, filler=documents)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the benchmark may ask and show."""
  return ruler.whole(NAME, *_read(recipe))


def _read(recipe) -> tuple[list[passages.Item], list[str]]:
  rows = hotpotqa.read(recipe, hotpotqa.EVALUATION_FILE)

  def shown(row, title):
    return f'{title}\n{row.articles[title]}'

  items = [
    passages.Item(
      row.name,
      tuple(shown(row, title) for title in row.evidence),
      (structs.Question(row.question, (row.answer,), NAME, 'substring'),),
    )
    for row in rows
  ]
  documents = dict.fromkeys(shown(r, t) for r in rows for t in r.articles)
  return items, list(documents)
