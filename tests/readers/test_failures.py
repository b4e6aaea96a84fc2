import pytest

from mem_alpha.readers import base
from mem_alpha.readers import failures


def test_a_share_above_the_limit_stops():
  ledger = failures.Ledger(0.1)
  for _ in range(100):
    ledger.record('')
  for _ in range(11):  # 11 of 111
    ledger.record('HTTP 500')
  with pytest.raises(base.ReaderError, match='12 of the last 112 .*=0.1 allow'):
    ledger.record('HTTP 500')
  assert (ledger.failed, ledger.total) == (12, 112)


def test_a_few_outcomes_prove_little():
  ledger = failures.Ledger(0.1)
  for _ in range(5):
    ledger.record('a')
  with pytest.raises(base.ReaderError, match='the last one because: c'):
    ledger.record('c')


def test_old_outcomes_are_forgotten():
  ledger = failures.Ledger(0.1)
  for i in range(2000):
    ledger.record('bad' if i % 10 == 9 else '')  # a tenth, for ever
  assert ledger.failed == 200
  for _ in range(180):
    ledger.record('')
  for _ in range(20):
    ledger.record('bad')


def test_no_failure_is_allowed_at_zero():
  ledger = failures.Ledger(0.0)
  ledger.record('')
  with pytest.raises(base.ReaderError):
    ledger.record('bad')
