"""A language model that answers prompts, as a writer of memories.

It sees what an agent sees, as a system and a user turn without marks, and what
it says is parsed, applied and scored like any other response. So an untrained
model, or one behind an API, writes in the same memory framework; profile
`reference` tells it how calls are written.
"""

from collections.abc import Sequence

from mem_alpha import text
from mem_alpha.readers import base
from mem_alpha.rollout import episode


class Asked:
  """`writer(prompts, contexts) -> responses`.

  `failures` is filled with the instances, by id, whose request failed after
  all retries, and why. Nothing more is asked for them.
  """

  def __init__(
    self,
    model: base.Model,
    tokenizer: text.Tokenizer,
    *,
    prefix: Sequence[int],
    suffix: Sequence[int],
    failures: dict[str, str],
  ):
    self.model, self.tokenizer, self.failures = model, tokenizer, failures
    self._prefix, self._suffix = len(prefix), len(suffix)
    names = (text.TURN_START, text.TURN_END)
    self._marks = {tokenizer.token_id(name) for name in names}

  def __call__(self, prompts, contexts) -> list[episode.Response]:
    rows = [
      row
      for row, context in enumerate(contexts)
      if context and context.instance.instance_id not in self.failures
    ]
    said = self.model([self._prompt(prompts[row]) for row in rows])
    responses = [episode.Response((), (), False)] * len(prompts)
    for row, completion in zip(rows, said, strict=True):
      if completion.failed:
        name = contexts[row].instance.instance_id
        self.failures[name] = completion.failed
      else:
        tokens = tuple(self.tokenizer.encode(completion.text))
        responses[row] = episode.Response(tokens, (), True, ending=0)
    return responses

  def _prompt(self, ids: Sequence[int]) -> base.Prompt:
    end = len(ids) - self._suffix
    system, user = ids[: self._prefix], ids[self._prefix : end]
    # Without the name of its first turn, which its mark stood before.
    _, _, system = self._text(system).partition('\n')
    return base.Prompt(system, self._text(user))

  def _text(self, ids: Sequence[int]) -> str:
    kept = (i for i in ids if i not in self._marks)
    return self.tokenizer.decode(kept).strip()
