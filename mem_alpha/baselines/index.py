"""BM25 over a few hundred texts, on the host.

The weights are those of memory/retrieval.py, so that agents and baselines
search alike; a store on the device would need its shape before its texts.
"""

import collections
from collections.abc import Sequence

import numpy as np

from mem_alpha import text as text_lib


class Index:
  """Ranks texts D by a query. The idf is log(1 + (N - df + .5)/(df + .5))."""

  def __init__(self, texts: Sequence[str], *, k1: float = 1.5, b: float = 0.75):
    words = [text_lib.words(text) for text in texts]
    lengths_D = np.array([len(w) for w in words], float)
    mean = lengths_D.mean() if len(words) and lengths_D.any() else 1.0
    norm_D = k1 * (1 - b + b * lengths_D / mean)
    places = collections.defaultdict(dict)  # word -> text -> how often
    for place, row in enumerate(words):
      for word, times in collections.Counter(row).items():
        places[word][place] = times
    self._size = len(words)
    self._weights = {}
    for word, found in places.items():
      at_H = np.fromiter(found, int)
      tf_H = np.fromiter(found.values(), float)
      idf = np.log1p((len(words) - len(at_H) + 0.5) / (len(at_H) + 0.5))
      self._weights[word] = at_H, idf * tf_H * (k1 + 1) / (tf_H + norm_D[at_H])

  def scores(self, query: str) -> np.ndarray:
    """scores_D; a word counts as often as the query repeats it."""
    scores_D = np.zeros(self._size)
    for word in text_lib.words(query):
      if word in self._weights:
        at_H, weight_H = self._weights[word]
        scores_D[at_H] += weight_H
    return scores_D

  def top(self, query: str, k: int) -> list[int]:
    """Places of the k best texts; of equal ones the earlier comes first."""
    return np.argsort(-self.scores(query), kind='stable')[:k].tolist()
