"""TREC with its six coarse labels, see trec.py."""

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import trec

NAME = 'trec_coarse'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return trec.build(recipe, fine=False)
