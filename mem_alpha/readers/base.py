"""What a reader is: questions and a memory in, answers out.

A reader never sees chunks or gold answers. It reaches the memory through
`Memories` alone: the core texts, and a search that ranks entries. Memories of
rollouts, of saved runs and of baselines offer the same two.

A reader that is a language model, and a judge, ask a `Model`: prompts in,
completions out. There are two kinds, local.py and endpoint.py.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
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

UNKNOWN = 'unknown'  # what a model says where the memory tells nothing


@dataclasses.dataclass(frozen=True)
class Prompt:
  """One request to a model. Prompts of one memory may have one `system`."""

  system: str
  user: str


@dataclasses.dataclass(frozen=True)
class Completion:
  """What a model said, or why that is not known after all retries.

  A model that ends its turn at once has said ''. That is an answer, like
  `unknown`, and no failure, whichever kind of model it is.
  """

  text: str = ''
  failed: str = ''


class Model(Protocol):
  """Completes prompts; `overlaps` if it may run beside the training step."""

  overlaps: bool

  def __call__(self, prompts: Sequence[Prompt]) -> Iterable[Completion]:
    """One completion per prompt, in their order, each as soon as it is known.

    The work begins with the call, not with the first completion that is taken.
    """


class ReaderError(ValueError):
  """Readers or judges cannot go on; the message is one clear sentence."""


def completion(said: str) -> Completion:
  """A reply without the thinking before it, which must have come to an end."""
  _, closed, after = said.rpartition('</think>')
  if not closed and said.lstrip().startswith('<think>'):
    return Completion(failed='the reply ends before its answer')
  return Completion(after.strip())


def overlaps(asked) -> bool:
  """Whether a reader or judge waits for another machine, not for this one."""
  return getattr(asked, 'overlaps', False)
