"""Credit to the chunks that wrote what an answer was quoted from.

The mean over questions (r1) is one number for all turns of a rollout, so each
turn is also praised and blamed for what the others did. Memory knows better: an
answer names the entries it came from, and an entry the chunk that wrote it.
Each answer passes s - blame (1 - s), s being its score, in equal parts to its
entries and on to their chunks. Evidence-anchored attribution as in Fine-Mem
(arXiv 2601.08435), with blame for wrong answers added: without it nothing
speaks against an entry that misleads the reader, with too much of it a writer
that still makes mistakes learns to write nothing.
"""

from collections.abc import Mapping, Sequence

from mem_alpha import structs


def reward(
  scores: Sequence[float],
  answers: Sequence[structs.Answer],
  written: Mapping[tuple[structs.Kind, int], Sequence[int]],
  *,
  chunks: int,
  blame: float,
) -> list[float]:
  """Credit per chunk. `written` says which chunks wrote an entry's text.

  An entry has one such chunk; core, which grows, has all that changed it.
  """
  credit = [0.0] * chunks
  for score, answer in zip(scores, answers, strict=True):
    for source in answer.sources:
      writers = written[source]
      worth = score - blame * (1 - score)
      share = worth / len(scores) / len(answer.sources)
      for chunk in writers:
        credit[chunk] += share / len(writers)
  return credit
