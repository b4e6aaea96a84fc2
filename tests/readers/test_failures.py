import pytest

from mem_alpha.readers import base
from mem_alpha.readers import failures


def record(ledger, outcomes):
  for failed in outcomes:
    ledger.record('bad' if failed else '')


def test_a_share_above_the_limit_stops():
  ledger = failures.Ledger(0.1)
  record(ledger, [0] * 100 + [1] * 11)  # 11 of 111
  with pytest.raises(base.ReaderError, match='Of 112 .* 12 failed.*=0.1 allow'):
    ledger.record('HTTP 500')
  assert (ledger.failed, ledger.total) == (12, 112)


def test_a_few_outcomes_prove_little():
  ledger = failures.Ledger(0.1)
  record(ledger, [1] * 5)
  with pytest.raises(base.ReaderError, match='the last one because: c'):
    ledger.record('c')


def test_old_outcomes_are_forgotten():
  ledger = failures.Ledger(0.1)
  record(ledger, [i % 10 == 9 for i in range(2000)])  # a tenth, for ever
  assert ledger.failed == 200
  record(ledger, [0] * 180 + [1] * 20)


def test_no_failure_is_allowed_at_zero():
  ledger = failures.Ledger(0.0)
  ledger.record()
  with pytest.raises(base.ReaderError):
    ledger.record('bad')


def test_a_late_failure_counts_among_its_neighbours():
  ledger = failures.Ledger(0.1)
  places = [ledger.record() for _ in range(1000)]
  for place in places[::10]:  # a tenth of any 200 in a row
    ledger.amend(place, 'late')
  assert (ledger.failed, ledger.total) == (100, 1000)
  with pytest.raises(base.ReaderError, match='in a row, 21 failed'):
    ledger.amend(places[555], 'one more')


def test_who_sends_requests_is_told_once_that_the_run_stops():
  ledger, told = failures.Ledger(0.0), []
  ledger.when_stopped(told.append)
  for _ in range(2):
    with pytest.raises(base.ReaderError, match='because: first'):
      ledger.record('first')
    ledger.record()
  assert [str(error) for error in told] == [str(told[0])]
