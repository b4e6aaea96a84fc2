"""Scores of one answer, by name: each a number in [0, 1].

  exact      DrQA-normalised match: the normalised texts are equal
  token_f1   harmonic mean of precision and recall over normalised words
  substring  substring exact match: the normalised gold occurs in the prediction
  contains   the same; its published form differs (SQuAD, HotpotQA)
  keywords   share of the gold's keywords, parted by commas or semicolons, that
             occur in the prediction as whole words
  phrases    the same, parted by semicolons alone (a date keeps its comma)
  boxed      the label in the first \\boxed{…}, or else the text, is the gold
  recall@k   share of the golds that equal one of the first k items of a list,
             one item per line or parted by commas; recall: k without end
  rouge_l    ROUGE-L F1 with stemming (package rouge-score)
  judge      yes or no by a model, see readers/judge.py; not scored here

Normalised as DrQA and the SQuAD script do it: lower case, no ASCII punctuation,
no articles, single spaces. What stands before `</think>` is never scored.

`substring`, `contains`, `keywords` and `recall` do not punish extra text: they
are for tables of real sources, never for training on generated data, where
pasting everything would pay.

The profiles `reference` and `reference_eval` are the published scorers of
training and of evaluation, defects included: see published.py.
"""

import collections
import functools
import re
import string
from collections.abc import Callable, Sequence

from mem_alpha.rewards import published

PROFILES = ('default', *published.PROFILES)
JUDGE = 'judge'  # the one metric that needs a model

_PUNCTUATION = str.maketrans('', '', string.punctuation)
_ARTICLES = re.compile(r'\b(?:a|an|the)\b')
_BOXED = re.compile(r'\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}')
_MARKUP = re.compile(r'\\[a-z]+\{([^{}]*)\}')  # \text{2} is 2
_BULLET = re.compile(r'^\s*(?:[-*•]|\d+[.)])\s+')
_RECALL = re.compile(r'recall(?:@([1-9]\d*))?')

# One scorer per source; beginnings of names, the first that fits.
_SOURCES = (
  ('squad', 'contains'),
  ('hotpotqa', 'contains'),
  ('perltqa', 'phrases'),
  ('booksum', 'keywords'),
  ('infbench_sum', 'keywords'),
  ('infbench', 'rouge_l'),
  ('pubmed', 'boxed'),
  ('icl', 'boxed'),
  ('ttl', 'boxed'),
  ('nlu', 'boxed'),
  ('trec', 'boxed'),
  ('banking77', 'boxed'),
  ('clinc150', 'boxed'),
  ('detectiveqa', 'boxed'),
  ('lme_train', JUDGE),
  ('longmemeval', JUDGE),
  ('eventqa', 'recall'),
  ('recsys', 'recall@5'),
  ('locomo', 'token_f1'),
)


def metric_of(source: str) -> str:
  """The metric of a data source; `substring` where it has none of its own."""
  for name, metric in _SOURCES:
    if source.startswith(name):
      return metric
  return 'substring'


def check(metric: str) -> None:
  """Raises ValueError for a name that is no metric."""
  if metric not in _SCORERS and not _RECALL.fullmatch(metric):
    names = ', '.join([*sorted(_SCORERS), JUDGE, 'recall@k'])
    raise ValueError(f'No metric {metric!r}: choose one of {names}.')


def score(
  metric: str,
  prediction: str,
  golds: Sequence[str],
  *,
  profile: str = 'default',
) -> float:
  """The score of a prediction; the best one over the accepted answers."""
  if metric == JUDGE:
    raise ValueError('The metric judge needs a model: set judge.name.')
  check(metric)
  if profile not in PROFILES:
    raise ValueError(f'No profile {profile!r}: use one of {PROFILES}.')
  if isinstance(golds, str) or not golds:
    raise ValueError(f'{golds!r} is no list of accepted answers.')
  if profile != 'default' and metric in published.SCORERS:
    return published.SCORERS[metric](prediction, golds, profile)
  prediction = after_thinking(prediction)
  if not prediction.strip():
    return 0.0
  if recall := _RECALL.fullmatch(metric):
    first = int(recall[1]) if recall[1] else None
    return _recall(prediction, golds, first)
  return max(_SCORERS[metric](prediction, gold) for gold in golds)


def after_thinking(text: str) -> str:
  """The text without what a reasoning model thought before it."""
  return text.rpartition('</think>')[2]


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


def _keywords(prediction: str, gold: str, parted_by: str = '[,;]') -> float:
  parts = re.split(parted_by, gold)
  words = [normalise(part) for part in parts if part.strip()]
  said = f' {normalise(prediction)} '
  return sum(f' {word} ' in said for word in words) / max(1, len(words))


def _boxed(prediction: str, gold: str) -> float:
  found = _BOXED.search(prediction)
  label = _MARKUP.sub(r'\1', found[1] if found else prediction)
  return float(label.strip('\'" \n\t.') == gold.strip())


def _recall(prediction: str, golds: Sequence[str], first: int | None) -> float:
  lines = [_BULLET.sub('', line) for line in prediction.split('\n')]
  items = [normalise(i) for line in lines for i in line.split(',') if i.strip()]
  wanted = {normalise(gold) for gold in golds}
  return len(wanted & set(items[:first])) / len(wanted)


def _rouge_l(prediction: str, gold: str) -> float:
  return _rouge().score(gold, prediction)['rougeL'].fmeasure


@functools.cache
def _rouge():
  # Slow to import (nltk), and few runs need it.
  from rouge_score import rouge_scorer

  return rouge_scorer.RougeScorer(['rougeL'], use_stemmer=True)


_SCORERS: dict[str, Callable[[str, str], float]] = {
  'exact': _exact,
  'token_f1': _token_f1,
  'substring': _substring,
  'contains': _substring,
  'keywords': _keywords,
  'phrases': functools.partial(_keywords, parted_by=';'),
  'boxed': _boxed,
  'rouge_l': _rouge_l,
}
