"""Instances from passages with questions: what SQuAD and HotpotQA share.

1. Items (a few passages and the questions about them) wait in a queue.
2. As many as fill an instance are taken; their passages, each once, become one
   text, which is packed into dialogue chunks of at most `chunk_tokens` tokens.
3. The first `chunks` chunks are the instance. Its questions are those of the
   items whose passages lie wholly within; the other items wait for the next.

The last chunk may so end in the middle of a passage that nothing is asked of.
What is left at the end and fills no instance is dropped.
"""

import dataclasses
import itertools
import random
from collections.abc import Callable, Sequence

from mem_alpha import structs
from mem_alpha.data import chunking

SPLITS = ('train', 'validation', 'test')


@dataclasses.dataclass(frozen=True)
class Item:
  """Passages, and the questions that they together answer."""

  passages: tuple[str, ...]
  questions: tuple[structs.Question, ...]


@dataclasses.dataclass(frozen=True)
class Shape:
  """How large an instance is. Tokens are those of `count_tokens`."""

  chunk_tokens: int
  chunks: int
  max_questions: int
  count_tokens: Callable[[str], int]

  def __post_init__(self):
    for name in ('chunk_tokens', 'chunks', 'max_questions'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name} is {getattr(self, name)}: must be 1 or more.')


def check_split(split: str) -> None:
  """Raises ValueError for an unknown name of a split."""
  if split not in SPLITS:
    raise ValueError(f'No split {split!r}: choose one of {", ".join(SPLITS)}.')


def build(
  items: Sequence[Item],
  shape: Shape,
  *,
  source: str,
  split: str,
  seed: int,
  mix: bool,
) -> list[structs.Instance]:
  """Instances in the order of the items.

  With `mix` the passages of an instance are shuffled, so that those of one
  question seldom stand together.
  """
  tokens = [sum(map(shape.count_tokens, item.passages)) for item in items]
  queue = list(zip(items, tokens))
  instances = []
  while queue:
    instance_id = f'{source}/{split}/{seed}/{len(instances)}'
    drawn = _enough(queue, shape.chunks * shape.chunk_tokens)
    rng = random.Random(instance_id)
    chunks, asked = _fill([item for item, _ in drawn], shape, rng, mix)
    if len(chunks) < shape.chunks:
      break
    questions = _sample(asked, shape.max_questions, rng)
    if questions:
      instances.append(
        structs.Instance(instance_id, source, tuple(chunks), questions)
      )
    done = {id(item) for item in asked} or {id(drawn[0][0])}  # it never fits
    queue = [pair for pair in queue if id(pair[0]) not in done]
  if not instances:
    raise ValueError(
      f'{source}, split {split!r}: {len(items)} items of {sum(tokens)} tokens '
      f'fill no instance of {shape.chunks} chunks of {shape.chunk_tokens} '
      'tokens; lower chunks or chunk_tokens.'
    )
  return instances


def _enough(queue, tokens):
  """The head of the queue that fills an instance, as (item, tokens) pairs."""
  sums = itertools.accumulate((size for _, size in queue), initial=0)
  return [pair for pair, before in zip(queue, sums) if before <= tokens]


def _fill(
  items: list[Item], shape: Shape, rng: random.Random, mix: bool
) -> tuple[list[str], list[Item]]:
  """The chunks of an instance and the items that lie wholly within them."""
  wrap = chunking.dialogue_wrap(f'{rng.random()}')
  passages = list(dict.fromkeys(p for item in items for p in item.passages))
  pieces, asked = _cut(passages, items, shape, wrap)
  if mix and asked:
    # Only what fits is mixed: the rest stays behind, to be cut off.
    inside = list(dict.fromkeys(p for item in asked for p in item.passages))
    rest = [p for p in passages if p not in set(inside)]
    rng.shuffle(inside)
    mixed = _cut(inside + rest, items, shape, wrap)
    # Another order packs a little worse: a lone item may no longer fit.
    pieces, asked = mixed if mixed[1] else (pieces, asked)
  return [wrap(i, piece) for i, piece in enumerate(pieces)], asked


def _cut(passages, items, shape, wrap) -> tuple[list[str], list[Item]]:
  """The first pieces of the joined passages, and the items within them."""
  packed = chunking.pack(
    '\n\n'.join(passages) + '\n\n',
    shape.chunk_tokens,
    count_tokens=shape.count_tokens,
    wrap=wrap,
  )
  pieces = list(itertools.islice(packed, shape.chunks))
  length = sum(map(len, pieces))
  # The two line breaks after a passage may fall to the next chunk.
  ends = itertools.accumulate(len(passage) + 2 for passage in passages)
  inside = {p for p, end in zip(passages, ends) if end - 2 <= length}
  return pieces, [item for item in items if inside.issuperset(item.passages)]


def _sample(
  items: Sequence[Item], count: int, rng: random.Random
) -> tuple[structs.Question, ...]:
  questions = [question for item in items for question in item.questions]
  if len(questions) <= count:
    return tuple(questions)
  return tuple(
    questions[i] for i in sorted(rng.sample(range(len(questions)), count))
  )
