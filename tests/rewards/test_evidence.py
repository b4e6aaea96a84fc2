import numpy as np

from mem_alpha import structs
from mem_alpha.rewards import evidence

FACT, OTHER = (structs.Kind.SEMANTIC, 0), (structs.Kind.SEMANTIC, 1)
CORE = (structs.Kind.CORE, structs.NO_ID)
WRITTEN = {FACT: [0], OTHER: [2], CORE: [1, 2]}


def test_credit_by_hand():
  answers = [
    structs.Answer('right', (FACT,)),
    structs.Answer('wrong', (OTHER,)),
    structs.Answer('half', (CORE,)),
    structs.Answer('two hops', (FACT, OTHER)),
    structs.Answer('', ()),
  ]
  credit = evidence.reward(
    [1, 0, 0.75, 1, 0], answers, WRITTEN, chunks=3, blame=1
  )
  want = [1 + 0.5, 0.25, -1 + 0.25 + 0.5]
  np.testing.assert_allclose(credit, np.array(want) / 5)


def test_credit_sums_to_the_sourced_answers():
  rng = np.random.default_rng(0)
  sources = [(FACT,), (OTHER,), (CORE,), (FACT, OTHER), (CORE, FACT)]
  scores = rng.uniform(size=5).tolist()
  answers = [structs.Answer('x', s) for s in sources]
  credit = evidence.reward(scores, answers, WRITTEN, chunks=3, blame=0.3)
  np.testing.assert_allclose(
    sum(credit), np.mean([s - 0.3 * (1 - s) for s in scores])
  )
