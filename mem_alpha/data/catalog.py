"""The sources by name. A new one is a file of `sources/` and a line here."""

from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import banking77
from mem_alpha.data.sources import booksum
from mem_alpha.data.sources import clinc150
from mem_alpha.data.sources import conflict
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import infbench_sum
from mem_alpha.data.sources import locomo
from mem_alpha.data.sources import longmemeval
from mem_alpha.data.sources import nlu
from mem_alpha.data.sources import perltqa
from mem_alpha.data.sources import pubmed_rct
from mem_alpha.data.sources import pubmed_structured
from mem_alpha.data.sources import ruler_qa1
from mem_alpha.data.sources import ruler_qa2
from mem_alpha.data.sources import squad
from mem_alpha.data.sources import trec_coarse
from mem_alpha.data.sources import trec_fine

SOURCES = {
  module.NAME: module
  for module in (
    squad,
    hotpotqa,
    booksum,
    pubmed_rct,
    pubmed_structured,
    perltqa,
    nlu,
    trec_coarse,
    trec_fine,
    banking77,
    clinc150,
    longmemeval,
    ruler_qa1,
    ruler_qa2,
    infbench_sum,
    locomo,
    conflict,
  )
}
# Benchmarks that can say all that they may ask and show.
WHOLE = tuple(n for n, module in SOURCES.items() if hasattr(module, 'whole'))


def build(name: str, recipe: recipes.Recipe) -> list[structs.Instance]:
  """The instances of a source; ids are unique, the order is reproducible."""
  return SOURCES[name].build(recipe)
