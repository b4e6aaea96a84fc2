"""BookSum and InfBench-Sum: one question, whose keywords stand in the text."""

import re

import pytest

from mem_alpha.data.sources import books
from mem_alpha.data.sources import booksum
from mem_alpha.data.sources import infbench_sum

HEAD = re.compile(r'\[Event happened on (\S+) The user is reading a book\]')


def words(text):
  return len(text.split())


def book(name, sentences=60):
  text = ''.join(
    f'Then {name} met Anna Lee and Doctor {n} in Rome and said nothing. '
    for n in range(sentences)
  )
  summary = (
    f'In this part, {name} meets Anna Lee. Later they go to Rome. They see '
    'Xanadu. The nothing that was said is a mystery.'
  )
  return books.Book(name, text.strip(), (summary,))


def build(recipe, *some):
  return books.build(some, recipe, source='toy')


def read(instance):
  """The text of the chunks between the dates of the question."""
  first, last = re.search(
    r'from (\S+) to (\S+)\.', instance.questions[0].text
  ).groups()
  dated = [(HEAD.match(chunk)[1], chunk) for chunk in instance.chunks]
  assert [date for date, _ in dated] == sorted({date for date, _ in dated})
  return [chunk for date, chunk in dated if first <= date <= last]


def test_a_book_is_read_in_dated_chunks(recipe_of):
  (instance,) = build(recipe_of(chunks=40), book('Kim'))
  assert len(instance.chunks) > 10
  assert all(words(chunk) <= 60 for chunk in instance.chunks)
  assert read(instance) == list(instance.chunks)
  text = ' '.join(
    chunk.split('<User> ')[1].split('\n<System>')[0]
    for chunk in instance.chunks
  )
  assert text == book('Kim').text
  (question,) = instance.questions
  keywords = question.answers[0].split(', ')
  assert {'Anna Lee', 'Rome'} <= set(keywords) and 'Xanadu' not in keywords
  assert all(word.lower() in text.lower() for word in keywords)
  assert question.metric == 'keywords'


def test_texts_with_too_few_or_too_many_chunks_are_left_out(recipe_of):
  recipe = recipe_of(chunks=40, min_chunks=8)
  some = [book('Kim', 60), book('Short', 3), book('Long', 500)]
  assert len(build(recipe, *some)) == 1
  assert [e.place for e in recipe.log.entries] == ['Short', 'Long']
  with pytest.raises(ValueError, match='has 8 to 40 chunks'):
    build(recipe, book('Short', 3))


@pytest.mark.parametrize('tokens', [200, 2000, 8000])
def test_a_length_cuts_a_text_or_adds_others(tokens, recipe_of):
  recipe = recipe_of(tokens=tokens)
  instance, _ = build(recipe, book('Kim'), book('Joe'))
  assert abs(sum(map(words, instance.chunks)) - tokens) <= 60
  asked = ' '.join(read(instance))
  assert 'Kim' in asked and 'Joe' not in asked
  assert ('Joe' in ' '.join(instance.chunks)) == (tokens > 200)
  for word in instance.questions[0].answers[0].split(', '):
    assert word.lower() in asked.lower()
  reasons = {e.reason for e in recipe.log.entries}
  assert ('text cut to the length' in reasons) == (tokens == 200)
  assert ('filler repeats texts' in reasons) == (tokens == 8000)


def test_a_model_may_write_the_keywords(recipe_of):
  def ask(prompts):
    assert 'Xanadu' in prompts[0]
    return ['Kim, Anna Lee, Xanadu, Rome.']

  (instance,) = build(recipe_of(chunks=40, ask=ask), book('Kim'))
  assert instance.questions[0].answers == ('Kim, Anna Lee, Rome',)


def test_a_summary_without_keywords_is_left_out(recipe_of):
  recipe = recipe_of(chunks=40)
  odd = books.Book('Odd', book('Odd').text, ('It is so.',))
  assert len(build(recipe, odd, book('Kim'))) == 1
  assert 'too few keywords' in recipe.log.entries[0].reason


def test_booksum_keeps_books_together_and_joins_summaries(put, recipe_of):
  rows = [
    {
      'bid': str(n),
      'book_id': f'B{n}.chapter {k}',
      'chapter': book(f'Hero{n}{k}x', 20 + k).text,
      'summary': book(f'Hero{n}{k}x').summaries[0],
    }
    for n in range(30)
    for k in range(2)
  ]
  rows.append({**rows[0], 'summary': 'Another one about Hero.'})
  rows.append({**rows[1], 'chapter': ' '})
  put('booksum/chapters_train.jsonl', rows, lines=True)
  recipes = [recipe_of(s, chunks=20) for s in ('train', 'validation', 'test')]
  found = [booksum.build(recipe) for recipe in recipes]
  numbers = [{i.instance_id.split('/')[3] for i in some} for some in found]
  assert all(numbers) and sum(map(len, numbers)) == 30
  assert sum(map(len, found)) == 60
  counts = [recipe.log.counts() for recipe in recipes]
  key = 'booksum: changed: one more summary of a chapter'
  assert sum(c.get(key, 0) for c in counts) == 1
  assert counts[0]['booksum: left out: empty chapter or summary'] == 1
  put('booksum/chapters_train.jsonl', [{'bid': 1}], lines=True)
  with pytest.raises(ValueError, match='line 1 lacks bid, book_id, chapter or'):
    booksum.build(recipe_of())


def test_infbench_sum_is_a_test(put, recipe_of, tmp_path):
  with pytest.raises(FileNotFoundError, match='BookSum is not in'):
    booksum.build(recipe_of(root=tmp_path / 'x'))
  novel = book('Kim', 100)
  row = {'id': 7, 'context': novel.text, 'answer': list(novel.summaries)}
  rows = [row, row, {**row, 'id': 8, 'answer': []}]
  put(infbench_sum.FILE, rows, lines=True)
  recipe = recipe_of('test', chunks=100)
  (instance,) = infbench_sum.build(recipe)
  assert instance.instance_id == 'infbench_sum/test/0/7'
  assert recipe.log.counts() == {
    'infbench_sum: left out: duplicate id': 1,
    'infbench_sum: left out: empty text or question without answer': 1,
  }
  with pytest.raises(ValueError, match='no train split'):
    infbench_sum.build(recipe_of('train'))
  put(infbench_sum.FILE, [{'id': 1}], lines=True)
  with pytest.raises(ValueError, match='line 1 lacks id, context or answer'):
    infbench_sum.build(recipe_of('test'))


def test_a_name_of_two_chapters_gets_its_place(put, recipe_of):
  rows = [
    {
      'bid': '1',
      'book_id': 'B.chapter 1',
      'chapter': book(hero, 20).text,
      'summary': book(hero).summaries[0],
    }
    for hero in ('Kim', 'Joe', 'Max')
  ]
  put('booksum/chapters_a.jsonl', rows[:2], lines=True)
  put('booksum/chapters_b.jsonl', rows[2:], lines=True)
  (split,) = [
    s for s in ('train', 'validation', 'test') if recipe_of(s).holds('1')
  ]
  recipe = recipe_of(split, chunks=20)
  names = {i.instance_id.split('/', 3)[3] for i in booksum.build(recipe)}
  assert names == {
    '1/B.chapter 1',
    '1/B.chapter 1@chapters_a:2',
    '1/B.chapter 1@chapters_b:1',
  }
  assert (
    recipe.log.counts()['booksum: changed: duplicate id got its place'] == 2
  )


def test_units_are_counted_once_and_chunks_twice_or_so(recipe_of):
  counted = []

  def count(text):
    counted.append(text)
    return words(text)

  recipe = recipe_of(chunks=400, chunk_tokens=500, count_tokens=count)
  (instance,) = build(recipe, book('Kim', 2000))
  chunks = [text for text in counted if text.startswith('[Event')]
  assert len(chunks) <= 4 * len(instance.chunks)
