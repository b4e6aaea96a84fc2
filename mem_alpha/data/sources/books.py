"""Instances from a long text with a summary: BookSum and InfBench-Sum.

The text is packed by sentences into dated chunks of a user who reads. There is
one question, to summarise what was read between two dates, and its answer is
the keywords of the summary. A text that has more chunks than an instance may
have, or fewer, is left out. Where an instance has a given length instead, a
longer text is cut (keywords that stood in what is cut are dropped) and a
shorter one gets other texts of the source before and after it.
"""

import dataclasses
import datetime
import itertools
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.data import chunking
from mem_alpha.data import keywords
from mem_alpha.data import questions as filters
from mem_alpha.data import recipe as recipes
from mem_alpha.data import wording


@dataclasses.dataclass(frozen=True)
class Book:
  """A text and what is known to be a summary of it."""

  name: str
  text: str
  summaries: tuple[str, ...]


def build(
  books: Sequence[Book], recipe: recipes.Recipe, *, source: str
) -> list[structs.Instance]:
  """One instance per text, in the order of the list."""
  instances = []
  for book in books:
    if recipe.instances and len(instances) >= recipe.instances:
      recipe.leave_out(source, book.name, 'beyond the last instance')
      continue
    instance_id = f'{source}/{recipe.name}/{recipe.seed}/{book.name}'
    others = [other for other in books if other is not book]
    maker = _Maker(recipe, source, instance_id)
    instances += maker.make(book, others or [book])
  if not instances:
    raise recipes.NoInstanceError(
      f'{source}, split {recipe.split!r}: none of {len(books)} texts has '
      f'{recipe.min_chunks} to {recipe.chunks} chunks of {recipe.chunk_tokens} '
      'tokens; change these, or set data.tokens to cut texts to a length.'
    )
  return instances


def whole(source: str, books: Sequence[Book]) -> structs.Instance:
  """All texts, to compare with: each is a chunk."""
  return structs.Instance(source, source, tuple(b.text for b in books), ())


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one instance."""

  recipe: recipes.Recipe
  source: str
  instance_id: str
  # Days from the first chunk to each, as far as they were asked for.
  days: list[int] = dataclasses.field(default_factory=lambda: [0])

  def make(self, book: Book, others: Sequence[Book]) -> list[structs.Instance]:
    """The instance, or none where the text does not suit."""
    recipe, rng = self.recipe, random.Random(self.instance_id)
    before, after = [], []
    own = self._pack(chunking.text_units(book.text), recipe.budget)
    if recipe.tokens:
      missing = recipe.tokens - sum(chunk.tokens for chunk in own)
      share = rng.random()
      filler = self._filler(others, rng)
      before = self._pack(filler, round(missing * share))
      missing -= sum(chunk.tokens for chunk in before)
      own = self._pack(
        chunking.text_units(book.text), recipe.budget, len(before)
      )
      after = self._pack(filler, missing, len(before) + len(own))
    elif not recipe.min_chunks <= len(own) <= recipe.chunks:
      reason = f'not {recipe.min_chunks} to {recipe.chunks} chunks'
      recipe.leave_out(self.source, book.name, reason)
      return []
    text = ''.join(unit.text for chunk in own for unit in chunk.units)
    found = keywords.find(list(book.summaries), text, recipe)
    if not found:
      reason = 'its summary has too few keywords in the text'
      recipe.leave_out(self.source, book.name, reason)
      return []
    if len(text) < len(book.text):
      recipe.change(self.source, book.name, 'text cut to the length')
    first, last = (
      self._date(len(before)),
      self._date(len(before) + len(own) - 1),
    )
    question = structs.Question(
      f'Please summarise what the user read from {first} to {last}.',
      (', '.join(found),),
      self.source,
      'keywords',
    )
    texts = tuple(chunk.text for chunk in (*before, *own, *after))
    chosen = filters.choose(
      [question], recipe, source=self.source, instance_id=self.instance_id
    )
    return [
      structs.Instance(self.instance_id, self.source, texts, chosen)
    ] * bool(chosen)

  def _pack(self, units, tokens: int, start: int = 0) -> list[chunking.Chunk]:
    """Chunks of at most so many tokens; without `tokens` in the recipe, all."""
    rng, chunks = random.Random(f'{self.instance_id}/{start}'), []

    def targets():
      while True:
        left = tokens - sum(chunk.tokens for chunk in chunks)
        if self.recipe.tokens and left < self._least():
          return
        target = self.recipe.target(rng)
        yield min(target, left) if self.recipe.tokens else target

    for chunk in chunking.pack(
      units,
      targets(),
      limit=self.recipe.chunk_tokens,
      count_tokens=self.recipe.count_tokens,
      size=self.recipe.size,
      render=self._render,
      start=start,
    ):
      chunks.append(chunk)
    return chunks

  def _least(self) -> int:
    """Tokens of the smallest chunk that is worth making."""
    return 4 * self.recipe.size(self._render(0, ()))

  def _filler(self, others, rng):
    """Sentences of other texts, each text once and then again."""
    for turn in itertools.count():
      if turn == 1:
        reason = 'filler repeats texts'
        self.recipe.change(self.source, self.instance_id, reason)
      for other in rng.sample(list(others), len(others)):
        yield from chunking.text_units(other.text)

  def _date(self, index: int) -> str:
    """One to three days go by between two chunks."""
    while len(self.days) <= index:
      rng = random.Random(f'{self.instance_id}/day/{len(self.days) - 1}')
      self.days.append(self.days[-1] + rng.randint(1, 3))
    day = chunking.FIRST_DAY + datetime.timedelta(days=self.days[index])
    return f'{day:%Y-%m-%d}'

  def _render(self, index: int, units: Sequence[chunking.Unit]) -> str:
    reply = random.Random(f'{self.instance_id}/{index}').choice(
      wording.BOOK_REPLIES
    )
    return (
      f'[Event happened on {self._date(index)} The user is reading a book]\n'
      f'<User> {chunking.join(index, units).strip()}\n<System> {reply}'
    )
