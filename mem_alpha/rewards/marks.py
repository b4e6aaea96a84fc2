"""The score of every answer of a batch, by rule or by judge.

An answer that its reader failed to give has no score (None), and neither has
one that its judge failed on: both are left out and counted, see answer.py. An
answer that says nothing is an answer: 0 by every rule, but a judge is asked
about it, for some questions have no answer and the demand is to say so.
"""

from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.readers import judge as judge_lib
from mem_alpha.rewards import published
from mem_alpha.rewards import scores as scores_lib

Marks = list[list[float | None]]


class Marker:
  """`marker(questions, answers) -> marks`, one list per memory.

  `profile` is that of scores.py; `judge` is needed by the metric of that name.
  """

  def __init__(
    self, profile: str = 'default', judge: judge_lib.Correct | None = None
  ):
    if profile not in scores_lib.PROFILES:
      raise ValueError(
        f'reward.scores={profile!r} is unknown: use one of '
        f'{", ".join(scores_lib.PROFILES)}.'
      )
    self.profile, self.judge = profile, judge
    self.overlaps = base.overlaps(judge)

  def __call__(
    self,
    questions: Sequence[Sequence[structs.Question]],
    answers: Sequence[Sequence[structs.Answer]],
  ) -> Marks:
    marks: Marks = []
    waiting = []  # (memory, question) for the judge
    for m, (asked, said) in enumerate(zip(questions, answers, strict=True)):
      row: list[float | None] = []
      for q, (question, answer) in enumerate(zip(asked, said, strict=True)):
        mark = None
        judged = question.metric == scores_lib.JUDGE
        if judged and not answer.failed:
          waiting.append((m, q))
        elif not answer.failed:
          mark = scores_lib.score(
            question.metric,
            answer.text,
            question.answers,
            profile=self.profile,
          )
        row.append(mark)
      marks.append(row)
    if waiting:
      self._judge(waiting, questions, answers, marks)
    return marks

  def _judge(self, waiting, questions, answers, marks) -> None:
    """Fills in, in place, the marks that a judge gives."""
    if self.judge is None:
      raise base.ReaderError(
        'A question is scored by a judge, and there is none: set judge.name to '
        'local or endpoint.'
      )
    verdicts = self.judge(
      [
        (
          questions[m][q].text,
          questions[m][q].answers,
          _said(answers[m][q]),
        )
        for m, q in waiting
      ]
    )
    for (m, q), verdict in zip(waiting, verdicts, strict=True):
      marks[m][q] = None if verdict is None else float(verdict)


def _said(answer: structs.Answer) -> str:
  said = scores_lib.after_thinking(answer.text)
  return said if said.strip() else base.UNKNOWN


def published_yes(profile: str):
  """How a judge's reply is read under a profile; None: as strict JSON."""
  return None if profile == 'default' else published.yes
