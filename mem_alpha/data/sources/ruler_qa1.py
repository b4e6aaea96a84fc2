"""RULER-QA1 of MemoryAgentBench: SQuAD 2.0, one paragraph per question.

Read from `$root/squad/dev-v2.0.json`; questions without answer are left out.
"""

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import passages
from mem_alpha.data.sources import ruler
from mem_alpha.data.sources import squad

NAME = 'ruler_qa1'
FILE = 'squad/dev-v2.0.json'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  """One instance; the published one has 197k tokens."""
  items, documents = _read(recipe)
  return ruler.build(recipe, source=NAME, items=items, filler=documents)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the benchmark may ask and show."""
  return ruler.whole(NAME, *_read(recipe))


def _read(recipe) -> tuple[list[passages.Item], list[str]]:
  items = [i for items in squad.read(recipe, FILE).values() for i in items]
  asked = [passages.renamed(item, NAME, 'substring') for item in items]
  return asked, [passage for item in items for passage in item.passages]
