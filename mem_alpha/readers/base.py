"""What a reader is: questions and a memory in, answers out.

A reader never sees chunks or gold answers. It reaches the memory through
`Memories` alone: the core texts, and a search that ranks entries. Memories of
rollouts, of saved runs and of baselines offer the same two.
"""

import dataclasses
from collections.abc import Callable, Sequence

from mem_alpha import structs

Queries = Sequence[Sequence[str]]  # per memory, its queries
Hits = list[list[list[structs.Entry]]]  # per memory, per query, best first


@dataclasses.dataclass(frozen=True)
class Memories:
  """A batch of memories as a reader sees them."""

  cores: Sequence[str]
  search: Callable[[Queries], Hits]


Reader = Callable[[Memories, Queries], list[list[structs.Answer]]]
