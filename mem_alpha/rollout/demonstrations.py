"""Turns to imitate: what the warm start learns from.

`record` plays a scripted writer through whole episodes, so that its prompts
show the memory that its own calls made. `copies` makes short turns that ask
for one skill only, storing sentences word for word: the sentences are strings
of random words, so nothing but copying from the chunk can predict them. A small
model that starts with these learns to copy in a fraction of the steps.
"""

import collections
import dataclasses
import functools
import itertools
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.data import synthetic
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading


@dataclasses.dataclass(frozen=True)
class Demonstration:
  """A prompt and the response to it, end-of-turn included."""

  prompt: tuple[int, ...]
  response: tuple[int, ...]


class Stream:
  """Micro-batches of demonstrations without end, addressed by number.

  Each epoch packs all of them in a new order that depends on (seed, epoch).
  """

  def __init__(
    self,
    turns: Sequence[Demonstration],
    *,
    shape: batch_lib.Shape,
    pad: int,
    seed: int,
  ):
    if not turns:
      raise ValueError('There is no demonstration to learn from.')
    self.turns, self.shape, self.pad, self.seed = turns, shape, pad, seed
    self._plan = functools.cache(self._plan_epoch)

  def batch(self, number: int) -> batch_lib.Packed:
    for epoch in itertools.count():
      planned = self._plan(epoch)
      if number < len(planned):
        turns = [self.turns[t] for t in planned[number]]
        (part,) = batch_lib.pack(
          [turn.prompt for turn in turns],
          [turn.response for turn in turns],
          shape=self.shape,
          pad=self.pad,
        )
        return part
      number -= len(planned)

  def _plan_epoch(self, epoch: int) -> list[list[int]]:
    order = list(range(len(self.turns)))
    random.Random(f'{self.seed}/epoch/{epoch}').shuffle(order)
    batches = batch_lib.plan(
      [len(self.turns[t].prompt) for t in order],
      [len(self.turns[t].response) for t in order],
      self.shape,
    )
    # In the order of reading, so that packing them again gives the same rows.
    return [
      [order[t] for t in sorted(itertools.chain(*rows))] for rows in batches
    ]


def record(
  runner: episode.Runner,
  instances: Sequence[structs.Instance],
  writer: episode.Writer,
  *,
  max_new_tokens: int,
) -> list[Demonstration]:
  """All turns of the writer that a model could have written in one response."""
  turns = []
  for start in range(0, len(instances), runner.batch):
    part = instances[start : start + runner.batch]
    rollouts = runner.run(part, writer, reading.Panel(_no_reader))
    turns += [turn for row in rollouts.turns for turn in row]
  return [
    Demonstration(tuple(turn.prompt), turn.response.tokens)
    for turn in turns
    if len(turn.response.tokens) <= max_new_tokens
  ]


def copies(
  texts: Sequence[str],
  tokenizer: text_lib.Tokenizer,
  parts: prompts.PromptParts,
  *,
  count: int,
  sentences: int,
  prompt_tokens: int,
  max_new_tokens: int,
  seed: int,
) -> list[Demonstration]:
  """Turns that store most of up to `sentences` scrambled sentences.

  Words come from the texts, the more often the more frequent they are there,
  but by the square root: rare words, names above all, must be met too.
  """
  turns = []
  counts = collections.Counter(w for text in texts for w in text.split())
  words = _Words(list(counts), [count**0.5 for count in counts.values()])
  for i in range(count):
    rng = random.Random(f'{seed}/copies/{i}')
    count_lines = rng.randint(1, sentences)
    lines = [words.sentence(rng) for _ in range(count_lines)]
    while True:
      said = [_insert(x) if rng.random() < 0.75 else None for x in lines]
      prompt, cut = prompts.render(
        parts,
        (),
        tokenizer.encode('\n'.join(synthetic.numbered(lines)) + '\n'),
        max_tokens=prompt_tokens,
        show=0,
      )
      text = tools.render_response(tools.annotate(said, lines))
      response = (*tokenizer.encode(text), tokenizer.end_of_turn)
      if not cut and len(response) <= max_new_tokens:
        break
      if len(lines) == 1:
        raise ValueError(
          f'A copy of one sentence needs more than the {prompt_tokens} '
          f'prompt and {max_new_tokens} response tokens of '
          'warm.copy_prompt_tokens and sampling.max_new_tokens; raise them.'
        )
      lines.pop()
    turns.append(Demonstration(tuple(prompt), response))
  return turns


class _Words:
  """Draws words by weight."""

  def __init__(self, words: Sequence[str], weights: Sequence[float]):
    self.words, self.sums = words, list(itertools.accumulate(weights))

  def sentence(self, rng: random.Random) -> str:
    count = rng.randint(5, 10)
    return ' '.join(rng.choices(self.words, cum_weights=self.sums, k=count))


def _insert(content: str) -> structs.Call:
  return structs.Call(
    structs.Action.INSERT, structs.Kind.SEMANTIC, structs.NO_ID, content
  )


def _no_reader(memories, queries):
  """Recording asks nothing."""
  del memories
  return [[structs.Answer('') for _ in row] for row in queries]
