"""A writer behind an OpenAI-compatible server, for evaluation.

Engines such as vLLM or SGLang, or a model of an API, write instead of the
decoder: the untrained big model, or another team's agent. The prompt's turns
become chat messages and go to `ask(path, requests)`, which sends each request
and returns completions with `text` and `failed` (as `Client.ask` does in
readers/client.py). What comes back is encoded with the run's tokenizer and
parsed, applied and scored like any other response. It has no log-probs:
nothing can be trained on it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from mem_alpha import text
from mem_alpha.rollout import episode

PATH = '/chat/completions'


class Completion(Protocol):
  """What a server said, or why it said nothing."""

  text: str
  failed: str | None


Ask = Callable[[str, Sequence[Mapping[str, object]]], Sequence[Completion]]


def writer(
  ask: Ask,
  tokenizer: text.Tokenizer,
  *,
  model: str,
  max_new_tokens: int,
  temperature: float = 0.0,
) -> episode.Writer:
  """Asks the server for every turn of a chunk at once.

  `tokenizer` is the run's, in which prompts are ids; the server has its own.
  """

  def write(prompts, contexts, chunk):
    del contexts, chunk
    asked = [i for i, prompt in enumerate(prompts) if prompt]
    bodies = [
      {
        'model': model,
        'messages': messages(prompts[i], tokenizer),
        'max_tokens': max_new_tokens,
        'temperature': temperature,
      }
      for i in asked
    ]
    out = [episode.Response((), (), False)] * len(prompts)
    for i, completion in zip(asked, ask(PATH, bodies), strict=True):
      if completion.failed:
        raise RuntimeError(
          f'The writer {model} did not answer ({completion.failed}): start '
          'again when its server does.'
        )
      out[i] = _response(completion.text, tokenizer, max_new_tokens)
    return out

  return write


def messages(
  prompt: Sequence[int], tokenizer: text.Tokenizer
) -> list[dict[str, str]]:
  """The turns of a ChatML prompt, without the open one at its end.

  Turns are found by the ids of their marks, which text from outside never has.
  """
  start, end = map(tokenizer.token_id, (text.TURN_START, text.TURN_END))
  found, turn = [], None
  for token in prompt:
    if token == start:
      turn = []
    elif token == end and turn is not None:
      role, _, content = tokenizer.decode(turn).partition('\n')
      found.append({'role': role, 'content': content})
      turn = None
    elif turn is not None:
      turn.append(token)
  if not found:
    raise ValueError(
      'The prompt has no turn between the marks of ChatML, so no message can '
      'be made of it: use a chat profile with an outside writer.'
    )
  return found


def _response(said: str, tokenizer, max_new_tokens: int) -> episode.Response:
  """The run's ids of what was said, as if the decoder had said it."""
  ids = [*tokenizer.encode(said), tokenizer.end_of_turn]
  finished = len(ids) <= max_new_tokens
  ids = tuple(ids[:max_new_tokens])
  return episode.Response(ids, (0.0,) * len(ids), finished)
