"""What a baseline is: instances in, memories out; all else is as for agents.

A baseline turns the chunks of an instance into entries, without seeing a
question, and says which of them a question finds. The same reader reads them,
the same scorers score. Its entries have no kind of their own: all are semantic,
and core is empty, so the lexical reader, which answers what something was all
about from core alone, says nothing there.
"""

import dataclasses
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading

Count = Callable[[str], int]  # tokens of a text, by the run's tokenizer


@dataclasses.dataclass(frozen=True)
class Kept:
  """What a baseline holds after the last chunk of each instance."""

  entries: list[list[structs.Entry]]  # per instance, oldest first
  search: Callable[[base.Queries], base.Hits]


Baseline = Callable[[Sequence[structs.Instance]], Kept]


def start(
  baseline: Baseline,
  instances: Sequence[structs.Instance],
  panel: reading.Panel,
  *,
  count: Count,
) -> Callable[[], episode.Rollouts]:
  """As `episode.Runner.start`: what it returns waits for the answers."""
  kept = baseline(instances)
  memories = base.Memories([''] * len(instances), kept.search)
  asked = reading.Reading(panel)
  asked.read(memories, list(enumerate(instances)))

  def finish() -> episode.Rollouts:
    read = asked.results(len(instances))
    return episode.Rollouts(
      instances=list(instances),
      turns=[[] for _ in instances],
      stored=[],
      entries=kept.entries,
      cores=list(memories.cores),
      memory_tokens=[sum(e.tokens for e in row) for row in kept.entries],
      chunk_tokens=[sum(map(count, i.chunks)) for i in instances],
      memories=memories,
      answers=[r.answers for r in read],
      scores=[r.scores for r in read],
      history=[],
    )

  return finish


def entry(text: str, chunk: int, order: int, count: Count) -> structs.Entry:
  """A piece of text, first and last written at `chunk`."""
  return structs.Entry(
    structs.Kind.SEMANTIC, order, text, chunk, chunk, order, count(text)
  )


def show_all(entries: Sequence[Sequence[structs.Entry]]) -> base.Hits:
  """A search that finds everything, the newest first, whatever is asked.

  A reader with too little room for all leaves out the oldest.
  """

  def search(queries: base.Queries) -> base.Hits:
    return [
      [list(reversed(kept)) for _ in row]
      for kept, row in zip(entries, queries, strict=True)
    ]

  return search
