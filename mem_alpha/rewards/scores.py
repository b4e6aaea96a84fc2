"""Scores of one answer, by name: each a number in [0, 1].

  exact      DrQA-normalised match: the normalised texts are equal
  token_f1   harmonic mean of precision and recall over normalised words
  substring  substring exact match: the normalised gold occurs in the
             prediction, as whole words (`no` is not in `know`)
  contains   the same; its published form differs (SQuAD, HotpotQA)
  keywords   share of the gold's keywords, parted by commas or semicolons, that
             occur in the prediction, in the same sense
  phrases    the same, parted by semicolons alone (a date keeps its comma)
  boxed      the label in the first \\boxed{…}, or else the text, is the gold
  recall@k   share of the golds that equal one of the first k items of a list,
             one item per line or parted by commas (a gold keeps its own);
             recall: k without end
  rouge_l    ROUGE-L F1 with stemming (package rouge-score)
  judge      yes or no by a model, see readers/judge.py; not scored here

Normalised as DrQA and the SQuAD script do it: lower case, no ASCII punctuation,
no articles, single spaces. Where a gold is searched, `Oslo-based` also holds
Oslo, and a gold that is an article (the label A) or a sign is searched as it
is. What stands before `</think>` is never scored.

`substring`, `contains`, `keywords` and `recall` do not punish extra text: they
are for tables of real sources, never for training on generated data, where
pasting everything would pay.

The profiles `reference` and `reference_eval` are the published scorers of
training and of evaluation, defects included: see published.py.
"""

import collections
import fnmatch
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
# What parts words: a sign, but not one inside a number such as 3.5 or 12:30.
_PARTING = re.compile(r'[^\w\s.,:]|_|(?<!\d)[.,:]|[.,:](?!\d)')
_MARKUP = re.compile(r'\\[a-z]+\{([^{}]*)\}')  # \text{2} is 2
_BULLET = re.compile(r'^\s*(?:[-*•]|\d+[.)])\s+')
_RECALL = re.compile(r'recall(?:@([1-9]\d*))?')

# One scorer per source; patterns of names, the first that fits.
_SOURCES = (
  ('*icl*', 'boxed'),
  ('*ttl_train*', 'boxed'),
  ('squad*', 'contains'),
  ('hotpotqa*', 'contains'),
  ('perltqa*', 'phrases'),
  ('booksum*', 'keywords'),
  ('infbench_sum*', 'keywords'),
  ('infbench*', 'rouge_l'),
  ('pubmed*', 'boxed'),
  ('ttl*', 'boxed'),
  ('nlu*', 'boxed'),
  ('trec*', 'boxed'),
  ('banking77*', 'boxed'),
  ('clin*c150*', 'boxed'),  # also spelt clinic150
  ('detectiveqa*', 'boxed'),
  ('lme_train*', JUDGE),
  ('longmemeval*', JUDGE),
  ('eventqa*', 'recall'),
  ('recsys*', 'recall@5'),
  ('locomo*', 'token_f1'),
)


def metric_of(source: str) -> str:
  """The metric of a data source; `substring` where it has none of its own."""
  for pattern, metric in _SOURCES:
    if fnmatch.fnmatchcase(source, pattern):
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
  # A label such as 'A' or '+' is not nothing.
  return _plain(text) or _raw(text)


def _plain(text: str) -> str:
  return _without_articles(text.lower().translate(_PUNCTUATION))


def _apart(text: str) -> str:
  """Like `_plain`, but signs part words."""
  return _without_articles(_parted(text))


def _parted(text: str) -> str:
  return ' '.join(_PARTING.sub(' ', text.lower()).split())


def _raw(text: str) -> str:
  return ' '.join(text.lower().split())


def _without_articles(text: str) -> str:
  return ' '.join(_ARTICLES.sub(' ', text).split())


def _occurs(gold: str, prediction: str) -> bool:
  """Whether the gold stands in the prediction, as whole words."""
  if _plain(gold):
    forms = (_plain, _apart)
  else:  # an article or a sign: what `_plain` takes away is what is looked for
    forms = (_parted,) if _parted(gold) else (_raw,)
  return any(
    form(gold) and f' {form(gold)} ' in f' {form(prediction)} '
    for form in forms
  )


def _exact(prediction: str, gold: str) -> float:
  return float(normalise(prediction) == normalise(gold))


def _token_f1(prediction: str, gold: str) -> float:
  said, wanted = normalise(prediction).split(), normalise(gold).split()
  common = collections.Counter(said) & collections.Counter(wanted)
  return 2 * common.total() / (len(said) + len(wanted)) if wanted else 0.0


def _substring(prediction: str, gold: str) -> float:
  return float(_occurs(gold, prediction))


def _keywords(prediction: str, gold: str, parted_by: str = '[,;]') -> float:
  parts = [part for part in re.split(parted_by, gold) if part.strip()]
  return sum(_occurs(part, prediction) for part in parts) / max(1, len(parts))


def _boxed(prediction: str, gold: str) -> float:
  found = _BOXED.search(prediction)
  label = _MARKUP.sub(r'\1', found[1] if found else prediction)
  return float(label.strip('\'" \n\t.') == gold.strip())


def _recall(prediction: str, golds: Sequence[str], first: int | None) -> float:
  wanted = {normalise(gold) for gold in golds}
  most = 1 + max(gold.count(',') for gold in golds)
  items: list[str] = []
  for line in prediction.split('\n'):
    parts = [p for p in _BULLET.sub('', line).split(',') if p.strip()]
    while parts:
      # As many parts as a gold with commas has, if they are one: 'Rome, Italy'.
      for size in range(min(most, len(parts)), 0, -1):
        item = normalise(','.join(parts[:size]))
        if item in wanted or size == 1:
          break
      items.append(item)
      parts = parts[size:]
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
