"""r1 per chunk: which turns a rollout's answers speak for.

r1 is one number for all turns of a rollout. Two ways to be more exact:

- `per_chunk`: a turn is paid with the questions about its own chunk.
- `by_evidence`: an answer's score is shared among the chunks that wrote the
  entries it was answered from, in equal parts per entry (as in Fine-Mem, arXiv
  2601.08435). What came from no entry is shared by all chunks.

Both return one number per chunk. Those of `by_evidence` have the mean r1, so
that their sum over C chunks is C r1, like that of the plain reward.
"""

from collections.abc import Mapping, Sequence

from mem_alpha import structs
from mem_alpha.rewards import answer as answer_reward
from mem_alpha.rewards import scores as scores_lib

BY = ('episode', 'chunk', 'evidence')
Source = tuple[structs.Kind, int]


def about(question: structs.Question, chunks: Sequence[str]) -> tuple[int, ...]:
  """The chunks in which an accepted answer of the question stands."""
  golds = [f' {scores_lib.normalise(gold)} ' for gold in question.answers]
  return tuple(
    c
    for c, chunk in enumerate(chunks)
    if any(gold in f' {scores_lib.normalise(chunk)} ' for gold in golds)
  )


def per_chunk(
  scores: Sequence[float | None],
  abouts: Sequence[Sequence[int]],
  num_chunks: int,
) -> list[float]:
  """r1 of the questions about each chunk; of all, where there are none."""
  overall, _ = answer_reward.reward(scores)
  values = []
  for chunk in range(num_chunks):
    own = [
      score
      for score, places in zip(scores, abouts, strict=True)
      if chunk in places and score is not None
    ]
    values.append(answer_reward.reward(own)[0] if own else overall)
  return values


def by_evidence(
  scores: Sequence[float | None],
  answers: Sequence[structs.Answer],
  chunk_of: Mapping[Source, int],
  num_chunks: int,
) -> list[float]:
  """The chunks' shares in the answers, times the number of chunks.

  `chunk_of` maps each live entry to the chunk that its text was written at.
  NaN for all where no question has a score.
  """
  scored = [
    (score, answer)
    for score, answer in zip(scores, answers, strict=True)
    if score is not None
  ]
  if not scored:
    return [float('nan')] * num_chunks
  values = [0.0] * num_chunks
  for score, answer in scored:
    places = [chunk_of[s] for s in answer.sources if s in chunk_of]
    for place in places or range(num_chunks):
      share = score / len(places or values) / len(scored)
      values[place] += share * num_chunks
  return values
