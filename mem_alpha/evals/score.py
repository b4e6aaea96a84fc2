"""From finished rollouts to figures, the same for training and every table.

`rewards` gives each turn of training its reward, `records` each instance of an
evaluation its scores. Both read the same answers with the same scorers.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.evals import summary
from mem_alpha.readers import base
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rewards import calls as calls_reward
from mem_alpha.rewards import compression as compression_reward
from mem_alpha.rewards import content as content_reward
from mem_alpha.rewards import scores
from mem_alpha.rewards import total
from mem_alpha.rollout import episode


def of_answer(question: structs.Question, answer: structs.Answer) -> float:
  """The score of one answer, by the question's metric."""
  return scores.score(question.metric, answer.text, question.answers)


def answers(rollouts: episode.Rollouts, row: int) -> list[float]:
  """The score of each question of a row."""
  instance = rollouts.instances[row]
  return [
    of_answer(question, answer)
    for question, answer in zip(
      instance.questions, rollouts.answers[row], strict=True
    )
  ]


def rewards(
  rollouts: episode.Rollouts, weights: total.Weights
) -> tuple[list[episode.Turn], total.Rewards]:
  """All turns of a batch, row by row, and the reward of each."""
  turns = []
  names = ('answer', 'calls', 'compression', 'content')
  parts = {name: [] for name in names}
  for row, instance in enumerate(rollouts.instances):
    if instance is None:
      continue
    r1, _ = answer_reward.reward(answers(rollouts, row))
    r3 = compression_reward.reward(
      rollouts.memory_tokens[row], rollouts.chunk_tokens[row]
    )
    for turn in rollouts.turns[row]:
      turns.append(turn)
      parts['answer'].append(r1)
      parts['compression'].append(float(r3))
      parts['calls'].append(
        calls_reward.reward(turn.statuses, done=parser.is_done(turn.text))
      )
      parts['content'].append(content_reward.reward(turn.grounded))
  return turns, total.combine(weights, **parts)


def rates(rollouts: episode.Rollouts) -> dict[str, float]:
  """What a batch of rollouts looked like; shares of nothing are left out."""
  rows = [r for r, i in enumerate(rollouts.instances) if i]
  turns = [turn for r in rows for turn in rollouts.turns[r]]
  valid, made = calls_reward.count([turn.statuses for turn in turns])
  grounded = [g for turn in turns for g in turn.grounded]
  statuses = [s for turn in turns for s in turn.statuses]
  figures = {
    'memory_tokens': np.mean([rollouts.memory_tokens[r] for r in rows]),
    'chunk_tokens': np.mean([rollouts.chunk_tokens[r] for r in rows]),
    'response_tokens': np.mean([len(t.response.tokens) for t in turns]),
    'calls_per_turn': made / len(turns),
    'truncated': np.mean([not turn.response.finished for turn in turns]),
    'prompt_cut': np.mean([turn.cut_tokens > 0 for turn in turns]),
    'full': statuses.count(structs.Status.FULL) / len(turns),
  }
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
    for question, value in zip(instance.questions, answers(rollouts, row)):
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
      )
    )
  return result


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What one system did with a list of instances."""

  records: list[summary.Record]
  predictions: list[dict]  # one per question, plain JSON

  @property
  def row(self) -> dict[str, float]:
    return summary.summarise(self.records)


def evaluate(
  runner: episode.Runner,
  instances: Sequence[structs.Instance],
  writer: episode.Writer,
  reader: base.Reader,
) -> Evaluation:
  """Runs every instance once, a batch at a time."""
  found, predictions = [], []
  for start in range(0, len(instances), runner.batch):
    part = instances[start : start + runner.batch]
    rollouts = runner.run(part, writer, reader)
    found += records(rollouts)
    for row, instance in enumerate(part):
      for question, answer, value in zip(
        instance.questions, rollouts.answers[row], answers(rollouts, row)
      ):
        predictions.append(
          dict(
            instance_id=instance.instance_id,
            kind=question.kind,
            question=question.text,
            answer=answer.text,
            score=value,
          )
        )
  return Evaluation(found, predictions)
