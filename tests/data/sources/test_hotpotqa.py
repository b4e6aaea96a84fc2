"""HotpotQA: from small files in the official layout, and the real ones."""

import itertools
import json
import os
import pathlib

import pytest

from mem_alpha.data.sources import hotpotqa

SMALL = {'chunk_tokens': 60, 'chunks': 2, 'max_questions': 100, 'seed': 0}
DATA = os.environ.get('MEM_ALPHA_DATA')


def words(text):
  return len(text.split())


def article(title, *, as_list):
  sentences = [f'{title} has feature {n}.' for n in range(3)]
  return [title, sentences if as_list else ' '.join(sentences)]


def row(number, titles, *, as_list=True, official=False):
  value = {
    'question': f'What links {titles[0]} and {titles[1]} in {number}?',
    'answer': f'feature {number % 3}',
    'context': [article(title, as_list=as_list) for title in titles],
  }
  if official:
    value['supporting_facts'] = [[t, n] for t in titles[:2] for n in (0, 2)]
  else:
    value['supporting_titles'] = titles[:2]
  return value


def write(path, rows):
  path.parent.mkdir(exist_ok=True)
  path.write_text('\n'.join(map(json.dumps, rows)) + '\n')


@pytest.fixture
def root(tmp_path):
  rows = [
    row(
      n,
      [f'A{n}', f'B{n}', f'Distractor{n}'],
      as_list=bool(n % 2),
      official=bool(n % 3),
    )
    for n in range(120)
  ]
  write(tmp_path / hotpotqa.FILE, rows)
  tests = [row(n, [f'T{n}', f'U{n}', f'V{n}']) for n in range(20)]
  write(tmp_path / hotpotqa.EVALUATION_FILE, tests)
  return tmp_path


def build(root, split='train', **options):
  arguments = {**SMALL, 'count_tokens': words, **options}
  return hotpotqa.build(root, split, **arguments)


def test_instances_hold_the_evidence_of_their_questions(root):
  for split in ('train', 'validation', 'test'):
    instances = build(root, split)
    assert instances
    for instance in instances:
      assert len(instance.chunks) == 2
      assert all(words(chunk) <= 60 for chunk in instance.chunks)
      text = ' '.join(instance.chunks)
      assert 'Distractor' not in text
      assert instance.questions
      for question in instance.questions:
        assert question.kind == 'hotpotqa' and question.metric == 'token_f1'
        for title in question.text.split()[2:5:2]:
          assert f'{title}: {title} has feature 0.' in text
          assert f'{title} has feature 2.' in text


def test_lists_and_strings_read_the_same(tmp_path):
  for i, as_list in enumerate((True, False)):
    path = tmp_path / str(i) / 'rows.jsonl'
    write(path, [row(0, ['A', 'B'], as_list=as_list)])
  paths = [tmp_path / '0' / 'rows.jsonl', tmp_path / '1' / 'rows.jsonl']
  first, second = map(hotpotqa._read, paths)
  assert first == second
  assert first[0].articles['A'] == (
    'A has feature 0. A has feature 1. A has feature 2.'
  )


def test_rows_that_share_a_title_with_the_evaluation_file_are_dropped(root):
  path = root / hotpotqa.FILE
  before = hotpotqa.splits(root)
  leaks = [
    row(500, ['New', 'T3']),  # evidence is evidence there
    row(501, ['New2', 'New3', 'V4']),  # distractor is distractor there
    row(502, ['New4', 'New5', '&#84;5']),  # T5
  ]
  path.write_text(path.read_text() + '\n'.join(map(json.dumps, leaks)))
  assert hotpotqa.splits(root) == before


def test_splits_share_no_title(root):
  # A chain of rows, each sharing a distractor with the next.
  chain = [row(600 + n, [f'C{n}', f'D{n}', f'C{n + 1}']) for n in range(40)]
  path = root / hotpotqa.FILE
  path.write_text(path.read_text() + '\n'.join(map(json.dumps, chain)))
  splits = hotpotqa.splits(root)
  titles = [
    {title for row in rows for title in row.articles}
    for rows in splits.values()
  ]
  for some, others in itertools.combinations(titles, 2):
    assert some and not some & others
  assert sum(map(len, splits.values())) == 120 + 40 + 20
  assert all(
    len([row for row in rows if row.evidence[0].startswith('C')]) in (0, 40)
    for rows in splits.values()
  )


def test_seeds(root):
  assert build(root) == build(root)
  assert build(root) != build(root, seed=1)


def test_questions_wait_for_an_instance_with_room(root):
  texts = [q.text for i in build(root) for q in i.questions]
  rows = hotpotqa.splits(root)['train']
  assert len(texts) == len(set(texts)) > 0.9 * len(rows)


def test_rows_without_their_evidence_and_repeated_ones_are_left_out(tmp_path):
  lost = {**row(0, ['A', 'B']), 'supporting_titles': ['A', 'Z']}
  write(tmp_path / 'x' / 'rows.jsonl', [lost, row(1, ['A', 'B'])] * 2)
  rows = hotpotqa._read(tmp_path / 'x' / 'rows.jsonl')
  assert [r.question for r in rows] == ['What links A and B in 1?']


def test_bad_files_are_named(root):
  with pytest.raises(ValueError, match="No split 'dev'"):
    build(root, 'dev')
  path = root / hotpotqa.FILE
  whole = path.read_text()
  path.write_text(whole[:-30])
  with pytest.raises(ValueError, match='line 120 is not complete JSON'):
    build(root)
  path.write_text('{"question": "q", "answer": "a"}\n')
  with pytest.raises(ValueError, match='line 1 is not in the official layout'):
    build(root)
  path.write_text('version https://git-lfs.github.com/spec/v1\n')
  with pytest.raises(ValueError, match='Git LFS pointer'):
    build(root)
  (root / hotpotqa.EVALUATION_FILE).unlink()
  with pytest.raises(FileNotFoundError, match='dev_first500_part'):
    build(root)


@pytest.mark.skipif(not DATA, reason='MEM_ALPHA_DATA is not set')
def test_the_real_files_split_cleanly():
  root = pathlib.Path(DATA) / 'raw'
  splits = hotpotqa.splits(root)
  sizes = {split: len(rows) for split, rows in splits.items()}
  # The data's README counts 121 of 1,132 rows that a clean split drops.
  assert sizes['train'] + sizes['validation'] == 1132 - 121
  assert sizes['test'] == 400 and sizes['validation'] > 80
  titles = [{t for r in rows for t in r.articles} for rows in splits.values()]
  for some, others in itertools.combinations(titles, 2):
    assert not some & others
  for split in splits:
    assert len(build(root, split, chunk_tokens=120, chunks=4)) >= 50
