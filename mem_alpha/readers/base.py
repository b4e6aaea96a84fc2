"""What a reader is: questions and a memory in, answers out.

A reader never sees chunks or gold answers. It reaches the memory through
`Memories` alone: the core texts, and a search that ranks entries. Memories of
rollouts, of saved runs and of baselines offer the same two.

A reader that is a language model, and a judge, ask a `Model`: prompts in,
completions out. There are two kinds, local.py and endpoint.py.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

from mem_alpha import structs

Queries = Sequence[Sequence[str]]  # per memory, its queries
Hits = list[list[list[structs.Entry]]]  # per memory, per query, best first


@dataclasses.dataclass(frozen=True)
class Memories:
  """A batch of memories as a reader sees them."""

  cores: Sequence[str]
  search: Callable[[Queries], Hits]


Reader = Callable[[Memories, Queries], list[list[structs.Answer]]]


@dataclasses.dataclass(frozen=True)
class Prompt:
  """One request to a model. Prompts of one memory may have one `system`."""

  system: str
  user: str


@dataclasses.dataclass(frozen=True)
class Completion:
  """What a model said, or why it said nothing after all retries."""

  text: str = ''
  failed: str = ''


class Model(Protocol):
  """Completes prompts; `overlaps` if it may run beside the training step."""

  overlaps: bool

  def __call__(self, prompts: Sequence[Prompt]) -> list[Completion]:
    """One completion per prompt, in their order."""


class ReaderError(ValueError):
  """Readers or judges cannot go on; the message is one clear sentence."""


def overlaps(asked) -> bool:
  """Whether a reader or judge waits for another machine, not for this one."""
  return getattr(asked, 'overlaps', False)
