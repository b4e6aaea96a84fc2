"""TREC with its fifty fine labels, see trec.py."""

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels
from mem_alpha.data.sources import trec

NAME = 'trec_fine'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(trec.task(recipe, fine=True), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(trec.task(recipe, fine=True), recipe)
