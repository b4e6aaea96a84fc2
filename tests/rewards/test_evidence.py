import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.rewards import evidence

FACT, OTHER = (structs.Kind.SEMANTIC, 0), (structs.Kind.SEMANTIC, 1)
WRITTEN = {FACT: (0, 0), OTHER: (2, 1)}
TOKENS = {FACT: 10, OTHER: 5, evidence.CORE: 4}


def test_credit_of_entries_by_hand():
  answers = [
    structs.Answer('right', (FACT,)),
    structs.Answer('wrong', (OTHER,)),
    structs.Answer('from core', (evidence.CORE,)),
    structs.Answer('two hops', (FACT, OTHER)),
    structs.Answer('', ()),
  ]
  credit = evidence.of_entries(
    [1, 0, 0.75, 1, 0], answers, WRITTEN, TOKENS, blame=0.5, price=0.01
  )
  assert credit == pytest.approx(
    {(0, 0): (1 + 0.5) / 5 - 0.1, (2, 1): (-0.5 + 0.5) / 5 - 0.05}
  )


def test_credit_sums_to_the_sourced_answers_less_the_price_of_the_memory():
  rng = np.random.default_rng(0)
  sources = [(FACT,), (OTHER,), (FACT, OTHER)]
  scores = rng.uniform(size=3).tolist()
  answers = [structs.Answer('x', s) for s in sources]
  credit = evidence.of_entries(
    scores, answers, WRITTEN, TOKENS, blame=0.3, price=0.002
  )
  np.testing.assert_allclose(
    sum(credit.values()),
    np.mean([s - 0.3 * (1 - s) for s in scores]) - 0.002 * 15,
  )


def test_credit_of_core_is_what_each_call_changed():
  credit = evidence.of_core([(0, 0), (1, 0), (1, 2), (3, 0)], [0.5, 0.5, 1, 0])
  assert credit == {(0, 0): 0.5, (1, 0): 0, (1, 2): 0.5, (3, 0): -1}
  assert evidence.of_core([], []) == {}
