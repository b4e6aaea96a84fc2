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
from mem_alpha.rewards import evidence as evidence_reward
from mem_alpha.rewards import scores
from mem_alpha.rewards import total
from mem_alpha.rollout import episode


def answers(rollouts: episode.Rollouts, row: int) -> list[float]:
  """The score of each question of a row."""
  instance = rollouts.instances[row]
  return [
    scores.score(question.metric, answer.text, question.answers)
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


def credits(
  rollouts: episode.Rollouts,
  reader: base.Reader,
  *,
  blame: float,
  price: float,
  fault: float,
) -> list[list[float]]:
  """Credit of each call, for the turns in the order of `rewards`.

  What answers owe to it, less `fault` if it failed or stored what its chunk
  does not say. The reader is asked again what it would have said from core
  alone, after each call on it.
  """
  result = []
  for row, instance in enumerate(rollouts.instances):
    if instance is None:
      continue
    tokens = {(e.kind, e.uid): e.tokens for e in rollouts.entries[row]}
    written, core = _written(rollouts.turns[row], tokens)
    worth = evidence_reward.of_entries(
      answers(rollouts, row),
      rollouts.answers[row],
      written,
      tokens,
      blame=blame,
      price=price,
    )
    if core:
      read = _from_core(reader, instance.questions, list(core.values()))
      shares = [answer_reward.reward(marks)[0] for marks in read]
      worth |= evidence_reward.of_core(list(core), shares)
    result += [
      [
        worth.get((turn.chunk, c), 0.0) - fault * wrong
        for c, wrong in enumerate(_faults(turn))
      ]
      for turn in rollouts.turns[row]
    ]
  return result


def _from_core(reader, questions, cores: list[str]) -> list[list[float]]:
  """Scores of the questions, answered from nothing but each core text."""
  nothing = base.Memories(cores, lambda q: [[[] for _ in row] for row in q])
  answered = reader(nothing, [[q.text for q in questions]] * len(cores))
  return [
    [scores.score(q.metric, a.text, q.answers) for q, a in zip(questions, row)]
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


def _written(turns: Sequence[episode.Turn], live):
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
