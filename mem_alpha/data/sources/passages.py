"""Instances from passages with questions: SQuAD, HotpotQA and RULER-QA.

1. Items (a few passages and the questions about them) wait in a queue.
2. As many as fill an instance are taken; their passages, each once, are packed
   whole into dialogue chunks, a passage longer than a chunk by sentences.
3. The questions of an instance are those of the items whose passages lie
   wholly within and whose answer stands in one of the chunks; items that did
   not fit wait for the next instance.

An instance of a given length in tokens is the same, except that filler makes
it up where the items run out: other passages of this source and split, each
once, and then again.
"""

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha.data import chunking
from mem_alpha.data import questions as filters
from mem_alpha.data import recipe as recipes
from mem_alpha.data import wording

Frame = Callable[[int, str], str]  # number of a passage, its text -> as shown


@dataclasses.dataclass(frozen=True)
class Item:
  """Passages, and the questions that they together answer (or none)."""

  name: str  # finds it in its file
  passages: tuple[str, ...]
  questions: tuple[structs.Question, ...]


def build(
  items: Sequence[Item],
  recipe: recipes.Recipe,
  *,
  source: str,
  mix: bool,
  filler: Sequence[str] = (),
  frame: Frame = lambda number, passage: passage,
  benchmark: bool = False,
) -> list[structs.Instance]:
  """Instances in the order of the items; ValueError if there is none.

  With `mix` the passages of an instance are shuffled, so that those of one
  question seldom stand together. Filler is taken from `filler` first, then
  from the passages of the items. Of a `benchmark` no model filters questions,
  and those that are answered by yes or no stay, although it is not in the text.
  """
  items = [_checked(item, recipe, source, benchmark) for item in items]
  everything = [p for item in items for p in item.passages]
  filler = list(dict.fromkeys([*filler, *everything]))
  queue, instances, number = items, [], 0
  while queue and len(instances) < (recipe.instances or len(items)):
    instance_id = f'{source}/{recipe.name}/{recipe.seed}/{number}'
    number += 1
    maker = _Maker(
      recipe, source, instance_id, frame, closed_book=not benchmark
    )
    filled = maker.fill(queue, filler, mix)
    if not recipe.tokens and len(filled.chunks) < recipe.chunks:
      break
    if filled.inside:
      instances += maker.finish(filled)
    else:
      recipe.leave_out(source, queue[0].name, 'longer than an instance')
    done = set(filled.inside or queue[:1])
    queue = [item for item in queue if item not in done]
  for item in queue:
    full = recipe.instances and len(instances) >= recipe.instances
    recipe.leave_out(
      source,
      item.name,
      'beyond the last instance' if full else 'too little to fill an instance',
    )
  if not instances:
    tokens = sum(map(recipe.size, set(everything)))
    raise recipes.NoInstanceError(
      f'{source}, split {recipe.split!r}: {len(items)} items of '
      f'{tokens} tokens fill no instance of {recipe.budget} tokens with '
      f'{recipe.min_questions} questions; lower '
      'data.chunks, data.chunk_tokens, data.tokens or data.min_questions.'
    )
  return instances


def _checked(
  item, recipe: recipes.Recipe, source: str, benchmark: bool
) -> Item:
  """The item with those of its questions that can be asked."""
  text, good = '\n'.join(item.passages), []
  unique = filters.unique(
    item.questions, recipe, source=source, place=item.name
  )
  for number, question in enumerate(unique):
    reason = filters.usable(question, recipe, text=text, yes_no=benchmark)
    if reason:
      place = f'{item.name}, question {number}: {question.text}'
      recipe.leave_out(source, place, reason)
    else:
      good.append(question)
  return dataclasses.replace(item, questions=tuple(good))


@dataclasses.dataclass(frozen=True)
class _Filled:
  """Packed passages, and the items whose passages are read to the end."""

  passages: Sequence[str]
  chunks: Sequence[chunking.Chunk]
  inside: Sequence[Item]


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one instance."""

  recipe: recipes.Recipe
  source: str
  instance_id: str
  frame: Frame
  closed_book: bool

  def fill(
    self, queue: Sequence[Item], filler: Sequence[str], mix: bool
  ) -> _Filled:
    """The chunks of an instance and the items that lie wholly within."""
    if self.recipe.tokens:
      return self._fill_length(queue, filler, mix)
    rng = random.Random(self.instance_id)
    sizes = [sum(map(self._size, item.passages)) for item in queue]
    before = itertools.accumulate(sizes, initial=0)
    # One item more than fits, so that the last chunk is full.
    items = [i for i, sum_ in zip(queue, before) if sum_ <= self.recipe.budget]
    passages = list(dict.fromkeys(p for item in items for p in item.passages))
    filled = self._pack(passages, items)
    if mix and filled.inside:
      # Only what fits is mixed: the rest stays behind, to be cut off.
      keep = {p for item in filled.inside for p in item.passages}
      first = [p for p in passages if p in keep]
      rng.shuffle(first)
      rest = [p for p in passages if p not in keep]
      mixed = self._pack(first + rest, items)
      # Another order packs a little worse: a lone item may no longer fit.
      filled = mixed if mixed.inside else filled
    return filled

  def _fill_length(self, queue, filler, mix: bool) -> _Filled:
    """The same with a length to reach: items, then filler."""

    def fill(room):
      rng = random.Random(self.instance_id)
      sizes = [sum(map(self._size, item.passages)) for item in queue]
      after = itertools.accumulate(sizes)
      items = [item for item, sum_ in zip(queue, after) if sum_ <= room]
      passages = list(dict.fromkeys(p for i in items for p in i.passages))
      added, repeated = self._filler(passages, filler, room, rng)
      passages += added
      if mix:
        rng.shuffle(passages)
      filled = self._pack(passages, items)
      return filled.chunks, filled, repeated

    room = self.recipe.tokens - self._overhead()
    _, filled, repeated = self.recipe.reach(fill, room)
    if repeated:
      reason = f'{repeated} tokens of filler repeat passages'
      self.recipe.change(self.source, self.instance_id, reason)
    return filled

  def finish(self, filled: _Filled) -> list[structs.Instance]:
    """The instance, or none where too few questions can be asked."""
    texts = [chunk.text for chunk in filled.chunks]
    chosen = filters.choose(
      self._answered(filled),
      self.recipe,
      source=self.source,
      instance_id=self.instance_id,
      closed_book=self.closed_book,
    )
    if not chosen:
      return []
    return [
      structs.Instance(self.instance_id, self.source, tuple(texts), chosen)
    ]

  def _answered(self, filled: _Filled) -> list[structs.Question]:
    """Questions whose answer stands whole in a chunk of their passages."""
    holding = {}  # passage -> lower-case texts of the chunks that hold it
    for chunk in filled.chunks:
      lowered = chunk.text.lower()
      for owner in dict.fromkeys(unit.owner for unit in chunk.units):
        passage = filled.passages[owner]
        holding.setdefault(passage, []).append(lowered)
    asked = {}
    for item in filled.inside:
      texts = [text for p in item.passages for text in holding[p]]
      for question in item.questions:
        if filters.is_yes_no(question) or filters.occurs(question, texts):
          asked[question] = None
        else:
          reason = 'answer is cut by the end of a chunk'
          place = f'{item.name}: {question.text}'
          self.recipe.leave_out(self.source, place, reason)
    return list(asked)

  def _filler(
    self, passages, filler, room: int, rng: random.Random
  ) -> tuple[list[str], int]:
    """Passages that make up what is missing, and how many tokens repeat."""
    room -= sum(map(self._size, passages))
    used, added, repeated = set(passages), [], 0
    enough = self.recipe.chunk_tokens / 4  # what may stay empty
    while room > enough:
      fresh, before = [p for p in filler if p not in used], len(added)
      for passage in rng.sample(fresh or filler, len(fresh or filler)):
        size = self._size(passage)
        if size <= room:
          added.append(passage)
          room -= size
          repeated += 0 if fresh else size
        if room <= enough:  # the others need not even be counted
          break
      used.update(filler)
      if not fresh and len(added) == before:
        break
    return added, repeated

  def _size(self, passage: str) -> int:
    return self.recipe.size(self.frame(0, passage))

  def _overhead(self) -> int:
    """Tokens of the dialogue around the text of an instance of a length."""
    recipe = self.recipe
    frame = recipe.count_tokens(self._render()(0, ()))
    smallest = recipe.min_chunk_tokens or recipe.chunk_tokens
    return round(frame * recipe.tokens / ((smallest + recipe.chunk_tokens) / 2))

  def _render(self) -> chunking.Render:
    return chunking.dialogue_render(
      self.instance_id, wording.READING, wording.REPLIES, separator='\n\n'
    )

  def _pack(self, passages, items) -> _Filled:
    chunks = list(
      chunking.pack(
        (
          chunking.Unit(self.frame(number, passage), number)
          for number, passage in enumerate(passages)
        ),
        self.recipe.targets(random.Random(f'{self.instance_id}/sizes')),
        limit=self.recipe.chunk_tokens,
        count_tokens=self.recipe.count_tokens,
        size=self.recipe.size,
        render=self._render(),
      )
    )
    # A passage is read to its end where the piece that ends it is.
    ends = {u.owner for chunk in chunks for u in chunk.units if u.last}
    read = {passages[number] for number in ends}
    inside = [item for item in items if read.issuperset(item.passages)]
    return _Filled(passages, chunks, inside)


def renamed(item: Item, kind: str, metric: str) -> Item:
  """The item with its questions counted and scored in another way."""
  return dataclasses.replace(
    item,
    questions=tuple(
      dataclasses.replace(question, kind=kind, metric=metric)
      for question in item.questions
    ),
  )
