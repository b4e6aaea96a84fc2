"""From finished rollouts to figures, the same for training and every table.

`rewards` gives each turn of training its reward, `record` an instance of an
evaluation its scores. Both read the same answers with the same scorers.
"""

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.evals import summary
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rewards import calls as calls_reward
from mem_alpha.rewards import compression as compression_reward
from mem_alpha.rewards import content as content_reward
from mem_alpha.rewards import dense
from mem_alpha.rewards import scores
from mem_alpha.rewards import total
from mem_alpha.rollout import episode


@dataclasses.dataclass(frozen=True)
class Rules:
  """How the parts of the reward are counted; the defaults are the fixed ones.

  `count` counts tokens for r3 in place of the run's tokenizer.
  """

  answer_by: str = 'episode'  # who is paid for an answer, see dense.py
  calls: calls_reward.Rules = calls_reward.DEFAULT
  published_content: bool = False  # r4 over all calls, see content.py
  count: Callable[[str], int] | None = None


def of_answer(question: structs.Question, answer: structs.Answer) -> float:
  """The score of one answer, by the question's metric."""
  return scores.score(question.metric, answer.text, question.answers)


def answers(rollouts: episode.Rollouts, row: int) -> list[float | None]:
  """The score of each question of a row; None where reader or judge failed."""
  return rollouts.scores[row]


def rewards(
  rollouts: episode.Rollouts, weights: total.Weights, rules: Rules = Rules()
) -> tuple[list[episode.Turn], total.Rewards]:
  """All turns of a batch, row by row, and the reward of each."""
  turns = []
  names = ('answer', 'calls', 'compression', 'content')
  parts = {name: [] for name in names}
  for row in range(len(rollouts.instances)):
    r1_C = _answer_rewards(rollouts, row, rules.answer_by)
    r3 = compression_reward.reward(*_tokens(rollouts, row, rules.count))
    for turn in rollouts.turns[row]:
      turns.append(turn)
      parts['answer'].append(r1_C[turn.chunk])
      parts['compression'].append(float(r3))
      parts['calls'].append(
        calls_reward.reward(
          turn.calls,
          turn.statuses,
          done=parser.is_done(turn.text),
          rules=rules.calls,
        )
      )
      made = len(turn.calls) if rules.published_content else None
      parts['content'].append(
        content_reward.reward(turn.verdicts, published_calls=made)
      )
  return turns, total.combine(weights, **parts)


def _answer_rewards(rollouts: episode.Rollouts, row: int, by: str):
  """r1 of each chunk's turn."""
  instance, marks = rollouts.instances[row], answers(rollouts, row)
  count = len(instance.chunks)
  if by == 'chunk':
    abouts = [dense.about(q, instance.chunks) for q in instance.questions]
    return dense.per_chunk(marks, abouts, count)
  if by == 'evidence':
    written = {(e.kind, e.uid): e.updated for e in rollouts.entries[row]}
    return dense.by_evidence(marks, rollouts.answers[row], written, count)
  r1, _ = answer_reward.reward(marks)
  return [r1] * count


def _tokens(rollouts: episode.Rollouts, row: int, count):
  """Tokens of a memory and of what it was made from."""
  if count is None:
    return rollouts.memory_tokens[row], rollouts.chunk_tokens[row]
  kept = [entry.text for entry in rollouts.entries[row]]
  return (
    sum(map(count, kept)),
    sum(map(count, rollouts.instances[row].chunks)),
  )


def rates(rollouts: episode.Rollouts) -> dict[str, float]:
  """What a batch of rollouts looked like; shares of nothing are left out."""
  turns = list(itertools.chain(*rollouts.turns))
  valid, made = calls_reward.count([turn.statuses for turn in turns])
  grounded = [g for turn in turns for g in turn.grounded]
  statuses = [s for turn in turns for s in turn.statuses]
  marks = list(itertools.chain(*rollouts.scores))
  verdicts = [v for turn in turns for v in turn.verdicts]
  figures = {
    'memory_tokens': np.mean(rollouts.memory_tokens),
    'chunk_tokens': np.mean(rollouts.chunk_tokens),
    'response_tokens': np.mean([len(t.response.tokens) for t in turns]),
    'calls_per_turn': made / len(turns),
    'truncated': np.mean([not turn.response.finished for turn in turns]),
    'prompt_cut': np.mean([turn.cut_tokens > 0 for turn in turns]),
    'full': statuses.count(structs.Status.FULL) / len(turns),
  }
  for name, given in (('questions', marks), ('verdicts', verdicts)):
    if given:
      figures[f'excluded_{name}'] = given.count(None) / len(given)
  if made:
    figures['valid_calls'] = valid / made
  if grounded:
    figures['fidelity'] = np.mean(grounded)
  return {name: float(value) for name, value in figures.items()}


def record(rollouts: episode.Rollouts, row: int) -> summary.Record:
  """The figures of one instance of the batch."""
  instance = rollouts.instances[row]
  by_kind: dict[str, list[float]] = {}
  marks = answers(rollouts, row)
  for question, value in zip(instance.questions, marks):
    if value is not None:
      by_kind.setdefault(question.kind, []).append(value)
  turns = rollouts.turns[row]
  valid, made = calls_reward.count([turn.statuses for turn in turns])
  grounded = [g for turn in turns for g in turn.grounded]
  return summary.Record(
    instance_id=instance.instance_id,
    scores=by_kind,
    calls=made,
    valid_calls=valid,
    contents=len(grounded),
    grounded_contents=sum(grounded),
    memory_tokens=rollouts.memory_tokens[row],
    excluded=marks.count(None),
    source=instance.source,
    chunk_tokens=rollouts.chunk_tokens[row],
    response_tokens=sum(len(turn.response.tokens) for turn in turns),
    reader_calls=sum(answer.calls for answer in rollouts.answers[row]),
  )
