"""What two sets of instances have in common, and how it is kept out.

Compared are questions and what answers them, all without case and punctuation;
frames and dates around the text of a source do not count. One shared sentence
proves nothing: stock phrases and recipes recur in unrelated talks. A passage is
shared where both sides show

- a labelled sentence of the same task,
- two sentences of one paragraph, one after the other, of 25 words or more,
- a paragraph of one sentence of 12 words or more that names something, or
- a sentence of 12 words or more that answers a question of either side: it
  holds an accepted answer and two words of the question.

A title in front (`Title: text`) is no part of a sentence.
"""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import chunking
from mem_alpha.data import ledger
from mem_alpha.data import wording

MIN_WORDS = 12  # of a sentence that is compared
PAIR_WORDS, PART_WORDS = 25, 4  # of two sentences, and of each of them
QUESTION_WORDS = 2  # of a question, in a sentence that answers it
TITLE = 100  # characters of a title, at most
EXAMPLES = 5
_LABELLED = re.compile(r'(?:Sentence|Sample): (.*)')
_TAG = re.compile(r'<\w[^>]*> ?|\[[^\]]*\]')  # speakers, captions
_WORDS = re.compile(r'\w+')
_WRAP = re.compile(r'(?<=[\w,;])\n(?=[a-z])')  # the end of a line, no more
_NAMES = re.compile(r'\S\s+[^\w\s]*[A-Z][a-z]{2}|\d')  # beyond the first word
_FRAMES = frozenset(
  ' '.join(_WORDS.findall(x.lower())) for x in wording.lines()
)


@dataclasses.dataclass(frozen=True)
class Content:
  """What instances ask and show, as normalised texts."""

  questions: frozenset[str] = frozenset()
  passages: frozenset[str] = frozenset()  # count wherever they are shown
  sentences: frozenset[str] = frozenset()  # all long ones
  evidence: frozenset[str] = frozenset()  # those that answer a question

  def __or__(self, other: 'Content') -> 'Content':
    return Content(
      *(
        getattr(self, field.name) | getattr(other, field.name)
        for field in dataclasses.fields(Content)
      )
    )

  def shared(self, other: 'Content') -> 'Content':
    """Questions that the other asks or shows, passages that both show."""
    shown = other.questions | other.passages | other.sentences
    return Content(
      self.questions & shown,
      (self.passages & (other.passages | other.questions))
      | (self.evidence & other.sentences)
      | (self.sentences & (other.evidence | other.questions)),
    )


NOTHING = Content()


def of(instances: Iterable[structs.Instance]) -> Content:
  """The content of instances."""
  found = [_content(instance) for instance in instances]
  return Content(
    *(
      frozenset().union(*(getattr(content, field.name) for content in found))
      for field in dataclasses.fields(Content)
    )
  )


@functools.lru_cache(maxsize=4096)  # each is compared several times
def _content(instance: structs.Instance) -> Content:
  task = _task(instance.source)
  passages, sentences = set(), {}
  for chunk in instance.chunks:
    for text, is_passage in _shown(chunk, task):
      (passages.add if is_passage else sentences.setdefault)(text)
  return Content(
    frozenset(_question(question, task) for question in instance.questions),
    frozenset(passages),
    frozenset(sentences),
    frozenset(_evidence(instance.questions, list(sentences))),
  )


def of_listed(listed: Iterable[benchmark.Listed]) -> Content:
  """The content of questions that come without their contexts."""
  return Content(
    frozenset(
      _labelled(q.text, _task(q.source))
      if q.source.startswith('icl_')
      else words(_without_date(q.text))
      for q in listed
    )
  )


def without(
  instances: Sequence[structs.Instance],
  kept_out: Content,
  log: ledger.Ledger,
  *,
  split: str,
) -> list[structs.Instance]:
  """The instances that share nothing with the given content."""
  clean = []
  for instance in instances:
    shared = of([instance]).shared(kept_out)
    if shared == NOTHING:
      clean.append(instance)
    else:
      reason = (
        f'shares {len(shared.questions)} questions and '
        f'{len(shared.passages)} passages with rows to keep out'
      )
      log.leave_out(instance.source, instance.instance_id, reason, split=split)
  return clean


def report(contents: dict[str, Content]) -> dict[str, dict[str, object]]:
  """What each pair of named contents shares, with a few examples."""
  names, found = list(contents), {}
  for i, first in enumerate(names):
    for second in names[i + 1 :]:
      shared = contents[first].shared(contents[second])
      found[f'{first} / {second}'] = {
        'questions': len(shared.questions),
        'passages': len(shared.passages),
        'examples': sorted(shared.questions | shared.passages)[:EXAMPLES],
      }
  return found


def _question(question: structs.Question, task: str) -> str:
  labelled = _LABELLED.match(question.text)
  if labelled:
    return _labelled(labelled[1], task)
  text = words(_without_date(question.text))
  if question.metric == 'keywords':  # the same words ask of every book
    text += f' | {words(" ".join(question.answers))}'
  return text


def _shown(chunk: str, task: str) -> Iterator[tuple[str, bool]]:
  """Long sentences (False), and passages that count as they are (True)."""
  for line in _WRAP.sub(' ', chunk).split('\n'):
    labelled = _LABELLED.match(line)
    if labelled:
      yield _labelled(labelled[1], task), True
    elif not line.startswith('['):
      raw = list(chunking.sentences(_TAG.sub('', line)))
      some = [words(sentence) for sentence in raw]
      alone = sum(map(bool, some)) == 1
      for number, sentence in enumerate(raw):
        for text in _untitled(sentence, some) if not number else [some[number]]:
          if _long(text, MIN_WORDS) and text not in _FRAMES:
            yield text, False
            if alone and _NAMES.search(sentence):
              yield text, True
      for first, second in itertools.pairwise(some):
        pair = f'{first} {second}'
        if _long(pair, PAIR_WORDS) and all(
          _long(part, PART_WORDS) for part in (first, second)
        ):
          yield pair, True


def _untitled(sentence: str, some: Sequence[str]) -> list[str]:
  """The first sentence of a paragraph, with and without what may be a title."""
  head = sentence[:TITLE]
  starts = [match.end() for match in re.finditer(': ', head)]
  return [some[0], *(words(sentence[start:]) for start in starts)]


def _long(text: str, count: int) -> bool:
  return text.count(' ') >= count - 1


def _evidence(
  questions: Sequence[structs.Question], sentences: Sequence[str]
) -> set[str]:
  """The sentences that answer a question."""
  places, found = {}, set()  # word -> numbers of the sentences that have it
  for number, sentence in enumerate(sentences):
    for word in sentence.split():
      places.setdefault(word, set()).add(number)
  for question in questions:
    if question.metric in ('boxed', 'keywords'):  # numbers, whole summaries
      continue
    asked = set(words(_without_date(question.text)).split())
    asked = {word for word in asked if len(word) > 3}
    for answer in question.answers:
      for part in map(words, answer.split(';')):
        own = part.split()
        holding = sorted((places.get(word, set()) for word in own), key=len)
        for number in set.intersection(*holding) if own else ():
          sentence = sentences[number]
          if f' {part} ' in f' {sentence} ':
            common = asked.intersection(sentence.split()).difference(own)
            if len(common) >= QUESTION_WORDS:
              found.add(sentence)
  return found


def _task(source: str) -> str:
  """The name that a task has here, in MemoryAgentBench and in both sizes."""
  name = source.removeprefix('icl_').replace('clinic', 'clinc')
  return name.split('_')[0]


def _labelled(text: str, task: str) -> str:
  return f'{task}: {" ".join(text.lower().split())}'


def _without_date(text: str) -> str:
  return re.split(r'Now Answer the Question:|Current date: .*\n', text)[-1]


def words(text: str) -> str:
  """A text in lower case, without punctuation, one space between words."""
  return ' '.join(_WORDS.findall(text.lower()))
