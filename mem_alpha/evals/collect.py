"""An evaluation: every instance once, a batch at a time, by one system.

A batch is written while the questions of the one before it are answered. What
a system does with an instance ends as one line of plain JSON (`lines`), which
kept.py keeps. An instance that its writer failed on after all retries is left
out of every figure and counted, and tried again by the next evaluation; too
many of them end this one.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.evals import kept as kept_lib
from mem_alpha.evals import losses
from mem_alpha.evals import score
from mem_alpha.evals import summary
from mem_alpha.memory import export
from mem_alpha.readers import base
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import record

# instances, at most a batch of them -> what to call for their rollouts
Start = Callable[[Sequence[structs.Instance]], Callable[[], episode.Rollouts]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What one system did with a list of instances, in their order."""

  records: list[summary.Record]
  predictions: list[dict]  # one per question, plain JSON
  failed: dict[str, str]  # why instances were left out

  @property
  def row(self) -> dict[str, float]:
    return summary.summarise(self.records)


def evaluate(
  runner: episode.Runner,
  instances: Sequence[structs.Instance],
  writer: episode.Writer,
  panel: reading.Panel,
) -> Evaluation:
  """Runs a writer once over every instance, and keeps nothing on disk."""
  return collect(
    lambda part: runner.start(part, writer, panel),
    instances,
    batch=runner.batch,
    tokenizer=runner.tokenizer,
  )


def collect(
  start: Start,
  instances: Sequence[structs.Instance],
  *,
  batch: int,
  tokenizer: text.Tokenizer,
  kept: kept_lib.Kept | None = None,
  failures: Mapping[str, str] = {},
  failure_limit: float = 0.0,
) -> Evaluation:
  """Evaluates every instance once.

  With `kept`, instances that it holds are not run again, the others are added
  to it, and every wrong answer is told its class (losses.py). `failures` is
  filled by the system while it runs: instance -> why it has no memory.
  ReaderError when more than a share `failure_limit` of the instances is there.
  """
  found: dict[str, dict | None] = {}  # by instance, in their order
  pending, before = [], None

  def take(finish):
    if finish:
      explain = kept is not None
      new = [
        line
        for line in lines(finish(), tokenizer, explain=explain)
        if line['instance_id'] not in failures
      ]
      found.update((line['instance_id'], line) for line in new)
      if kept:
        kept.add(new)
      _limit(failures, len(instances), failure_limit)

  for place in range(len(instances)):
    instance = instances[place]
    _check(instance, found)
    found[instance.instance_id] = kept.get(instance) if kept else None
    if found[instance.instance_id] is None:
      pending.append(instance)
    if len(pending) == batch or (pending and place + 1 == len(instances)):
      finish, pending = start(pending), []
      take(before)
      before = finish
  take(before)
  if kept:
    kept.finish(instances)
  done = [line for line in found.values() if line is not None]
  return restored(done, failures)


def restored(
  lines: Sequence[Mapping], failures: Mapping[str, str] = {}
) -> Evaluation:
  """An evaluation from the lines that were made of its instances."""
  return Evaluation(
    [summary.Record(**line['record']) for line in lines],
    [p for line in lines for p in line['predictions']],
    dict(failures),
  )


def lines(
  rollouts: episode.Rollouts, tokenizer: text.Tokenizer, *, explain: bool
) -> list[dict]:
  """One line of plain JSON per instance."""
  result = []
  classes = losses.of(rollouts) if explain else None
  for row, instance in enumerate(rollouts.instances):
    name = dict(instance_id=instance.instance_id)
    # A baseline has entries, and no table of versions.
    memory = (
      export.to_plain(rollouts.stored[row], tokenizer=tokenizer)
      if rollouts.stored
      else export.of_entries(rollouts.entries[row])
    )
    result.append(
      name
      | dict(
        data=kept_lib.checksum(instance),
        record=dataclasses.asdict(score.record(rollouts, row)),
        predictions=[
          name | _prediction(rollouts, row, q, classes and classes[row][q])
          for q in range(len(instance.questions))
        ],
        memories=[name | memory],
        turns=[
          name | record.of_turn(turn, whole=True)
          for turn in rollouts.turns[row]
        ],
      )
    )
  return result


def _prediction(rollouts: episode.Rollouts, row: int, q: int, loss) -> dict:
  question = rollouts.instances[row].questions[q]
  answer = rollouts.answers[row][q]
  line = dict(
    kind=question.kind,
    question=question.text,
    gold=list(question.answers),
    answer=answer.text,
    score=score.answers(rollouts, row)[q],
  )
  line |= {'failed': answer.failed} if answer.failed else {}
  return line | ({'loss': loss} if loss else {})


def _check(instance: structs.Instance, seen) -> None:
  where = f'Instance {instance.instance_id!r} of source {instance.source!r}'
  if not instance.questions:
    raise ValueError(f'{where} has no question: leave it out of the data.')
  if instance.instance_id in seen:
    raise ValueError(f'{where} occurs twice: give each instance its own id.')


def _limit(failed: Mapping, instances: int, limit: float) -> None:
  if len(failed) > limit * instances:
    name, reason = list(failed.items())[-1]
    raise base.ReaderError(
      f'The writer failed on {len(failed)} of {instances} instances, more than '
      f'endpoint.failure_limit={limit} allows; on {name} because: {reason}. '
      'Mend that and start again: what is finished is kept.'
    )
