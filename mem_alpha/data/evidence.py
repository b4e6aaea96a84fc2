"""Which session of a history answers a question, where no file says so.

A stand-in for evidence ids: it is the session with the sentence that holds the
answer and the most of the question's words, each word weighted by how few
sessions have it (inverse document frequency). Where the best sentence has less
than a third of that weight the session is unknown: an answer such as `3` occurs
everywhere, and one that sums up many sessions nowhere.
"""

import collections
import math
import re
from collections.abc import Sequence

from mem_alpha.data import chunking

SHARE = 1 / 3  # of the weight of a question's words
_WORDS = re.compile(r'\w+')


class Sessions:
  """The texts of sessions, by their words."""

  def __init__(self, texts: Sequence[str]):
    self._sentences = [
      [_words(sentence) for sentence in chunking.sentences(text)]
      for text in texts
    ]
    self._known = [
      {word for sentence in session for word in sentence}
      for session in self._sentences
    ]
    self._frequency = collections.Counter(
      word for known in self._known for word in known
    )

  def answering(self, question: str, answers: Sequence[str]) -> int | None:
    """The number of the session that answers a question; None if unknown."""
    best, place = SHARE, None
    for words in filter(None, map(_words, answers)):
      asked = set(_words(question)).difference(words)
      total = sum(map(self._weight, asked))
      for number, known in enumerate(self._known):
        if not known.issuperset(words):
          continue
        for sentence in self._sentences[number]:
          if f' {" ".join(words)} ' in f' {" ".join(sentence)} ':
            weight = sum(map(self._weight, asked.intersection(sentence)))
            # At a tie the later session: what was said last holds.
            if total and weight / total >= best:
              best, place = weight / total, number
    return place

  def _weight(self, word: str) -> float:
    return math.log((1 + len(self._known)) / (1 + self._frequency[word]))


def _words(text: str) -> list[str]:
  return _WORDS.findall(text.lower())
