"""What two sets of instances have in common, and how it is kept out.

Compared are questions, labelled sentences of the same task, and sentences of
twelve words or more (shorter ones recur in unrelated texts), all without case
and punctuation. Frames and dates around the text of a source do not count.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import chunking
from mem_alpha.data import ledger
from mem_alpha.data import wording

MIN_WORDS = 12
EXAMPLES = 5
_LABELLED = re.compile(r'(?:Sentence|Sample): (.*)')
_TAG = re.compile(r'<\w[^>]*> ?|\[[^\]]*\]')  # speakers, captions
_WORDS = re.compile(r'\w+')
_FRAMES = frozenset(
  ' '.join(_WORDS.findall(x.lower())) for x in wording.lines()
)


@dataclasses.dataclass(frozen=True)
class Content:
  """What instances ask and show, as normalised texts."""

  questions: frozenset[str]
  passages: frozenset[str]

  def __or__(self, other: 'Content') -> 'Content':
    return Content(
      self.questions | other.questions, self.passages | other.passages
    )

  def shared(self, other: 'Content') -> 'Content':
    """Questions that the other asks or shows, passages that it shows."""
    return Content(
      self.questions & (other.questions | other.passages),
      self.passages & (other.passages | other.questions),
    )


NOTHING = Content(frozenset(), frozenset())


def of(instances: Iterable[structs.Instance]) -> Content:
  """The content of instances."""
  questions, passages = set(), set()
  for instance in instances:
    task = _task(instance.source)
    questions.update(_question(q, task) for q in instance.questions)
    for chunk in instance.chunks:
      passages.update(_passages(chunk, task))
  return Content(frozenset(questions), frozenset(passages))


def of_listed(listed: Iterable[benchmark.Listed]) -> Content:
  """The content of questions that come without their contexts."""
  return Content(
    frozenset(
      _labelled(q.text, _task(q.source))
      if q.source.startswith('icl_')
      else _words(_without_date(q.text))
      for q in listed
    ),
    frozenset(),
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
  text = _words(_without_date(question.text))
  if question.metric == 'keywords':  # the same words ask of every book
    text += f' | {_words(" ".join(question.answers))}'
  return text


def _passages(chunk: str, task: str) -> Iterable[str]:
  for line in chunk.split('\n'):
    labelled = _LABELLED.match(line)
    if labelled:
      yield _labelled(labelled[1], task)
    elif not line.startswith('['):
      for sentence in chunking.sentences(_TAG.sub('', line)):
        text = _words(sentence)
        if text.count(' ') >= MIN_WORDS - 1 and text not in _FRAMES:
          yield text


def _task(source: str) -> str:
  """The name that a task has here, in MemoryAgentBench and in both sizes."""
  name = source.removeprefix('icl_').replace('clinic', 'clinc')
  return name.split('_')[0]


def _labelled(text: str, task: str) -> str:
  return f'{task}: {" ".join(text.lower().split())}'


def _without_date(text: str) -> str:
  return re.split(r'Now Answer the Question:|Current date: .*\n', text)[-1]


def _words(text: str) -> str:
  return ' '.join(_WORDS.findall(text.lower()))
