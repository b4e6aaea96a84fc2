"""What each call of finished rollouts was worth to their answers.

r1 is one number for the twenty-odd calls of a rollout, so each is also praised
and blamed for what the others did. Memory knows better: an answer names the
entries that it came from, and an entry the call that wrote it. The reader is
asked again: without the entry that an answer came from, then without the one
behind it too, and from core alone, after each call on it. Credits are then
compared among the rollouts of a group, line of the chunk by line (`decisions`).

Evidence-anchored attribution as in Fine-Mem (arXiv 2601.08435), by what is lost
without an entry instead of in equal parts, and down to the call. With removal
of one entry only, a fact that a stored guess hides would earn nothing, and a
writer that stores much would learn to store no facts before no guesses.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mem_alpha import structs
from mem_alpha.evals import score
from mem_alpha.readers import base
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rollout import episode

Source = tuple[structs.Kind, int]
Place = tuple[int, int]  # chunk, and which of its calls
CORE: Source = (structs.Kind.CORE, structs.NO_ID)
_DEPTH = 4  # entries taken away, one after the other, behind an answer


def of_calls(
  rollouts: episode.Rollouts,
  reader: base.Reader,
  *,
  price: float,
  fault: float,
) -> list[list[float]]:
  """Credit of each call, for the turns in the order of `score.rewards`.

  What the answers owe to the entry it wrote, less `price` per token of it, less
  `fault` if it failed or stored what its chunk does not say.
  """
  result = []
  gains = entry_gains(rollouts, reader)
  for row, instance in enumerate(rollouts.instances):
    tokens = {(e.kind, e.uid): e.tokens for e in rollouts.entries[row]}
    written, core = _written(rollouts.turns[row], tokens)
    worth = {
      place: gains[row].get(source, 0.0) - price * tokens[source]
      for source, place in written.items()
    }
    if core:
      read = _from_core(reader, instance.questions, list(core.values()))
      shares = [answer_reward.reward(marks)[0] for marks in read]
      worth |= of_core(list(core), shares)
    result += [
      [
        worth.get((turn.chunk, c), 0.0) - fault * wrong
        for c, wrong in enumerate(_faults(turn))
      ]
      for turn in rollouts.turns[row]
    ]
  return result


def decisions(
  turns: Sequence[episode.Turn],
  credits: Sequence[Sequence[float]],
  *,
  rollouts: int,
  fault: float,
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
  """What each turn did with each line of its chunk, and what that was worth.

  A decision is all that a response says under one line number: nothing more
  where it skips the line (worth 0), else the calls that follow (the sum of
  their credits). The token that passes over a line, unsaid, is the decision
  about that line and costs `fault`. A response without numbers is one decision.
  Returns credit_U,
  group_U3 (instance, chunk and line: the same for the decisions that other
  rollouts took about the same line), and for each turn unit_N, the decision
  that each response token belongs to. `rollouts` is their number per instance,
  whose rows follow one another.
  """
  worth, groups, units = [], [], []
  for turn, values in zip(turns, credits, strict=True):
    place = {}
    for line in dict.fromkeys([*turn.token_subjects, *turn.call_subjects]):
      place[line] = len(worth)
      worth.append(0.0)
      groups.append((turn.row // rollouts, turn.chunk, line))
    for line, value in zip(turn.call_subjects, values, strict=True):
      worth[place[line]] += value
    for line in turn.passed:
      worth[place[line]] -= fault
    units.append(np.array([place[x] for x in turn.token_subjects], int))
  return np.array(worth), np.array(groups, int).reshape(-1, 3), units


def entry_gains(
  rollouts: episode.Rollouts, reader: base.Reader, *, depth: int = _DEPTH
) -> list[dict[Source, float]]:
  """What the answers owe to each entry, per row, in units of r1.

  An answer's last source is taken away and the question is read again, up to
  `depth` times. What the score loses by a removal is earned by that entry and
  by those taken away just before it without a change: any of them would have
  done as well, so they share alike. Two entries that say the same earn the
  same, and entries that hide the right answer pay what the hidden one earns,
  whether or not it is hidden. The gains of a question sum to its score less the
  score of what is left. What a removal does to the ranks of other entries is
  not seen where a search returns fewer than all of them.
  """
  gains: list[dict[Source, float]] = [{} for _ in rollouts.instances]
  asked = [
    _Asked(row, question, answer, mark)
    for row, instance in enumerate(rollouts.instances)
    for question, answer, mark in zip(
      instance.questions,
      rollouts.answers[row],
      score.answers(rollouts, row),
      strict=True,
    )
  ]
  for _ in range(depth):
    asked = [a for a in asked if a.answer.sources not in ((), (CORE,))]
    for a in asked:
      a.removed.append(a.answer.sources[-1])
    found = reader(
      _without(rollouts.memories, asked), [[a.question.text] for a in asked]
    )
    for a, (answer,) in zip(asked, found, strict=True):
      mark = score.of_answer(a.question, answer)
      count = len(rollouts.instances[a.row].questions)
      a.alike.append(a.removed[-1])
      if mark != a.mark:
        own, share = gains[a.row], (a.mark - mark) / count / len(a.alike)
        for source in a.alike:
          own[source] = own.get(source, 0.0) + share
        a.alike.clear()
      a.answer, a.mark = answer, mark
  return gains


@dataclasses.dataclass
class _Asked:
  """A question, its answer and score once some entries were removed."""

  row: int
  question: structs.Question
  answer: structs.Answer
  mark: float
  removed: list[Source] = dataclasses.field(default_factory=list)
  alike: list[Source] = dataclasses.field(default_factory=list)  # no change yet


def _without(memories: base.Memories, asked: Sequence[_Asked]) -> base.Memories:
  """A memory per question: that of its row, less what was removed."""

  def search(queries: base.Queries) -> base.Hits:
    joined = [[] for _ in memories.cores]
    for a, part in zip(asked, queries, strict=True):
      joined[a.row] += part
    found = [iter(hits) for hits in memories.search(joined)]
    return [
      [
        [e for e in next(found[a.row]) if (e.kind, e.uid) not in a.removed]
        for _ in part
      ]
      for a, part in zip(asked, queries, strict=True)
    ]

  return base.Memories([memories.cores[a.row] for a in asked], search)


def of_core(
  places: Sequence[Place], scores: Sequence[float]
) -> dict[Place, float]:
  """Credit of the calls on core, in units of r1.

  `scores` are what the answers read from core add to r1 after each of them.
  The credits sum to the last score.
  """
  before = [0.0, *scores]
  return {
    place: score - old
    for place, score, old in zip(places, scores, before, strict=False)
  }


def _from_core(reader, questions, cores: list[str]) -> list[list[float]]:
  """Scores of the questions, answered from nothing but each core text."""
  nothing = base.Memories(cores, lambda q: [[[] for _ in row] for row in q])
  answered = reader(nothing, [[q.text for q in questions]] * len(cores))
  return [
    [score.of_answer(q, a) for q, a in zip(questions, row, strict=True)]
    for row in answered
  ]


def _faults(turn: episode.Turn) -> list[bool]:
  """Which calls failed, or stored something that is not grounded."""
  grounded = iter(turn.grounded)
  writes = (structs.Action.INSERT, structs.Action.UPDATE)
  return [
    status != structs.Status.OK
    or (call.action in writes and not next(grounded))
    for call, status in zip(turn.calls, turn.statuses, strict=True)
  ]


def _written(turns: Sequence[episode.Turn], live: Mapping):
  """Which call wrote each live entry, and the texts of those on core."""
  written, core = {}, {}
  for turn in turns:
    for c, (call, status) in enumerate(zip(turn.calls, turn.statuses)):
      source, place = (call.kind, turn.uids[c]), (turn.chunk, c)
      if status != structs.Status.OK:
        continue
      if call.kind == structs.Kind.CORE:
        core[place] = call.content
      elif source in live:
        written[source] = place  # a new version replaces the one before
  return written, core
