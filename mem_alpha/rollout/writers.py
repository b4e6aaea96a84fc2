"""Writers for episodes: a sampled model, and scripts in its place.

A script's calls become the text that a model would have had to write, so that
they are parsed, applied and scored like any other response; recorded with
their prompts they are the warm start's data.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from mem_alpha import structs
from mem_alpha import text as text_lib
from mem_alpha.agent import tools
from mem_alpha.agent import writer as script
from mem_alpha.models import decoder
from mem_alpha.rollout import engine
from mem_alpha.rollout import episode
from mem_alpha.rollout import pools
from mem_alpha.rollout import sampler

# (context, memory as entries, rng) -> calls and remarks
Script = Callable[
  [episode.Context, Sequence[structs.Entry], random.Random],
  Sequence[structs.Call | str],
]


class Sampled:
  """Samples from a decoder. Draws depend on the key and the turn's number.

  `prefix` holds the tokens that every prompt begins with, if they are to be
  read once for all.
  """

  def __init__(
    self,
    cfg: decoder.Config,
    params,
    key: jax.Array,
    *,
    sampling: sampler.Sampling,
    sizes: engine.Sizes,
    prefix: Sequence[int] = (),
  ):
    self.key = key
    self.engine = engine.Engine(
      cfg, params, sampling=sampling, sizes=sizes, prefix=prefix
    )

  def __call__(self, prompts, contexts) -> list[episode.Response]:
    numbers = [context.number if context else 0 for context in contexts]
    return self.engine(prompts, _keys(self.key, np.array(numbers)))


_keys = jax.jit(jax.vmap(jax.random.fold_in, (None, 0)))


def scripted(
  calls: Script, tokenizer: text_lib.Tokenizer, *, seed: str
) -> episode.Writer:
  """Plays a script; each instance and chunk has its own random numbers."""

  def respond(context: episode.Context | None) -> episode.Response:
    if context is None:
      return episode.Response((), (), True)
    rng = random.Random(
      f'{seed}/{context.instance.instance_id}/{context.chunk}'
    )
    entries = pools.entries(context.rows, tokenizer.decode)
    text = tools.render_response(calls(context, entries, rng))
    return _response(text, tokenizer)

  return lambda prompts, contexts: [respond(c) for c in contexts]


def recorded(
  said: Mapping[tuple[str, int], str], tokenizer: text_lib.Tokenizer
) -> episode.Writer:
  """Says again what was said of a chunk: (instance id, chunk) -> response."""

  def respond(context: episode.Context | None) -> episode.Response:
    if context is None:
      return episode.Response((), (), True)
    text = said[context.instance.instance_id, context.chunk]
    return _response(text, tokenizer)

  return lambda prompts, contexts: [respond(c) for c in contexts]


def _response(text: str, tokenizer) -> episode.Response:
  """A text as if the decoder had said it, with certainty."""
  tokens = (*tokenizer.encode(text), tokenizer.end_of_turn)
  return episode.Response(tokens, (0.0,) * len(tokens), True)


def annotated(habits: script.Habits, *, show: int | None) -> Script:
  """A writer over the generator's notes; it may update the `show` newest
  entries of a kind, as a prompt shows them, or any entry (None)."""

  def calls(context, entries, rng):
    notes = context.instance.notes
    slots = {
      note.sentence: note.slot
      for row in notes[: context.chunk + 1]
      for note in row
      if note.slot is not None
    }
    core = ''.join(e.text for e in entries if e.kind == structs.Kind.CORE)
    visible = [
      e
      for kind in (structs.Kind.SEMANTIC, structs.Kind.EPISODIC)
      for e in _newest([e for e in entries if e.kind == kind], show)
    ]
    found = script.write(
      notes[context.chunk],
      core=core,
      visible=visible,
      slots=slots,
      habits=habits,
      rng=rng,
    )
    return tools.annotate(
      found, [note.sentence for note in notes[context.chunk]]
    )

  return calls


def verbatim(probability: float) -> Script:
  """Stores each sentence of a chunk with a probability; reads no notes."""

  def calls(context, entries, rng):
    chunk = context.instance.chunks[context.chunk]
    return script.sample_sentences(chunk, probability=probability, rng=rng)

  return calls


def _newest(entries, count: int | None):
  if count is None:
    return entries
  return sorted(entries, key=lambda e: e.order)[max(0, len(entries) - count) :]
