"""The published system's own scores, defects included.

For the profiles `reference` (the reward of training) and `reference_eval` (the
evaluator), so that its tables can be made again. What is odd about them, and
why scores.py does otherwise:

  contains   only the first gold counts
  substring  the text after `Answer:` counts too; a gold of articles alone is
             empty, and the empty string occurs in every text
  keywords   inside words too; training parts at ',', the evaluator at ', '
  phrases    of several, each is lower-cased but the prediction is not: a
             keyword that has a capital in the answer is never found
  boxed      digits only; training compares with a list of golds as its print
  yes        `yes` in the reply and `no` nowhere in it, so that `know` vetoes
"""

import re
import string
from collections.abc import Sequence

PROFILES = ('reference', 'reference_eval')

_PUNCTUATION = frozenset(string.punctuation)
_ANSWER = re.compile(r'answer:(.*)', re.IGNORECASE)
_BOXED = re.compile(r'\\boxed\{([^}]*)\}')


def yes(reply: str) -> bool:
  """The verdict in a reply of the published yes/no judge."""
  reply = _after_thinking(reply).lower()
  return 'yes' in reply and 'no' not in reply


def _contains(prediction: str, golds: Sequence[str], profile: str) -> float:
  return float(golds[0].lower() in _after_thinking(prediction).lower())


def _substring(prediction: str, golds: Sequence[str], profile: str) -> float:
  prediction = _after_thinking(prediction)
  parsed = _ANSWER.search(prediction)
  forms = [_drqa(prediction), _drqa(parsed[1]) if parsed else '']
  return float(any(_drqa(gold) in form for gold in golds for form in forms))


def _keywords(prediction: str, golds: Sequence[str], profile: str) -> float:
  said = _after_thinking(prediction).lower()
  parts = golds[0].split(',' if profile == 'reference' else ', ')
  return sum(part.strip().lower() in said for part in parts) / len(parts)


def _phrases(prediction: str, golds: Sequence[str], profile: str) -> float:
  said = _after_thinking(prediction)
  parts = [part.strip().lower() for part in golds[0].split(';')]
  if len(parts) == 1:
    return float(parts[0] in said.lower())
  return sum(part in said for part in parts) / len(parts)


def _boxed(prediction: str, golds: Sequence[str], profile: str) -> float:
  # A row with one answer held it as a string, one with more as a list.
  whole = profile == 'reference' and len(golds) > 1
  gold = str(list(golds)) if whole else golds[0]
  said = _after_thinking(prediction)
  found = _BOXED.search(said)
  label = (found[1] if found else said).strip().strip('\'"')
  return float(bool(re.match(r'^\d+$', label)) and label == gold)


def _after_thinking(text: str) -> str:
  return text.split('</think>')[-1]


def _drqa(text: str) -> str:
  """Lower case, without punctuation, articles and extra spaces, in order."""
  text = ''.join(c for c in text.lower() if c not in _PUNCTUATION)
  return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', text).split())


SCORERS = {
  'contains': _contains,
  'substring': _substring,
  'keywords': _keywords,
  'phrases': _phrases,
  'boxed': _boxed,
}
