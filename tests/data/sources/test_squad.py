"""SQuAD, from small files in the official layout."""

import pytest

from mem_alpha.data.sources import squad

DEV = squad.FILES[1]


def words(text):
  return len(text.split())


def paragraph(title, number):
  """Four sentences; the two annotators agree or not."""
  context = ' '.join(
    f'In part {number} of {title} fact {i} is value{number}x{i}.'
    for i in range(4)
  )
  qas = [
    {
      'id': f'{title}{number}{i}',
      'question': f'What is fact {i} in part {number} of {title}? ',
      'answers': [
        {'text': f'value{number}x{i}', 'answer_start': 0},
        {'text': f'value{number}x{i}', 'answer_start': 0},
        {'text': f'fact {i}', 'answer_start': 0},
      ],
    }
    for i in range(2)
  ]
  unanswerable = {'id': '', 'question': 'Why?', 'answers': []}
  return {'context': context, 'qas': [*qas, unanswerable]}


TITLES = [f'Title_{i}' for i in range(40)]
BENCHMARK = sorted(squad.BENCHMARK_TITLES)[:8]


def articles(titles):
  data = [
    {'title': t, 'paragraphs': [paragraph(t, n) for n in range(5)]}
    for t in titles
  ]
  return {'version': '1.1', 'data': data}


@pytest.fixture
def build(put, recipe_of):
  put(DEV, articles(TITLES + BENCHMARK))
  return lambda split='train', **options: squad.build(
    recipe_of(split, **options)
  )


def titles_in(instances):
  texts = ' '.join(chunk for i in instances for chunk in i.chunks)
  return {word for word in texts.split() if word.startswith('Title_')}


def test_instances_have_their_shape_and_hold_their_answers(build):
  instances = build()
  assert len(instances) > 10
  assert len({i.instance_id for i in instances}) == len(instances)
  for instance in instances:
    assert instance.source == 'squad'
    assert len(instance.chunks) == 3
    assert all(words(chunk) <= 60 for chunk in instance.chunks)
    assert instance.chunks[2].startswith(
      '[Dialogue between User and Assistant on 2024-01-03 00:00]\n<User>'
    )
    for question in instance.questions:
      assert question.kind == 'squad' and question.metric == 'token_f1'
      assert len(question.answers) == 2  # each once
      title = question.text.split()[-1].rstrip('?')
      number = question.text.split('part ')[1].split()[0]
      whole = ' '.join(
        line
        for chunk in instance.chunks
        for line in chunk.split('\n')[2:-1]  # without the dialogue
        if line
      )
      assert paragraph(title, number)['context'] in whole


def test_every_question_is_asked_at_most_once(build, recipe_of):
  texts = [q.text for i in build() for q in i.questions]
  assert len(texts) == len(set(texts)) > 200
  assert 'Why?' not in texts


def test_rows_that_are_not_used_are_written_down(build, recipe_of):
  recipe = recipe_of(max_questions=3)
  instances = squad.build(recipe)
  counts = recipe.log.counts()
  assert counts['squad: left out: question without answer'] == 48 * 5
  asked = sum(len(i.questions) for i in instances)
  sampled_out = counts['squad/train: left out: more than 3 questions']
  left = [e for e in recipe.log.entries if 'too little' in e.reason]
  held = [t for t in TITLES if recipe.holds(t, benchmark=False)]
  assert asked + sampled_out + 2 * len(left) == 10 * len(held)


def test_splits_share_no_title_and_the_test_is_the_benchmark(build):
  titles = [titles_in(build(s)) for s in ('train', 'validation')]
  assert all(titles)
  assert not titles[0] & titles[1]
  assert len(titles[0] | titles[1]) <= 40
  tests = ' '.join(c for i in build('test') for c in i.chunks)
  assert 'Title_' not in tests and BENCHMARK[0] in tests
  assert not any(
    f'of {title} ' in chunk
    for split in ('train', 'validation')
    for i in build(split)
    for chunk in i.chunks
    for title in BENCHMARK
  )
  assert titles_in(build(seed=1)) <= titles[0] | {
    t for t in TITLES if t not in titles[1]
  }


def test_the_published_split_does_not_spare_the_benchmark(build):
  text = ' '.join(c for i in build(published=True) for c in i.chunks)
  assert any(f'of {title} ' in text for title in BENCHMARK)
  assert build('validation', published=True)[0].questions == (
    build('test', published=True)[0].questions
  )


def test_the_training_file_is_read_too(build, put):
  put(squad.FILES[0], articles([f'Other_{i}' for i in range(9)]))
  text = ' '.join(c for i in build() for c in i.chunks)
  assert 'Other_' in text and 'Title_' in text


def test_the_seed_decides_everything_else(build):
  assert build() == build()
  assert build() != build(seed=1)


def test_questions_are_sampled_in_order(build):
  for instance, whole in zip(build(max_questions=2), build()):
    assert len(instance.questions) == 2
    assert instance.chunks == whole.chunks
    places = [whole.questions.index(q) for q in instance.questions]
    assert places == sorted(places)


def test_long_answers_and_thin_instances_are_left_out(build, recipe_of):
  recipe = recipe_of(max_answer_tokens=1)
  assert squad.build(recipe)
  with pytest.raises(ValueError, match='with 50 questions'):
    build(min_questions=50)


def test_what_a_model_knows_is_not_asked(build):
  def ask(prompts):  # knows all first facts
    return [
      f'It is value{p.split("part ")[1][0]}x0.' if 'fact 0' in p else 'No idea'
      for p in prompts
    ]

  texts = [q.text for i in build(ask=ask) for q in i.questions]
  assert texts and not any('fact 0' in text for text in texts)


def test_an_instance_has_the_asked_length(build, recipe_of):
  for tokens in (200, 1000, 20_000):  # the split has about 4,500
    recipe = recipe_of(tokens=tokens, instances=1)
    (instance,) = squad.build(recipe)
    assert abs(sum(map(words, instance.chunks)) - tokens) <= max(
      60, tokens / 100
    )
    assert all(words(chunk) <= 60 for chunk in instance.chunks)
    repeats = any('repeat' in e.reason for e in recipe.log.entries)
    assert repeats == (tokens == 20_000)


def test_bad_files_are_named(build, put, tmp_path, recipe_of):
  with pytest.raises(ValueError, match="No split 'dev'"):
    build('dev')
  with pytest.raises(ValueError, match='chunks is 0'):
    build(chunks=0)
  with pytest.raises(ValueError, match='fill no instance of 60000 tokens'):
    build(chunks=1000)
  with pytest.raises(FileNotFoundError, match=r'dev-v1\.1\.json'):
    squad.build(recipe_of(root=tmp_path / 'nowhere'))
  whole = (tmp_path / DEV).read_text()
  for text, words_ in (
    (whole[: len(whole) // 2], 'not complete JSON'),
    ('{"version": "1.1", "data": [{"title": "a"}]}', 'not in the official'),
    ('version https://git-lfs.github.com/spec/v1\n', 'Git LFS pointer'),
  ):
    put(DEV, text)
    with pytest.raises(ValueError, match=words_):
      build()
  (tmp_path / DEV).write_bytes(b'{"data": "\xff"}')
  with pytest.raises(ValueError, match='not UTF-8'):
    build()


def test_bad_rows_are_named_and_left_out(put, recipe_of):
  data = articles(TITLES)
  entry = data['data'][0]['paragraphs'][0]
  entry['qas'][1]['id'] = entry['qas'][0]['id'] = 'same'
  data['data'][1]['paragraphs'][2]['context'] = ' '
  put(DEV, data)
  recipe = recipe_of()
  squad.build(recipe)
  found = {e.reason: e.place for e in recipe.log.entries}
  assert 'question 1: same' in found['duplicate id']
  assert found['empty paragraph'] == f'{DEV}: 1 Title_1, paragraph 2'
