"""Every row is written down once, and counted by its reason."""

import json

from mem_alpha.data import ledger


def test_entries_are_kept_once_and_counted():
  log = ledger.Ledger()
  for _ in range(2):
    log.leave_out('squad', 'line 1', 'empty')
  log.leave_out('squad', 'line 2', 'empty', split='train')
  log.leave_out('squad', 'line 3', 'empty', split='train')
  log.change('nlu', 'lin\xe9', 'mended')
  assert log.counts() == {
    'nlu: changed: mended': 1,
    'squad/train: left out: empty': 2,
    'squad: left out: empty': 1,
  }
  rows = [json.loads(line) for line in log.to_jsonl().splitlines()]
  assert [row['place'] for row in rows] == [
    'line 1',
    'line 2',
    'line 3',
    'lin\xe9',
  ]
  assert [row['left_out'] for row in rows] == [True, True, True, False]
