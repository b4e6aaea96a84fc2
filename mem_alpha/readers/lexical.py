"""A reader without a model: it ranks sentences and quotes a few words.

1. BM25 ranks the sentences of the entries that the search returned, by the
   content words of the question: a rare function word tells nothing. Where
   several match the same content words of it, the newest entry's is taken.
   A sentence must hold a content word of the question, and at least half of
   its names if it has any.
2. The answer is the best run of consecutive words of that sentence that are
   neither in the question nor function words: a run with a capital or a digit
   beats one without, then the rarer run (mean idf), then the later one.
   A run longer than `max_words` is cut to its first words.
3. If that answer heads another entry, one more hop: a name in the answer is
   searched together with the question's words that the first sentence did not
   hold, and the answer is quoted from there.
4. A question that asks for a label gets the majority label of the 3 nearest
   labelled examples, the nearest of them deciding ties, as far as they share a
   word with it that not all examples hold; one that asks what it
   was all about gets the first 64 words of the core memory, function words not
   counted or quoted.

Deterministic, knows no template of any data set, and answers '' from an empty
memory.
"""

import collections
import functools
import math
import re
from collections.abc import Iterable, Sequence

from mem_alpha import structs
from mem_alpha.readers import base

_FUNCTION_WORDS = frozenset(
  'a an the of in on at to for from by with as and or but not no nor so than'
  ' then that this these those it its he she they we you i me my our your his'
  ' her their us them him is are was were be been being am do does did has'
  ' have had will would can could should may might must there here who whom'
  ' whose which what when where why how if about into over under up out now'
  ' also very become becomes became remain remains remained'.split()
)
_CALENDAR = frozenset(
  'january february march april may june july august september october'
  ' november december monday tuesday wednesday thursday friday saturday'
  ' sunday'.split()
)
_WORD = re.compile(r'\w+')
_SENTENCE_END = re.compile(r'(?<=[.!?])\s+|\n+')
_LABEL = re.compile(r'\blabel\b(?:\s+is\b|\s*[:=])?\s*(\w+)', re.IGNORECASE)
_ABOUT = re.compile(
  r'\ball about\b|\bsummar|\boverall\b|\bmain topics?\b', re.IGNORECASE
)
_CORE_WORDS = 64
_NEIGHBOURS = 3


class _Sentence:
  """A sentence with its words, cased and lower-cased."""

  def __init__(self, text: str):
    self.cased = _WORD.findall(text)
    self.words = [w.lower() for w in self.cased]
    self.counts = collections.Counter(self.words)
    # The first word of a sentence has a capital for another reason.
    self.names = frozenset(
      w.lower()
      for w in self.cased[1:]
      if w[0].isupper()
      and w.lower() not in _FUNCTION_WORDS
      and w.lower() not in _CALENDAR
    )
    self.content = frozenset(self.words) - _FUNCTION_WORDS


class Lexical:
  """`reader(memories, queries) -> answers`; see the module docstring."""

  def __init__(self, *, max_words: int = 5, k1: float = 1.5, b: float = 0.75):
    self.max_words, self.k1, self.b = max_words, k1, b

  def __call__(
    self, memories: base.Memories, queries: base.Queries
  ) -> list[list[structs.Answer]]:
    """One answer per question; the search is called at most twice."""
    hits = memories.search(queries)
    answers, hops = [], []
    for m, (questions, found) in enumerate(zip(queries, hits)):
      row = []
      for q, (question, entries) in enumerate(zip(questions, found)):
        answer, follow = self._first(question, entries, memories.cores[m])
        row.append(answer)
        if follow:
          hops.append((m, q, follow))
      answers.append(row)
    if hops:
      self._hop(memories, hops, answers)
    return answers

  def _first(self, question: str, entries, core: str):
    """The answer of one hop, and the query of a second where there is one."""
    if _ABOUT.search(question):
      words = [w for w in core.split() if w.lower() not in _FUNCTION_WORDS]
      words = words[:_CORE_WORDS]
      sources = ((structs.Kind.CORE, structs.NO_ID),) if words else ()
      return structs.Answer(' '.join(words), sources), None
    asked = _sentence(question)
    if 'label' in asked.words:
      return self._label(asked, entries), None
    best = self._best(asked, entries, names=asked.names)
    if best is None:
      return structs.Answer(''), None
    sentence, entry, idf = best
    answer = self._quote(asked, sentence, idf)
    names = [w for w in _sentence('_ ' + answer).names]
    rest = asked.content - sentence.content
    # A hop needs a name to look for and something left to find out.
    follow = (answer, entry, rest) if names and rest else None
    return structs.Answer(answer, ((entry.kind, entry.uid),)), follow

  def _hop(self, memories, hops, answers):
    """Replaces, in place, answers that head an entry saying more."""
    queries = [[] for _ in memories.cores]
    for m, _, (answer, _, rest) in hops:
      queries[m].append(' '.join([answer, *sorted(rest)]))
    found = [iter(row) for row in memories.search(queries)]
    for m, q, (answer, first, rest) in hops:
      asked = _sentence(' '.join(['_', answer, *sorted(rest)]))
      entries = [
        e for e in next(found[m]) if (e.kind, e.uid) != (first.kind, first.uid)
      ]
      best = self._best(asked, entries, names=asked.names)
      if best is None or not best[0].content & rest:
        continue
      sentence, entry, idf = best
      text = self._quote(asked, sentence, idf)
      if text:
        sources = tuple((e.kind, e.uid) for e in (first, entry))
        answers[m][q] = structs.Answer(text, sources)

  def _best(self, asked: _Sentence, entries, *, names: Iterable[str]):
    """The sentence to quote, its entry, and the idf of all words there."""
    pairs = [
      (sentence, entry)
      for entry in entries
      for sentence in _sentences(entry.text)
    ]
    idf, scores = self._rank(asked, [sentence for sentence, _ in pairs])
    names = frozenset(names)
    groups = {}  # words matched -> the best score, the newest sentence's place
    for place, score in enumerate(scores):
      sentence, entry = pairs[place]
      matched = asked.content & sentence.content
      if not matched or 2 * len(names & matched) < len(names):
        continue
      # Sentences that match the same words are equal: the newer one counts.
      top, newest = groups.get(matched, (score, place))
      if entry.order > pairs[newest][1].order:
        newest = place
      groups[matched] = max(top, score), newest
    if not groups:
      return None
    _, place = max(groups.values(), key=lambda g: (g[0], pairs[g[1]][1].order))
    return *pairs[place], idf

  def _rank(self, asked: _Sentence, sentences: Sequence[_Sentence]):
    """BM25 with the non-negative idf log(1 + (N - df + .5) / (df + .5))."""
    n = len(sentences)
    df = collections.Counter(w for s in sentences for w in s.counts)
    idf = {w: math.log1p((n - c + 0.5) / (c + 0.5)) for w, c in df.items()}
    mean = sum(len(s.words) for s in sentences) / max(n, 1)
    scores = []
    for s in sentences:
      norm = self.k1 * (1 - self.b + self.b * len(s.words) / max(mean, 1))
      scores.append(
        sum(
          idf[w] * s.counts[w] * (self.k1 + 1) / (s.counts[w] + norm)
          for w in asked.words
          if w in s.counts and w in asked.content
        )
      )
    return idf, scores

  def _quote(self, asked: _Sentence, sentence: _Sentence, idf) -> str:
    skip = frozenset(asked.words) | _FUNCTION_WORDS
    runs, run = [], []
    for place, word in enumerate(sentence.words + ['the']):
      if word not in skip:
        run.append(place)
      elif run:
        runs.append(run)
        run = []
    if not runs:
      return ''

    def value(run):
      marked = any(
        sentence.cased[p][0].isdigit()
        or (p > 0 and sentence.cased[p][0].isupper())
        for p in run
      )
      rare = sum(idf[sentence.words[p]] for p in run) / len(run)
      return marked, rare, run[0]

    best = max(runs, key=value)[: self.max_words]
    return ' '.join(sentence.cased[p] for p in best)

  def _label(self, asked: _Sentence, entries) -> structs.Answer:
    examples = []
    for entry in entries:
      for sentence in _SENTENCE_END.split(entry.text):
        label = _LABEL.search(sentence)
        if label:
          text = sentence[: label.start()] + ' ' + sentence[label.end() :]
          examples.append((_sentence(text), label.group(1), entry))
    _, scores = self._rank(asked, [s for s, _, _ in examples])
    # Only words that tell examples apart make one near: one that they all hold,
    # such as 'request', would let examples of other labels outvote it.
    telling = asked.content - {'label'}
    if len({label for _, label, _ in examples}) > 1:
      telling -= frozenset.intersection(*(s.content for s, _, _ in examples))
    near = sorted(
      (
        (-score, -entry.order, label, entry)
        for score, (s, label, entry) in zip(scores, examples)
        if s.content & telling
      ),
      key=lambda item: item[:2],
    )[:_NEIGHBOURS]
    if not near:
      return structs.Answer('')
    votes = collections.Counter(label for _, _, label, _ in near)
    top = max(votes.values())
    label = next(item[2] for item in near if votes[item[2]] == top)
    sources = tuple((e.kind, e.uid) for _, _, _, e in near)
    return structs.Answer(label, sources)


@functools.lru_cache(maxsize=1 << 16)
def _sentence(text: str) -> _Sentence:
  return _Sentence(text)


@functools.lru_cache(maxsize=1 << 16)
def _sentences(text: str) -> tuple[_Sentence, ...]:
  parts = (_sentence(part) for part in _SENTENCE_END.split(text))
  return tuple(s for s in parts if s.words)
