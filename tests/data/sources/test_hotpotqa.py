"""HotpotQA, from small files in the official layout."""

import itertools

import pytest

from mem_alpha.data import splits
from mem_alpha.data.sources import hotpotqa


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


ROWS = [
  row(
    n,
    [f'A{n}', f'B{n}', f'Distractor{n}'],
    as_list=bool(n % 2),
    official=bool(n % 3),
  )
  for n in range(120)
]
TESTS = [row(n, [f'T{n}', f'U{n}', f'V{n}']) for n in range(20)]


@pytest.fixture
def build(put, recipe_of):
  put(hotpotqa.FILE, ROWS, lines=True)
  put(hotpotqa.EVALUATION_FILE, TESTS, lines=True)
  return lambda split='train', **options: hotpotqa.build(
    recipe_of(split, **{'chunks': 2, **options})
  )


def by_split(recipe_of):
  return {split: hotpotqa.rows(recipe_of(split)) for split in splits.NAMES}


def test_instances_hold_the_evidence_of_their_questions(build):
  for split in ('train', 'validation', 'test'):
    instances = build(split)
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


def test_lists_and_strings_read_the_same(put, recipe_of):
  for name, as_list in (('a', True), ('b', False)):
    put(name, [row(0, ['A', 'B'], as_list=as_list)], lines=True)
  (first,), (second,) = (hotpotqa.read(recipe_of(), n) for n in 'ab')
  assert first.articles == second.articles
  assert first.articles['A'] == (
    'A has feature 0. A has feature 1. A has feature 2.'
  )


def test_rows_that_share_a_title_with_the_test_are_left_out(
  build, put, recipe_of
):
  before = by_split(recipe_of)
  leaks = [
    row(500, ['New', 'T3']),  # evidence is evidence there
    row(501, ['New2', 'New3', 'V4']),  # distractor is distractor there
    row(502, ['New4', 'New5', '&#84;5']),  # T5
  ]
  put(hotpotqa.FILE, ROWS + leaks, lines=True)
  assert by_split(recipe_of) == before
  recipe = recipe_of()
  hotpotqa.rows(recipe)
  assert recipe.log.counts() == {
    'hotpotqa: left out: shares an article with the test': 3
  }
  published = hotpotqa.rows(recipe_of(published=True))
  assert {r.question for r in published} & {r['question'] for r in leaks}


def test_splits_share_no_title(build, put, recipe_of):
  # A chain of rows, each sharing a distractor with the next.
  chain = [row(600 + n, [f'C{n}', f'D{n}', f'C{n + 1}']) for n in range(40)]
  put(hotpotqa.FILE, ROWS + chain, lines=True)
  found = by_split(recipe_of)
  titles = [{t for r in rows for t in r.articles} for rows in found.values()]
  for some, others in itertools.combinations(titles, 2):
    assert some and not some & others
  assert sum(map(len, found.values())) == 120 + 40 + 20
  assert all(
    len([r for r in rows if r.evidence[0].startswith('C')]) in (0, 40)
    for rows in found.values()
  )


def test_seeds(build):
  assert build() == build()
  assert build() != build(seed=1)


def test_questions_wait_for_an_instance_with_room(build, recipe_of):
  texts = [q.text for i in build() for q in i.questions]
  rows = hotpotqa.rows(recipe_of())
  assert len(texts) == len(set(texts)) > 0.9 * len(rows)


def test_a_length_is_reached_with_distractors(build, recipe_of):
  recipe = recipe_of(tokens=4000, instances=1)
  (instance,) = hotpotqa.build(recipe)
  assert abs(sum(map(words, instance.chunks)) - 4000) <= 60
  assert 'Distractor' in ' '.join(instance.chunks)
  assert not any('repeat' in e.reason for e in recipe.log.entries)


def test_rows_that_cannot_be_asked_are_written_down(put, recipe_of):
  lost = {**row(0, ['A', 'B']), 'supporting_titles': ['A', 'Z']}
  blank = {**row(2, ['A', 'B']), 'answer': ' '}
  put('x', [lost, row(1, ['A', 'B'])] * 2 + [blank], lines=True)
  recipe = recipe_of()
  rows = hotpotqa.read(recipe, 'x')
  assert [r.question for r in rows] == ['What links A and B in 1?']
  assert recipe.log.counts() == {
    'hotpotqa: left out: duplicate question': 1,
    'hotpotqa: left out: evidence is not among its articles': 2,
    'hotpotqa: left out: question without answer': 1,
  }


def test_yes_and_no_do_not_stand_in_the_text(build, put, recipe_of):
  put(
    hotpotqa.FILE,
    ROWS + [{**row(300, ['Y', 'Z']), 'answer': 'yes'}],
    lines=True,
  )
  found = [
    q.text
    for s in ('train', 'validation')
    for i in build(s)
    for q in i.questions
  ]
  assert found and not any('Y and Z' in text for text in found)


def test_an_id_that_comes_again_is_left_out(put, recipe_of):
  rows = [{**ROWS[0], '_id': 'a', 'question': f'{n}?'} for n in range(3)]
  put(hotpotqa.FILE, rows, lines=True)
  recipe = recipe_of()
  assert len(hotpotqa.read(recipe, hotpotqa.FILE)) == 1
  assert recipe.log.counts() == {'hotpotqa: left out: duplicate id': 2}


def test_bad_files_are_named(build, put, tmp_path):
  with pytest.raises(ValueError, match="No split 'dev'"):
    build('dev')
  whole = (tmp_path / hotpotqa.FILE).read_text()
  for text, words_ in (
    (whole[:-30], 'line 120 is not complete JSON'),
    ('{"question": "q", "answer": "a"}\n', 'line 1 is not in the official'),
    ('version https://git-lfs.github.com/spec/v1\n', 'Git LFS pointer'),
  ):
    put(hotpotqa.FILE, text)
    with pytest.raises(ValueError, match=words_):
      build()
  (tmp_path / hotpotqa.EVALUATION_FILE).unlink()
  with pytest.raises(FileNotFoundError, match='dev_first500_part'):
    build()
