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

  `tail` is the limit of the user turn in tokens, markup included: longer ones
  lose the end of their text. `thinking=False` closes the thoughts of a model
  that has a token for them before it begins.
  """

  overlaps = False  # it would take the devices from the sampler

  def __init__(
    self,
    generate: Generate,
    tokenizer: text.Tokenizer,
    *,
    tail: int,
    thinking: bool | None = None,
  ):
    self.generate, self.tokenizer = generate, tokenizer
    end, start = text.TURN_END, text.TURN_START
    answer = f'{end}\n{start}assistant\n'
    if thinking is False and tokenizer.token_id('<think>') is not None:
      answer += _NO_THINKING
    markup = tokenizer.encode_markup
    self._system = markup(f'{start}system\n')
    self._user, self._answer = markup(f'{end}\n{start}user\n'), markup(answer)
    self._room = tail - len(self._user) - len(self._answer)
    if self._room < 1:
      raise ValueError(
        f'reader.question_tokens={tail} leaves no room for a question.'
      )
    marks = (tokenizer.token_id(token) for token in text.SPECIALS)
    self._marks = {mark for mark in marks if mark is not None}
    self._ids = functools.lru_cache(1 << 12)(tokenizer.encode)

  def __call__(self, prompts: Sequence[base.Prompt]) -> list[base.Completion]:
    groups: dict[str, dict[str, None]] = {}
    for prompt in prompts:  # equal prompts are asked once
      groups.setdefault(prompt.system, {})[prompt.user] = None
    responses = self.generate(
      [
        (self._system + self._ids(system), [self._tail(user) for user in users])
        for system, users in groups.items()
      ]
    )
    said = {
      (system, user): self._text(ids)
      for (system, users), row in zip(groups.items(), responses, strict=True)
      for user, ids in zip(users, row, strict=True)
    }
    return [_completion(said[p.system, p.user]) for p in prompts]

  def _text(self, ids: Sequence[int]) -> str:
    """What was said, without marks of turns, as servers return it."""
    return self.tokenizer.decode(i for i in ids if i not in self._marks)

  def _tail(self, user: str) -> list[int]:
    return self._user + self._ids(user)[: self._room] + self._answer


def _completion(said: str) -> base.Completion:
  before, closed, after = said.rpartition('</think>')
  if not closed and said.lstrip().startswith('<think>'):
    return base.Completion(failed='the reply ends before its answer')
  return base.Completion((after if closed else said).strip())
