"""What is asked of a source: which rows, and how large an instance is.

Every builder of `sources/` is one function `build(recipe) -> instances`. A
recipe gives the size of an instance in one of two ways: by its number of
chunks, or, for any source, by its length in tokens. In the second case the
builder takes as much material as fits and adds filler from the same source
and split where the rows are too short; text that has to be used twice for
that is written down in the ledger.
"""

import dataclasses
import itertools
import pathlib
import random
from collections.abc import Callable, Iterator, Sequence

from mem_alpha.data import chunking
from mem_alpha.data import ledger
from mem_alpha.data import splits

TRIES = 4  # to come near a length
Filled = tuple[Sequence[chunking.Chunk], ...]

Ask = Callable[[Sequence[str]], list[str]]  # prompts -> a model's answers


class NoInstanceError(ValueError):
  """The files are good, but they hold nothing that the recipe asks for."""


@dataclasses.dataclass(frozen=True)
class Recipe:
  """Tokens are those of `count_tokens`. Lists of instances are reproducible:

  the same recipe over the same files gives the same instances.
  """

  root: pathlib.Path  # raw files, one folder per source
  split: str
  count_tokens: Callable[[str], int]
  chunk_tokens: int  # a chunk, at most
  chunks: int = 10  # chunks of an instance, at most
  max_questions: int = 100  # questions of an instance, at most
  seed: int = 0
  min_chunk_tokens: int | None = None  # chunk sizes are drawn from here on
  tokens: int | None = None  # length of an instance, instead of `chunks`
  min_chunks: int = 1  # shorter rows are left out
  min_questions: int = 1  # instances with fewer are left out
  instances: int | None = None  # at most; None: all there are
  max_answer_tokens: int | None = None  # longer answers are left out
  published: bool = False  # split as published, benchmark rows included
  ask: Ask | None = None  # a model for filters and keywords; None: rules
  log: ledger.Ledger = dataclasses.field(default_factory=ledger.Ledger)
  _sizes: dict[str, int] = dataclasses.field(default_factory=dict, repr=False)

  def __post_init__(self):
    splits.check(self.split)
    for name in (
      'chunk_tokens',
      'chunks',
      'max_questions',
      'tokens',
      'min_chunk_tokens',
      'min_chunks',
      'min_questions',
      'instances',
      'max_answer_tokens',
    ):
      value = getattr(self, name)
      if value is not None and value < 1:
        raise ValueError(f'{name} is {value}: must be 1 or more.')
    if (self.min_chunk_tokens or 1) > self.chunk_tokens:
      raise ValueError(
        f'min_chunk_tokens={self.min_chunk_tokens} is more than '
        f'chunk_tokens={self.chunk_tokens}.'
      )

  @property
  def name(self) -> str:
    """The split's name in ids and files; the published one has its own."""
    return f'{"published_" * self.published}{self.split}'

  @property
  def budget(self) -> int:
    """Tokens that an instance may have."""
    return self.tokens or self.chunks * self.chunk_tokens

  def size(self, text: str) -> int:
    """Tokens of a passage, turn or example; counted once."""
    if text not in self._sizes:
      self._sizes[text] = self.count_tokens(text)
    return self._sizes[text]

  def reach(self, fill: Callable[[int], Filled], room: int) -> Filled:
    """What `fill` makes of so much room that it comes near the length.

    `fill` takes the tokens that its material may have and returns chunks and
    whatever else; how full chunks get, and what frames them, it cannot know.
    Without a length to reach it is asked once.
    """
    for _ in range(TRIES):
      filled = fill(max(1, room))
      total = sum(chunk.tokens for chunk in filled[0])
      near = max(self.chunk_tokens / 2, (self.tokens or 0) / 100)
      if not self.tokens or not total or abs(total - self.tokens) <= near:
        break
      room = room * self.tokens // total
    return filled

  def target(self, rng: random.Random) -> int:
    """How many tokens to put into a chunk."""
    low = self.min_chunk_tokens or self.chunk_tokens
    return rng.randint(low, self.chunk_tokens)

  def targets(self, rng: random.Random) -> Iterator[int]:
    """The same for as many chunks as there may be."""
    for _ in itertools.count() if self.tokens else range(self.chunks):
      yield self.target(rng)

  def holds(self, group: str, *, benchmark: bool | None = None) -> bool:
    """Whether a group of rows belongs to the split.

    `benchmark` says of sources whose test rows are given from outside whether
    the group is one of them. The published split takes no notice: a tenth of
    all groups is both its validation and its test.
    """
    if self.published:
      held_out = splits.of(group, validation=0) == 'test'
      return held_out != (self.split == 'train')
    if benchmark:
      return self.split == 'test'
    return splits.of(group, test=10 * (benchmark is None)) == self.split

  def read(self, *parts: str) -> pathlib.Path:
    """The path of a raw file."""
    return self.root.joinpath(*parts)

  def leave_out(self, source: str, place: str, reason: str) -> None:
    self.log.leave_out(source, place, reason, split=self.split)

  def change(self, source: str, place: str, reason: str) -> None:
    self.log.change(source, place, reason, split=self.split)
