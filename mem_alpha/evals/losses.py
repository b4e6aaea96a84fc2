"""Where points are lost: at which step the right answer went missing.

Every answer that scores less than 1 is in exactly one class, found by looking
for the accepted answers in what was read, what is stored and what the reader
was shown (core, what the search returns for the question, and the entries that
the reader names as its sources):

  not_in_text    no chunk holds it word for word: this check cannot tell
  not_stored     a chunk holds it, the memory does not
  not_retrieved  the memory holds it, what was shown to the reader does not
  misread        it was shown, and the reader said something else

A memory may hold the right words for another reason than the question, so the
first two classes are lower bounds and `misread` an upper one.
"""

import functools
import re
from collections.abc import Mapping, Sequence

from mem_alpha import structs
from mem_alpha.rewards import scores
from mem_alpha.rollout import episode

CLASSES = ('not_in_text', 'not_stored', 'not_retrieved', 'misread')
# Their points are given part by part, so their parts are looked for.
_BY_WORD = ('token_f1', 'rouge_l')
_BY_KEYWORD = {'keywords': '[,;]', 'phrases': ';'}


def classify(
  question: structs.Question,
  *,
  chunks: Sequence[str],
  stored: Sequence[str],
  shown: Sequence[str],
) -> str:
  """The class of a wrong answer, by the texts that could have held it."""
  for name, texts in zip(CLASSES, (chunks, stored, shown)):
    if not _hold(tuple(texts), question):
      return name
  return CLASSES[-1]


def of(rollouts: episode.Rollouts) -> list[list[str | None]]:
  """Per row and question: the class; None where nothing was lost.

  An answer without a score is excluded from the figures and is None too.
  """
  hits = rollouts.memories.search(
    [[q.text for q in i.questions] for i in rollouts.instances]
  )
  found = []
  for row, instance in enumerate(rollouts.instances):
    entries = {(e.kind, e.uid): e.text for e in rollouts.entries[row]}
    core = rollouts.cores[row]
    stored = [*dict.fromkeys([core, *entries.values()])]
    classes = []
    for question, answer, value, hit in zip(
      instance.questions,
      rollouts.answers[row],
      rollouts.scores[row],
      hits[row],
      strict=True,
    ):
      if value is None or value >= 1:
        classes.append(None)
        continue
      named = [entries[s] for s in answer.sources if s in entries]
      shown = [core, *(entry.text for entry in hit), *named]
      classes.append(
        classify(question, chunks=instance.chunks, stored=stored, shown=shown)
      )
    found.append(classes)
  return found


def count(predictions: Sequence[Mapping]) -> dict[str, dict[str, float]]:
  """Per class: wrong answers, and the share of all points that they cost.

  The shares of a system and its score, averaged over questions, sum to 1.
  """
  scored = [p for p in predictions if p['score'] is not None]
  lost = {name: {'answers': 0, 'points': 0.0} for name in CLASSES}
  for prediction in scored:
    if prediction['score'] < 1:
      own = lost[prediction['loss']]
      own['answers'] += 1
      own['points'] += (1 - prediction['score']) / len(scored)
  return lost


def _hold(texts: tuple[str, ...], question: structs.Question) -> bool:
  return any(_holds(texts, gold, question.metric) for gold in question.answers)


def _holds(texts: tuple[str, ...], gold: str, metric: str) -> bool:
  """Parts may stand anywhere in the texts; a whole answer stands in one."""
  if metric in _BY_WORD:
    parts = scores.normalise(gold).split()
  elif metric in _BY_KEYWORD:
    parts = map(scores.normalise, re.split(_BY_KEYWORD[metric], gold))
  else:
    parts = [scores.normalise(gold)]
  return all(any(f' {p} ' in _plain(t) for t in texts) for p in parts if p)


@functools.lru_cache(1 << 16)
def _plain(text: str) -> str:
  """Normalised words between spaces: a word in it is a whole word."""
  return f' {scores.normalise(text)} '
