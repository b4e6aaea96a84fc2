"""Questions, scores and verdicts of a batch, beside the sampling.

A rollout's questions can be answered as soon as its last chunk is read, and a
stored content can be judged as soon as its turn is over. Where reader and
judges wait for another machine (`overlaps`), both happen at once, in threads,
while other rollouts still sample. Where they need this machine's devices, all
is asked at the end, in one batch; if only the judge of answers is elsewhere,
grading begins as soon as the last rollout of the batch is read, while the next
batch samples. Either way the same is asked, so the answers are the same.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import threading
from collections.abc import Callable, Sequence

import jax

from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.readers import judge as judge_lib
from mem_alpha.rewards import content as content_reward
from mem_alpha.rewards import marks as marks_lib


@dataclasses.dataclass(frozen=True)
class Panel:
  """Who answers questions, who scores the answers, who judges contents.

  Without `judge`, the check of form says which contents are valid.
  """

  reader: base.Reader
  marker: marks_lib.Marker = dataclasses.field(default_factory=marks_lib.Marker)
  judge: judge_lib.Content | None = None
  published_content: bool = False  # judge refused calls too, as published
  close: Callable[[], None] = lambda: None  # ends connections, if there are any


@dataclasses.dataclass
class Read:
  """What came back for one memory."""

  answers: list[structs.Answer]
  scores: list[float | None]


class Reading:
  """The requests of one batch; `read` and `judge` begin, `results` waits."""

  def __init__(self, panel: Panel):
    self.panel = panel
    self._reads: list[tuple[Sequence[int], Callable]] = []
    self._judged: list[tuple[list, Callable]] = []

  def done(self, instances, chunk: int, *, last: bool) -> list[int]:
    """The rows to read after a chunk: those that end with it, or at the last
    one all that are left."""
    now = base.overlaps(self.panel.reader)
    return [
      row
      for row, instance in enumerate(instances)
      if instance and (len(instance.chunks) == chunk + 1 if now else last)
    ]

  def read(
    self,
    rows: Sequence[int],
    memories: base.Memories,
    instances: Sequence[structs.Instance | None],
  ) -> None:
    """Asks the questions of some rows."""
    questions = [
      instance.questions if row in rows else ()
      for row, instance in enumerate(instances)
    ]
    read = functools.partial(self._answer, memories, questions)
    now = base.overlaps(self.panel.reader)
    if not now and self.panel.marker.overlaps:
      answers = read()  # takes its time now or later; grading need not wait
      read, now = (lambda: answers), True
    work = functools.partial(self._mark, read, questions)
    self._reads.append((rows, _begin(work, now=now)))

  def judge(self, turns, instances: Sequence[structs.Instance | None]) -> None:
    """Asks about what some turns stored; fills in their verdicts in the end."""
    stored = []  # (turn, call, chunk)
    for turn in turns:
      turn.verdicts = []
      chunk = instances[turn.row].chunks[turn.chunk]
      stored += [
        (turn, call, chunk)
        for call in content_reward.judged(
          turn.calls, turn.statuses, published=self.panel.published_content
        )
      ]
    if stored:
      work = functools.partial(self.panel.judge, [item[1:] for item in stored])
      wait = _begin(work, now=base.overlaps(self.panel.judge))
      self._judged.append(([turn for turn, *_ in stored], wait))

  def results(self, size: int) -> list[Read]:
    """Answers and scores of each of `size` memories; fills in all verdicts."""
    found = [Read([], []) for _ in range(size)]
    for rows, wait in self._reads:
      answers, scores = _heard(wait, self.panel.reader)
      for row in rows:
        found[row] = Read(answers[row], scores[row])
    for turns, wait in self._judged:
      verdicts = _heard(wait, self.panel.judge)
      for turn, verdict in zip(turns, verdicts, strict=True):
        turn.verdicts.append(verdict)
    return found

  def _answer(self, memories, questions):
    queries = [[question.text for question in row] for row in questions]
    return self.panel.reader(memories, queries)

  def _mark(self, read: Callable, questions):
    answers = read()
    return answers, self.panel.marker(questions, answers)


def _heard(wait: Callable, asked):
  """The result; of another machine, it is what process 0 was told."""
  return mesh.from_first(wait) if base.overlaps(asked) else wait()


def _begin(work: Callable, *, now: bool) -> Callable:
  """What to call for the result; `now` begins in a thread, else that call does.

  The thread is a daemon, so that a run which fails elsewhere can end, and works
  under the mesh of its caller, which jax keeps per thread.
  """
  if not now or jax.process_index() != 0:
    return work
  future = concurrent.futures.Future()
  made = jax.sharding.get_mesh()

  def run():
    try:
      with contextlib.nullcontext() if made.empty else jax.set_mesh(made):
        future.set_result(work())
    except BaseException as error:  # raised again where the result is wanted
      future.set_exception(error)

  threading.Thread(target=run, name='reading', daemon=True).start()
  return future.result
