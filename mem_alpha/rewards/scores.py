"""Scores of one answer, by name: each a number in [0, 1].

  exact      the normalised texts are equal
  token_f1   harmonic mean of precision and recall over normalised words
  substring  the normalised gold occurs in the normalised prediction
  keywords   share of the gold's keywords (parted by , or ;) that occur in the
             prediction as whole words

Normalised as DrQA and the SQuAD script do it: lower case, no ASCII
punctuation, no articles, single spaces. `substring` and `keywords` do not
punish extra text: they are for tables of real sources, never for training on
generated data, where pasting everything would pay.
"""

import collections
import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans('', '', string.punctuation)
_ARTICLES = re.compile(r'\b(?:a|an|the)\b')


def score(metric: str, prediction: str, golds: Sequence[str]) -> float:
  """The best score of a prediction over the accepted answers."""
  if metric not in _SCORERS:
    raise ValueError(
      f'No metric {metric!r}: choose one of {", ".join(sorted(_SCORERS))}.'
    )
  if isinstance(golds, str) or not golds:
    raise ValueError(f'{golds!r} is no list of accepted answers.')
  if not prediction.strip():
    return 0.0
  return max(_SCORERS[metric](prediction, gold) for gold in golds)


def normalise(text: str) -> str:
  """Lower case, without punctuation, articles and extra spaces."""
  plain = text.lower().translate(_PUNCTUATION)
  plain = ' '.join(_ARTICLES.sub(' ', plain).split())
  # A label such as 'A' or '+' is not nothing.
  return plain or ' '.join(text.lower().split())


def _exact(prediction: str, gold: str) -> float:
  return float(normalise(prediction) == normalise(gold))


def _token_f1(prediction: str, gold: str) -> float:
  said, wanted = normalise(prediction).split(), normalise(gold).split()
  common = collections.Counter(said) & collections.Counter(wanted)
  return 2 * common.total() / (len(said) + len(wanted)) if wanted else 0.0


def _substring(prediction: str, gold: str) -> float:
  wanted = normalise(gold)
  return float(bool(wanted) and wanted in normalise(prediction))


def _keywords(prediction: str, gold: str) -> float:
  words = [normalise(part) for part in re.split('[,;]', gold) if part.strip()]
  said = f' {normalise(prediction)} '
  return sum(f' {word} ' in said for word in words) / max(1, len(words))


_SCORERS = {
  'exact': _exact,
  'token_f1': _token_f1,
  'substring': _substring,
  'keywords': _keywords,
}
