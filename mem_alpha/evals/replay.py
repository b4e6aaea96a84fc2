"""A writer that is not asked again for what it said before it was killed."""

from mem_alpha.evals import kept as kept_lib
from mem_alpha.rollout import episode


class Replayed:
  """`writer` behind the responses that `kept` holds, chunk by chunk.

  Known responses are applied as they were; what is new is on disk before it is
  applied. A writer that fails says nothing, so a failure is tried again.
  """

  def __init__(
    self, writer: episode.Writer, kept: kept_lib.Kept, failures: dict[str, str]
  ):
    self.writer, self.kept, self.failures = writer, kept, failures

  def __call__(self, prompts, contexts) -> list[episode.Response]:
    known = {
      row: said
      for row, context in enumerate(contexts)
      if context and (said := self.kept.said(context.instance, context.chunk))
    }
    open_ = [
      None if row in known else context for row, context in enumerate(contexts)
    ]
    responses = [episode.Response((), (), False)] * len(prompts)
    if any(open_):
      prompts = [p if c else [] for p, c in zip(prompts, open_)]
      responses = self.writer(prompts, open_)
      self.kept.say(
        (context.instance, context.chunk, _plain(response))
        for context, response in zip(open_, responses)
        if context and context.instance.instance_id not in self.failures
      )
    return [
      _response(known[row]) if row in known else response
      for row, response in enumerate(responses)
    ]


def _plain(response: episode.Response) -> dict:
  """Log-probabilities are not kept: no figure of an evaluation needs them."""
  return dict(
    tokens=list(response.tokens),
    finished=response.finished,
    ending=response.ending,
  )


def _response(said: dict) -> episode.Response:
  return episode.Response(
    tuple(said['tokens']), (), said['finished'], said['ending']
  )
