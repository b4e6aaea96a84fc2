"""A model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, …)."""

from collections.abc import Iterator, Sequence

from mem_alpha.readers import base
from mem_alpha.readers import client as client_lib
from mem_alpha.readers import protocol


class Endpoint:
  """`model(prompts) -> completions`, answered by another machine."""

  overlaps = True

  def __init__(self, client: client_lib.Client, spec: protocol.Spec):
    self.client, self.spec = client, spec

  def __call__(
    self, prompts: Sequence[base.Prompt]
  ) -> Iterator[base.Completion]:
    return self.client.ask(
      self.spec.path,
      [self.spec.key(prompt) for prompt in prompts],
      lambda place: self.spec.request(prompts[place]),
    )
