"""Credit to the calls that wrote what an answer was quoted from.

The mean over questions (r1) is one number for all calls of a rollout, so each
is also praised and blamed for what the others did. Memory knows better: an
answer names the entries it came from, and an entry the call that wrote it.
Evidence-anchored attribution as in Fine-Mem (arXiv 2601.08435), down to the
call, with blame for wrong answers: without it nothing speaks against an entry
that misleads the reader. Core, which call after call rewrites, is credited by
difference: what the answers read from it gained or lost with each new text.
"""

from collections.abc import Mapping, Sequence

from mem_alpha import structs

Source = tuple[structs.Kind, int]
Place = tuple[int, int]  # chunk, and which of its calls
CORE: Source = (structs.Kind.CORE, structs.NO_ID)


def of_entries(
  scores: Sequence[float],
  answers: Sequence[structs.Answer],
  written: Mapping[Source, Place],
  tokens: Mapping[Source, int],
  *,
  blame: float,
  price: float,
) -> dict[Place, float]:
  """Credit of the calls that wrote live entries, in units of r1.

  Each answer passes s - blame (1 - s), s being its score, in equal parts to the
  entries it came from; an entry costs `price` for each of its `tokens`.
  """
  credit = {place: -price * tokens[e] for e, place in written.items()}
  for score, answer in zip(scores, answers, strict=True):
    for source in answer.sources:
      if source in written:
        worth = score - blame * (1 - score)
        share = worth / len(scores) / len(answer.sources)
        credit[written[source]] += share
  return credit


def of_core(
  places: Sequence[Place], scores: Sequence[float]
) -> dict[Place, float]:
  """Credit of the calls on core, in units of r1.

  `scores` are what the answers read from core add to r1 after each of them.
  The credits sum to the last score.
  """
  before = [0.0, *scores]
  return {
    place: score - old
    for place, score, old in zip(places, scores, before, strict=False)
  }
