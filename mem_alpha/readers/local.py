"""A frozen Flax decoder as a model, in this process and on the same mesh.

Prompts become ChatML turns. Those with one system turn, as all questions of a
small memory have, are one group: the sampler reads their common part once.
"""

import functools
from collections.abc import Callable, Sequence

from mem_alpha import text
from mem_alpha.readers import base

# (prefix, tails) per group -> the response of each tail, end-of-turn cut off;
# rollout/continuations.py
Generate = Callable[
  [list[tuple[list[int], list[list[int]]]]], list[list[list[int]]]
]
_NO_THINKING = '<think>\n\n</think>\n\n'


class Local:
  """`model(prompts) -> completions`.

  `prefix` and `tail` are the limits of system and user turn in tokens, markup
  included. Nothing is cut: a prompt over them fails, and says so.
  `thinking=False` closes the thoughts of a model that has a token for them
  before it begins.
  """

  overlaps = False  # it would take the devices from the sampler

  def __init__(
    self,
    generate: Generate,
    tokenizer: text.Tokenizer,
    *,
    prefix: int,
    tail: int,
    thinking: bool | None = None,
  ):
    self.generate, self.tokenizer = generate, tokenizer
    self._system, self._user, self._answer = _markup(tokenizer, thinking)
    self.prefix, self.tail = prefix, tail
    self.question_tokens = tail - len(self._user) - len(self._answer)
    if self.question_tokens < 1:
      raise ValueError(
        f'reader.question_tokens={tail} leaves no room for a question.'
      )
    marks = (tokenizer.token_id(token) for token in text.SPECIALS)
    self._marks = {mark for mark in marks if mark is not None}
    self._ids = functools.lru_cache(1 << 12)(tokenizer.encode)

  def __call__(self, prompts: Sequence[base.Prompt]) -> list[base.Completion]:
    turns = {
      prompt: (
        self._system + self._ids(prompt.system),
        self._user + self._ids(prompt.user) + self._answer,
      )
      for prompt in prompts
    }
    found = {p: self._refusal(*turn) for p, turn in turns.items()}
    groups: dict[str, list[base.Prompt]] = {}
    for prompt, refusal in found.items():  # equal prompts are asked once
      if not refusal:
        groups.setdefault(prompt.system, []).append(prompt)
    responses = self.generate(
      [
        (turns[group[0]][0], [turns[prompt][1] for prompt in group])
        for group in groups.values()
      ]
    )
    for group, row in zip(groups.values(), responses, strict=True):
      for prompt, ids in zip(group, row, strict=True):
        found[prompt] = base.completion(self._text(ids))
    return [found[prompt] for prompt in prompts]

  def _refusal(self, prefix, tail) -> base.Completion | None:
    for ids, limit, what in (
      (prefix, self.prefix, 'reader.prompt_tokens'),
      (tail, self.tail, 'reader.question_tokens'),
    ):
      if len(ids) > limit:
        return base.Completion(
          failed=f'a turn of {len(ids)} tokens is longer than {what}={limit}'
        )
    return None

  def _text(self, ids: Sequence[int]) -> str:
    """What was said, without marks of turns, as servers return it."""
    return self.tokenizer.decode(i for i in ids if i not in self._marks)


def markup_tokens(
  tokenizer: text.Tokenizer, *, thinking: bool | None = None
) -> int:
  """Tokens of a prompt that are markup: what its texts must leave room for."""
  return sum(map(len, _markup(tokenizer, thinking)))


def _markup(tokenizer, thinking) -> tuple[list[int], ...]:
  """What stands before the system text, between the texts, and at the end."""
  end, start = text.TURN_END, text.TURN_START
  answer = f'{end}\n{start}assistant\n'
  if thinking is False and tokenizer.token_id('<think>') is not None:
    answer += _NO_THINKING
  parts = (f'{start}system\n', f'{end}\n{start}user\n', answer)
  return tuple(tokenizer.encode_markup(part) for part in parts)
