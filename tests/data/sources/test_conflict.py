"""Conflict resolution: the answer is what was told last."""

import re

import pytest

from mem_alpha.data.sources import conflict

LINE = re.compile(r'(\d+)\. The (\w+) of (.*) is (.*)\.')


def words(text):
  return len(text.split())


def facts(count=60):
  """Towns in countries, countries with capitals that are towns."""
  rows = []
  for n in range(count):
    rows.append(('country', f'Town {n}', f'Land {n % 7}'))
    rows.append(('mayor', f'Town {n}', f'Person {n}'))
  rows += [('capital', f'Land {n}', f'Town {n}') for n in range(7)]
  return [dict(relation=r, subject=s, object=o) for r, s, o in rows]


def told(instance):
  """(subject, relation) -> its objects as told, read from the chunks."""
  found, numbers = {}, []
  for chunk in instance.chunks:
    for number, relation, subject, object_ in LINE.findall(chunk):
      numbers.append(int(number))
      found.setdefault((subject, relation), []).append(object_)
  assert numbers == list(range(len(numbers)))
  return found


@pytest.fixture
def instance(put, recipe_of):
  put(conflict.FACTS, facts(), lines=True)
  return conflict.build(
    recipe_of('test', tokens=1500, chunk_tokens=100, max_questions=40)
  )[0]


def test_single_hop_answers_are_the_last_of_several(instance):
  found = told(instance)
  asked = [q for q in instance.questions if q.kind == 'conflict_single_hop']
  assert len(asked) == 20
  for question in asked:
    relation, subject = re.match(
      r'What is the (\w+) of (.*)\?', question.text
    ).groups()
    objects = found[subject, relation]
    assert question.answers == (objects[-1],)
    assert len(set(objects)) == 2
    assert question.metric == 'substring'


def test_multi_hop_answers_follow_the_last_facts(instance):
  found = told(instance)
  asked = [q for q in instance.questions if q.kind == 'conflict_multi_hop']
  assert len(asked) == 20
  changed = 0
  for question in asked:
    second, first, subject = re.match(
      r'What is the (\w+) of the (\w+) of (.*)\?', question.text
    ).groups()
    middle = found[subject, first][-1]
    assert question.answers == (found[middle, second][-1],)
    changed += len(set(found[subject, first])) > 1
  assert changed


def test_facts_of_the_list_override_in_its_order(put, recipe_of):
  rows = [
    dict(subject='Ann', relation='job', object=job)
    for job in ('cook', 'pilot', 'judge')
  ]
  put(conflict.FACTS, rows, lines=True)
  for seed in range(5):
    (instance,) = conflict.build(recipe_of('test', tokens=50, seed=seed))
    assert told(instance)['Ann', 'job'] == ['cook', 'pilot', 'judge']
    assert instance.questions[0].answers == ('judge',)


@pytest.mark.parametrize('tokens', [300, 4000])
def test_an_instance_has_the_asked_length(tokens, put, recipe_of):
  put(conflict.FACTS, facts(), lines=True)
  recipe = recipe_of('test', tokens=tokens)
  (instance,) = conflict.build(recipe)
  total = sum(map(words, instance.chunks))
  assert abs(total - tokens) <= max(60, 0.02 * tokens)
  assert all(words(chunk) <= 60 for chunk in instance.chunks)
  entries = [e.reason for e in recipe.log.entries]
  assert any('repeat facts' in e for e in entries) == (tokens == 4000)


def test_words_of_the_list_are_used(put, recipe_of):
  rows = [
    dict(
      subject='Ann',
      relation='job',
      object=job,
      statement=f'Ann works as a {job} now.',
      question='What does Ann do?',
    )
    for job in ('cook', 'pilot')
  ]
  put(conflict.FACTS, rows, lines=True)
  (instance,) = conflict.build(recipe_of('test', tokens=60))
  assert '1. Ann works as a pilot now.' in instance.chunks[0]
  assert instance.questions[0].text == 'What does Ann do?'


def test_mquake_is_read(put, recipe_of):
  def hop(subject, relation, answer):
    return {
      'question': f'Who is the {relation} of {subject}?',
      'cloze': f'The {relation} of {subject} is',
      'answer': answer,
    }

  cases = []
  for n in range(6):
    old = [[f'Book {n}', 'author', f'A{n}'], [f'A{n}', 'wife', f'W{n}']]
    new = [[f'Book {n}', 'author', f'B{n}'], [f'B{n}', 'wife', f'X{n}']]
    cases.append(
      {
        'questions': [f'Who is the wife of the author of Book {n}?', 'x', 'y'],
        'single_hops': [hop(*t) for t in old],
        'new_single_hops': [hop(*t) for t in new],
        'orig': {'triples_labeled': old, 'new_triples_labeled': new},
      }
    )
  put('conflict/MQuAKE-CF-3k.json', cases)
  (instance,) = conflict.build(recipe_of('test', tokens=400, chunk_tokens=90))
  found = told(instance)
  for n in range(6):
    assert found[f'Book {n}', 'author'] == [f'A{n}', f'B{n}']
  answers = {q.text: q.answers for q in instance.questions}
  for n in range(6):
    (answer,) = answers[f'Who is the wife of the author of Book {n}?']
    assert answer == found[f'B{n}', 'wife'][-1]
  put('conflict/MQuAKE-CF-3k.json', [{'questions': ['x']}])
  with pytest.raises(ValueError, match='not in the upstream layout'):
    conflict.build(recipe_of('test'))


def test_training_has_a_list_of_its_own(put, recipe_of):
  put(conflict.FACTS, facts(), lines=True)
  with pytest.raises(FileNotFoundError, match='facts_train.jsonl'):
    conflict.build(recipe_of('train'))
  put(conflict.TRAINING, facts(), lines=True)
  subjects = [
    {s for s, _ in told(conflict.build(recipe_of(split, tokens=2000))[0])}
    for split in ('train', 'validation')
  ]
  assert all(subjects) and not subjects[0] & subjects[1]


def test_bad_facts_are_named(put, recipe_of):
  rows = facts(3)
  rows += [rows[0], {**rows[0], 'object': ' '}, {**rows[1], 'statement': 'No.'}]
  put(conflict.FACTS, rows, lines=True)
  recipe = recipe_of('test', tokens=300)
  conflict.build(recipe)
  assert [(e.place, e.reason) for e in recipe.log.entries if e.left_out][
    :3
  ] == [
    (f'{conflict.FACTS}: line 14', 'duplicate fact'),
    (f'{conflict.FACTS}: line 15', 'empty field'),
    (f'{conflict.FACTS}: line 16', 'statement without its object'),
  ]
  put(conflict.FACTS, [{'subject': 'x'}], lines=True)
  with pytest.raises(ValueError, match='line 1 lacks subject, relation or ob'):
    conflict.build(recipe_of('test'))


@pytest.mark.parametrize('field', ['statement', 'question'])
def test_a_field_that_is_no_text_is_named(field, put, recipe_of):
  put(conflict.FACTS, [*facts(3), {**facts(1)[0], field: None}], lines=True)
  with pytest.raises(
    ValueError, match='has a statement or question that is no'
  ):
    conflict.build(recipe_of('test', tokens=300))
