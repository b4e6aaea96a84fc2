"""Credit to the calls that wrote what an answer was quoted from.

The mean over questions (r1) is one number for all calls of a rollout, so each
is also praised and blamed for what the others did. Memory knows better: an
answer names the entries it came from, and an entry the call that wrote it.
Each answer passes s - blame (1 - s), s being its score, in equal parts to its
entries and on to their calls; each entry costs `price` per token. Summed over
all calls this is r1 (less the blame, and answers without a source) minus the
price of the memory. Evidence-anchored attribution as in Fine-Mem (arXiv
2601.08435), down to the call, with blame for wrong answers: without it nothing
speaks against an entry that misleads the reader.
"""

import collections
from collections.abc import Mapping, Sequence

from mem_alpha import structs

Source = tuple[structs.Kind, int]
Place = tuple[int, int]  # chunk, and which of its calls


def credit(
  scores: Sequence[float],
  answers: Sequence[structs.Answer],
  written: Mapping[Source, Mapping[Place, float]],
  tokens: Mapping[Source, int],
  *,
  blame: float,
  price: float,
) -> dict[Place, float]:
  """Credit per call, in units of r1; calls that nothing is left of are absent.

  `written` says which calls wrote an entry's text, and what share of it each;
  `tokens` how long it is.
  """
  worth = {source: -price * count for source, count in tokens.items()}
  for score, answer in zip(scores, answers, strict=True):
    for source in answer.sources:
      share = (score - blame * (1 - score)) / len(scores) / len(answer.sources)
      worth[source] += share
  result: dict[Place, float] = {}
  for source, value in worth.items():
    for place, share in written[source].items():
      result[place] = result.get(place, 0.0) + share * value
  return result


def core_shares(texts: Mapping[Place, str]) -> dict[Place, float]:
  """What share of the final core text is due to each call, in their order.

  A word belongs to the call that first wrote it, if every later text kept it:
  writing the same text again earns nothing.
  """
  owner: dict[str, Place] = {}
  for place, text in texts.items():
    owner = {word: owner.get(word, place) for word in text.split()}
  counts = collections.Counter(owner.values())
  return {place: counts[place] / len(owner) for place in texts if owner}
