"""Instances from dated histories: LoCoMo, LongMemEval and PerLTQA.

One history is one instance. Its sessions keep their order; their turns are
packed whole into chunks, and each chunk repeats the head of the session that
it begins in. Where a history is longer than an instance may be, the sessions
that questions need are taken first, and only questions whose sessions all lie
within are asked. Where an instance of a given length has room, sessions of the
other histories of the split stand between its own.
"""

import dataclasses
import itertools
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.data import chunking
from mem_alpha.data import questions as filters
from mem_alpha.data import recipe as recipes


@dataclasses.dataclass(frozen=True)
class Session:
  """One dated talk or event."""

  head: str
  turns: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Asked:
  """A question and the sessions that it needs; None: it may need any."""

  question: structs.Question
  sessions: frozenset[int] | None = None


@dataclasses.dataclass(frozen=True)
class History:
  """Sessions in order and the questions about all of them."""

  name: str
  sessions: tuple[Session, ...]
  asked: tuple[Asked, ...]


def build(
  histories: Sequence[History],
  recipe: recipes.Recipe,
  *,
  source: str,
  merge: bool = True,
) -> list[structs.Instance]:
  """One instance per history; without `merge`, a chunk has one session."""
  instances = []
  for history in histories:
    if recipe.instances and len(instances) >= recipe.instances:
      recipe.leave_out(source, history.name, 'beyond the last instance')
      continue
    instance_id = f'{source}/{recipe.name}/{recipe.seed}/{history.name}'
    maker = _Maker(recipe, source, instance_id, merge)
    others = [other for other in histories if other is not history]
    instances += maker.make(history, others or [history])
  if not instances:
    raise recipes.NoInstanceError(
      f'{source}, split {recipe.split!r}: none of {len(histories)} histories '
      f'leaves {recipe.min_questions} questions in {recipe.budget} tokens; '
      'raise data.tokens, data.chunks or data.chunk_tokens, or name another '
      'split.'
    )
  return instances


def whole(source: str, histories: Sequence[History]) -> structs.Instance:
  """All questions and sessions, to compare with: a session is a chunk."""
  texts = ['\n'.join((s.head, *s.turns)) for h in histories for s in h.sessions]
  questions = tuple(a.question for h in histories for a in h.asked)
  return structs.Instance(source, source, tuple(texts), questions)


@dataclasses.dataclass(frozen=True)
class _Maker:
  """Makes one instance."""

  recipe: recipes.Recipe
  source: str
  instance_id: str
  merge: bool

  def make(
    self, history: History, others: Sequence[History]
  ) -> list[structs.Instance]:
    """The instance, or none where too few questions can be asked."""
    chunks, inside, repeated = self.recipe.reach(
      lambda room: self._fill(history, others, room), self.recipe.budget
    )
    if repeated:
      reason = f'{repeated} tokens of filler repeat sessions'
      self.recipe.change(self.source, self.instance_id, reason)
    asked = []
    for number, item in enumerate(history.asked):
      needed = item.sessions
      if needed is None:
        needed = range(len(history.sessions))
      if inside.issuperset(needed):
        asked.append(item.question)
      else:
        reason = 'its sessions do not fit'
        place = f'{history.name}, question {number}: {item.question.text}'
        self.recipe.leave_out(self.source, place, reason)
    if len(chunks) < self.recipe.min_chunks:
      reason = f'fewer than {self.recipe.min_chunks} chunks'
      self.recipe.leave_out(self.source, history.name, reason)
      return []
    chosen = filters.choose(
      asked, self.recipe, source=self.source, instance_id=self.instance_id
    )
    texts = tuple(chunk.text for chunk in chunks)
    return [
      structs.Instance(self.instance_id, self.source, texts, chosen)
    ] * bool(chosen)

  def _fill(self, history, others, room: int):
    """Chunks, the history's sessions within, tokens of repeated filler."""
    rng = random.Random(self.instance_id)
    sizes = [self._size(session) for session in history.sessions]
    own = self._choose(history, sizes, room, rng)
    shown, repeated = [(i, history.sessions[i]) for i in sorted(own)], 0
    if self.recipe.tokens:
      room -= sum(sizes[i] for i in own)
      filler, repeated = self._filler(others, room, rng)
      shown = _interleave(shown, filler, rng)
    chunks, whole = self._pack([session for _, session in shown])
    inside = {shown[n][0] for n in whole if shown[n][0] is not None}
    return chunks, inside, repeated

  def _size(self, session: Session) -> int:
    return self.recipe.size('\n'.join((session.head, *session.turns)))

  def _choose(self, history, sizes, room, rng) -> set[int]:
    """Sessions that fit: all, or those that questions need before others."""
    needs = [item.sessions for item in history.asked if item.sessions]
    needs = rng.sample(needs, len(needs))
    if not self.merge and not self.recipe.tokens:  # one chunk each
      order = [i for group in needs for i in sorted(group)]
      order = dict.fromkeys([*order, *range(len(sizes))])
      return set(list(order)[: self.recipe.chunks])
    chosen = set()
    if sum(sizes) <= room:
      return set(range(len(sizes)))
    others = [{i} for i in rng.sample(range(len(sizes)), len(sizes))]
    for group in needs + others:
      cost = sum(sizes[i] for i in group - chosen)
      if cost <= room:
        chosen |= group
        room -= cost
    return chosen

  def _filler(self, others, room: int, rng):
    """Sessions of other histories, each once, then again; tokens repeated."""
    available = [
      (self._size(session), session)
      for other in rng.sample(list(others), len(others))
      for session in other.sessions
    ]
    filler, repeated, again = [], 0, False
    while available and room >= min(size for size, _ in available):
      for size, session in available:
        if size <= room:
          filler.append((None, session))
          room -= size
          repeated += size * again
      again = True
    return filler, repeated

  def _pack(self, sessions: Sequence[Session]):
    """Chunks, and the places of the sessions that they hold to the end."""
    units, session_of, owner = [], [], itertools.count()
    for place, session in enumerate(sessions):
      turns = session.turns
      session_of += [place] * len(turns)
      units.append([chunking.Unit(turn, next(owner)) for turn in turns])
    groups = [sum(units, [])] if self.merge else units

    def render(index, some):
      del index
      parts = []
      for place, of_session in itertools.groupby(
        some, lambda unit: session_of[unit.owner]
      ):
        text = chunking.joined(list(of_session), '\n')
        parts.append(f'{sessions[place].head}\n{text}')
      return '\n\n'.join(parts)

    chunks, targets = [], self.recipe.targets(random.Random(self.instance_id))
    for group in groups:
      chunks += chunking.pack(
        group,
        targets,
        limit=self.recipe.chunk_tokens,
        count_tokens=self.recipe.count_tokens,
        size=self.recipe.size,
        render=render,
        start=len(chunks),
      )
    read = {u.owner for chunk in chunks for u in chunk.units if u.last}
    ends = {place: owner for owner, place in enumerate(session_of)}
    return chunks, {place for place, end in ends.items() if end in read}


def _interleave(own, filler, rng) -> list:
  """Both lists in their order, one between the other at random."""
  flags = [True] * len(own) + [False] * len(filler)
  rng.shuffle(flags)
  first, second = iter(own), iter(filler)
  return [next(first) if flag else next(second) for flag in flags]
