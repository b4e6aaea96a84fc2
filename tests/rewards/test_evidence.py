import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha.rewards import evidence

FACT, OTHER = (structs.Kind.SEMANTIC, 0), (structs.Kind.SEMANTIC, 1)
CORE = (structs.Kind.CORE, structs.NO_ID)
WRITTEN = {
  FACT: {(0, 0): 1.0},
  OTHER: {(2, 1): 1.0},
  CORE: {(1, 0): 0.25, (2, 0): 0.75},
}
TOKENS = {FACT: 10, OTHER: 0, CORE: 4}


def test_credit_by_hand():
  answers = [
    structs.Answer('right', (FACT,)),
    structs.Answer('wrong', (OTHER,)),
    structs.Answer('half', (CORE,)),
    structs.Answer('two hops', (FACT, OTHER)),
    structs.Answer('', ()),
  ]
  credit = evidence.credit(
    [1, 0, 0.75, 1, 0], answers, WRITTEN, TOKENS, blame=1, price=0.01
  )
  assert credit == pytest.approx(
    {
      (0, 0): 1.5 / 5 - 0.1,
      (2, 1): (-1 + 0.5) / 5,
      (1, 0): 0.25 * (0.5 / 5 - 0.04),
      (2, 0): 0.75 * (0.5 / 5 - 0.04),
    }
  )


def test_credit_sums_to_the_sourced_answers_less_the_price_of_the_memory():
  rng = np.random.default_rng(0)
  sources = [(FACT,), (OTHER,), (CORE,), (FACT, OTHER), (CORE, FACT)]
  scores = rng.uniform(size=5).tolist()
  answers = [structs.Answer('x', s) for s in sources]
  credit = evidence.credit(
    scores, answers, WRITTEN, TOKENS, blame=0.3, price=0.002
  )
  np.testing.assert_allclose(
    sum(credit.values()),
    np.mean([s - 0.3 * (1 - s) for s in scores]) - 0.002 * 14,
  )


def test_core_words_belong_to_the_call_that_first_wrote_them():
  shares = evidence.core_shares(
    {(0, 0): 'It A', (1, 0): 'It A B', (1, 1): 'It A B', (3, 2): 'It A B C'}
  )
  assert shares == {(0, 0): 0.5, (1, 0): 0.25, (1, 1): 0, (3, 2): 0.25}
  # What was lost in between is new when it comes back.
  shares = evidence.core_shares({(0, 0): 'A', (1, 0): 'B', (2, 0): 'A B'})
  assert shares == {(0, 0): 0, (1, 0): 0.5, (2, 0): 0.5}
  assert evidence.core_shares({(0, 0): ''}) == {}
