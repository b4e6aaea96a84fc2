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
  return ruler.build(recipe, source=NAME, items=items, filler=list(documents))
