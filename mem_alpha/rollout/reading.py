"""Questions, scores and verdicts of a batch, beside the sampling.

A rollout's questions can be answered as soon as its last chunk is read, and a
stored content can be judged as soon as its turn is over. Where reader and
judges wait for another machine (`overlaps`), both happen at once, in threads,
while other rollouts still sample. Where they need this machine's devices, all
is asked at the end, in one batch; if only the judge of answers is elsewhere,
grading begins as soon as the last rollout of the batch is read, while the next
batch of an evaluation samples. The same is asked, so the answers are the same.
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

Episode = tuple[int, structs.Instance]  # its number in the batch


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
    # Whether to ask as soon as an episode ends, or only once all have.
    self.at_once = base.overlaps(panel.reader)
    self._reads: list[tuple[Sequence[Episode | None], Callable]] = []
    self._judged: list[tuple[list, Callable]] = []

  def read(
    self, memories: base.Memories, episodes: Sequence[Episode | None]
  ) -> None:
    """Asks the questions of those memories that an episode ended with."""
    questions = [e[1].questions if e else () for e in episodes]
    read = functools.partial(self._answer, memories, questions)
    now = self.at_once
    if not now and self.panel.marker.overlaps:
      answers = read()  # takes its time now or later; grading need not wait
      read, now = (lambda: answers), True
    work = functools.partial(self._mark, read, questions)
    self._reads.append((episodes, _begin(work, now=now)))

  def judge(self, turns, instances: Sequence[structs.Instance]) -> None:
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
    """Answers and scores of `size` episodes; fills in all verdicts."""
    found = [Read([], []) for _ in range(size)]
    for episodes, wait in self._reads:
      for episode, *read in zip(episodes, *_heard(wait, self.panel.reader)):
        if episode:
          found[episode[0]] = Read(*read)
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
