"""From finished rollouts to figures, the same for training and every table.

`rewards` gives each turn of training its reward, `records` each instance of an
evaluation its scores. Both read the same answers with the same scorers.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.evals import summary
from mem_alpha.memory import export
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rewards import calls as calls_reward
from mem_alpha.rewards import compression as compression_reward
from mem_alpha.rewards import content as content_reward
from mem_alpha.rewards import dense
from mem_alpha.rewards import scores
from mem_alpha.rewards import total
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import record


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
  for row, instance in enumerate(rollouts.instances):
    if instance is None:
      continue
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
  rows = [r for r, i in enumerate(rollouts.instances) if i]
  turns = [turn for r in rows for turn in rollouts.turns[r]]
  valid, made = calls_reward.count([turn.statuses for turn in turns])
  grounded = [g for turn in turns for g in turn.grounded]
  statuses = [s for turn in turns for s in turn.statuses]
  marks = [mark for r in rows for mark in answers(rollouts, r)]
  verdicts = [v for turn in turns for v in turn.verdicts]
  figures = {
    'memory_tokens': np.mean([rollouts.memory_tokens[r] for r in rows]),
    'chunk_tokens': np.mean([rollouts.chunk_tokens[r] for r in rows]),
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


def records(rollouts: episode.Rollouts) -> list[summary.Record]:
  """One record per instance of the batch."""
  result = []
  for row, instance in enumerate(rollouts.instances):
    if instance is None:
      continue
    by_kind: dict[str, list[float]] = {}
    marks = answers(rollouts, row)
    for question, value in zip(instance.questions, marks):
      if value is not None:
        by_kind.setdefault(question.kind, []).append(value)
    turns = rollouts.turns[row]
    valid, made = calls_reward.count([turn.statuses for turn in turns])
    grounded = [g for turn in turns for g in turn.grounded]
    result.append(
      summary.Record(
        instance_id=instance.instance_id,
        scores=by_kind,
        calls=made,
        valid_calls=valid,
        contents=len(grounded),
        grounded_contents=sum(grounded),
        memory_tokens=rollouts.memory_tokens[row],
        excluded=marks.count(None),
      )
    )
  return result


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What one system did with a list of instances."""

  records: list[summary.Record]
  predictions: list[dict]  # one per question, plain JSON
  memories: list[dict]  # one per instance: memory/export.py
  turns: list[dict]  # one per chunk: rollout/record.py

  @property
  def row(self) -> dict[str, float]:
    return summary.summarise(self.records)


def evaluate(
  runner: episode.Runner,
  instances: Sequence[structs.Instance],
  writer: episode.Writer,
  panel: reading.Panel,
) -> Evaluation:
  """Runs every instance once, a batch at a time.

  A batch is sampled while the questions of the one before it are answered.
  """
  evaluation = Evaluation([], [], [], [])
  before = None
  for start in range(0, len(instances), runner.batch):
    part = instances[start : start + runner.batch]
    finish = runner.start(part, writer, panel)
    if before:
      _add(evaluation, before(), runner.tokenizer)
    before = finish
  if before:
    _add(evaluation, before(), runner.tokenizer)
  return evaluation


def _add(evaluation: Evaluation, rollouts: episode.Rollouts, tokenizer) -> None:
  evaluation.records.extend(records(rollouts))
  for row, instance in enumerate(rollouts.instances):
    if instance is None:
      continue
    name = dict(instance_id=instance.instance_id)
    stored = export.to_plain(rollouts.stored[row], tokenizer=tokenizer)
    evaluation.memories.append(name | stored)
    evaluation.turns.extend(
      name | record.of_turn(turn, whole=True) for turn in rollouts.turns[row]
    )
    for question, answer, value in zip(
      instance.questions, rollouts.answers[row], answers(rollouts, row)
    ):
      failed = {'failed': answer.failed} if answer.failed else {}
      evaluation.predictions.append(
        name
        | dict(
          kind=question.kind,
          question=question.text,
          answer=answer.text,
          score=value,
          **failed,
        )
      )
