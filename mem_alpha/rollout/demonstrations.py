"""Turns to imitate: what the warm start learns from.

`record` plays a scripted writer through whole episodes, so that its prompts
show the memory that its own calls made. `copies` makes short turns that ask
for one skill only, storing sentences word for word: the sentences are strings
of random words, so nothing but copying from the chunk can predict them. A small
model that starts with these learns to copy in a fraction of the steps.
"""

import dataclasses
import random
from collections.abc import Sequence

from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.rollout import episode


@dataclasses.dataclass(frozen=True)
class Demonstration:
  """A prompt and the response to it, end-of-turn included."""

  prompt: tuple[int, ...]
  response: tuple[int, ...]


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
    rollouts = runner.run(part, writer, _no_reader)
    turns += [turn for row in rollouts.turns for turn in row]
  return [
      Demonstration(tuple(turn.prompt), turn.response.tokens)
      for turn in turns
      if len(turn.response.tokens) <= max_new_tokens
  ]


def copies(
    words: Sequence[str],
    tokenizer: text_lib.Tokenizer,
    parts: prompts.PromptParts,
    *,
    count: int,
    sentences: int,
    prompt_tokens: int,
    max_new_tokens: int,
    seed: int,
) -> list[Demonstration]:
  """Turns that store most of up to `sentences` scrambled sentences."""
  turns = []
  for i in range(count):
    rng = random.Random(f'{seed}/copies/{i}')
    lines = [
        ' '.join(rng.choices(words, k=rng.randint(5, 12))) + '.'
        for _ in range(rng.randint(1, sentences))
    ]
    while True:
      stored = [line for line in lines if rng.random() < 0.75] or lines
      prompt, cut = prompts.render(
          parts,
          (),
          tokenizer.encode('\n'.join(lines) + '\n'),
          max_tokens=prompt_tokens,
          show=0,
      )
      text = '\n'.join(tools.render_call(_insert(line)) for line in stored)
      response = (*tokenizer.encode(text), tokenizer.end_of_turn)
      if not cut and len(response) <= max_new_tokens:
        break
      if len(lines) == 1:
        raise ValueError(
            'A copy of one sentence needs more than the '
            f'{prompt_tokens} prompt and {max_new_tokens} response tokens of '
            'warm.copy_prompt_tokens and warm.copy_new_tokens; raise them.'
        )
      lines.pop()
    turns.append(Demonstration(tuple(prompt), response))
  return turns


def _insert(content: str) -> structs.Call:
  return structs.Call(
      structs.Action.INSERT, structs.Kind.SEMANTIC, structs.NO_ID, content
  )


def _no_reader(memories, queries):
  """Recording asks nothing."""
  del memories
  return [[structs.Answer('') for _ in row] for row in queries]
