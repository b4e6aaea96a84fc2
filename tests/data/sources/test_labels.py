"""Classification tasks: every asked label is shown, no sentence leaks."""

import re

import pytest

from mem_alpha.data import benchmark
from mem_alpha.data.sources import banking77
from mem_alpha.data.sources import clinc150
from mem_alpha.data.sources import labels
from mem_alpha.data.sources import nlu
from mem_alpha.data.sources import pubmed_rct
from mem_alpha.data.sources import pubmed_structured
from mem_alpha.data.sources import trec
from mem_alpha.data.sources import trec_coarse
from mem_alpha.data.sources import trec_fine

NAMES = tuple(f'label{n}' for n in range(6))
SHOWN = re.compile(r'Sentence: (.*)\nLabel: (\d+)')


def words(text):
  return len(text.split())


def task(count=600, **options):
  train = [
    labels.Example(f't{n}', f'please do thing {n} now', NAMES[n % 6])
    for n in range(count)
  ]
  test = [
    labels.Example(f'x{n}', f'Please do  thing {n} now', NAMES[n % 6])
    for n in range(0, 50, 5)
  ] + [
    labels.Example(f'y{n}', f'kindly do thing {n}', NAMES[n % 6])
    for n in range(25)
  ]
  return labels.Task('toy', NAMES, train, test, **options)


def shown(instance):
  return [pair for chunk in instance.chunks for pair in SHOWN.findall(chunk)]


def asked(instance):
  return [
    (re.match('Sentence: (.*)', q.text)[1], q.answers[0])
    for q in instance.questions
  ]


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_labels_that_are_asked_are_shown(split, recipe_of):
  for instance in labels.build(
    task(), recipe_of(split, chunk_tokens=80, chunks=4, max_questions=10)
  ):
    assert len(instance.chunks) == 4
    assert all(words(chunk) <= 80 for chunk in instance.chunks)
    numbers = {number for _, number in shown(instance)}
    assert {number for _, number in asked(instance)} <= numbers
    # Numbers stand for the labels in one way within an instance.
    names = {
      (int(re.search(r'\d+', text)[0]) % 6, number)
      for text, number in shown(instance) + asked(instance)
    }
    assert (
      len(names) == len({n for n, _ in names}) == len({m for _, m in names})
    )


def test_splits_share_no_sentence(recipe_of):
  def texts(split):
    found = labels.build(task(), recipe_of(split, chunks=40))
    return {
      ' '.join(text.lower().split())
      for i in found
      for text, _ in shown(i) + asked(i)
    }

  train, validation, test = map(texts, ('train', 'validation', 'test'))
  assert min(len(train), len(validation), len(test)) > 20
  assert not train & validation and not (train | validation) & test


def test_training_numbers_labels_anew_and_the_test_does_not(recipe_of):
  def numbering(instance):
    return {
      int(t.split('thing ')[1].split()[0]) % 6: n for t, n in shown(instance)
    }

  train = labels.build(task(), recipe_of(chunk_tokens=80, instances=6))
  assert len({tuple(sorted(numbering(i).items())) for i in train}) > 3
  recipe = recipe_of('test', chunk_tokens=80, max_questions=10)
  tests = labels.build(task(), recipe)
  assert len(tests) == 4  # 35 questions
  assert all(numbering(i) == {n: str(n) for n in numbering(i)} for i in tests)
  assert sum(len(i.questions) for i in tests) == 35


def test_the_benchmark_is_asked_first_with_its_numbers(put, recipe_of):
  put(
    benchmark.LABEL_MAPS,
    {'icl_toy_9shot': {'3': 'label0', '7': 'label1', '9': 'gone'}},
  )
  rows = [
    ('please do thing 6 now', '3'),
    ('something else', '7'),
    ('unknown', '5'),
  ]
  put(
    benchmark.QUESTIONS,
    [
      {
        'source': 'icl_toy_9shot',
        'qa_pair_id': f'n{n}',
        'prompt': p,
        'golds': [g],
      }
      for n, (p, g) in enumerate(rows)
    ],
    lines=True,
  )
  recipe = recipe_of('test', chunk_tokens=80, max_questions=4)
  first = labels.build(task(task='icl_toy'), recipe)[0]
  assert asked(first)[:2] == rows[:2]
  counts = recipe.log.counts()
  assert counts['toy/test: left out: label outside the map'] == 1
  assert counts['toy/test: left out: label not in the files'] == 1
  for split in ('train', 'test'):
    for instance in labels.build(task(task='icl_toy'), recipe_of(split)):
      assert rows[0][0] not in {text for text, _ in shown(instance)}


def test_the_published_split_shows_and_asks_the_benchmark(recipe_of):
  recipe = recipe_of(chunks=200, instances=3, published=True)
  found = labels.build(task(), recipe)
  assert len(found) == 3
  questions = {text for i in found for text, _ in asked(i)}
  assert 'kindly do thing 3' in questions
  assert found[0].instance_id == 'toy/published_train/0/0'
  examples = {text for i in found for text, _ in shown(i)}
  assert 'please do thing 5 now' in examples  # a test question


@pytest.mark.parametrize('tokens', [150, 1000, 20_000])
def test_an_instance_has_the_asked_length(tokens, recipe_of):
  recipe = recipe_of('test', tokens=tokens, instances=1, chunk_tokens=100)
  (instance,) = labels.build(task(), recipe)
  total = sum(map(words, instance.chunks))
  assert abs(total - tokens) <= max(60, 0.02 * tokens)
  repeats = any('more than once' in e.reason for e in recipe.log.entries)
  assert repeats == (tokens == 20_000)


def test_as_many_labels_as_fit(recipe_of):
  recipe = recipe_of(chunk_tokens=40, chunks=1, max_questions=30)
  for instance in labels.build(task(), recipe):
    assert {n for _, n in asked(instance)} <= {n for _, n in shown(instance)}
  assert any('of 6 labels fit' in e.reason for e in recipe.log.entries)
  with pytest.raises(ValueError, match='no instance of 60 tokens with 99'):
    labels.build(task(), recipe_of(chunks=1, min_questions=99))


def test_the_same_recipe_gives_the_same_instances(recipe_of):
  first, again = (labels.build(task(), recipe_of()) for _ in range(2))
  assert first == again != labels.build(task(), recipe_of(seed=1))


def test_sentences_that_occur_again_are_left_out(recipe_of):
  doubled = task()
  more = [
    labels.Example('a', 'Please do thing 1  now', 'label1'),
    labels.Example('b', 'please do thing 2 now', 'label5'),
  ]
  doubled = labels.Task('toy', NAMES, [*doubled.train, *more], doubled.test)
  recipe = recipe_of()
  labels.build(doubled, recipe)
  reasons = {e.place: e.reason for e in recipe.log.entries}
  assert reasons['a'] == 'duplicate text'
  assert reasons['b'] == 'duplicate text, other label'
  assert reasons['t5'] == 'is a test question'


# ------------------------------------------------------- the tasks' own files


def lines(count, form):
  return ''.join(form(n) + '\n' for n in range(count))


def put_trec(put, **more):
  kinds = ('NUM:dist', 'HUM:desc', 'LOC:city')
  text = lines(90, lambda n: f'{kinds[n % 3]} What is thing {n} ?')
  path = put(trec.TRAIN, text)
  path.write_bytes(
    path.read_bytes() + 'LOC:city Wo liegt K\xf6ln ?\n'.encode('latin-1')
  )
  tests = lines(9, lambda n: f'{kinds[n % 3]} Where is thing {n} ?')
  put(trec.TEST, tests + 'NUM:money How much ?\nODD:one Why ?\n')


def test_trec_is_latin_1_with_coarse_and_fine_labels(put, recipe_of):
  put_trec(put)
  recipe = recipe_of('test', published=True, chunks=40)
  instances = trec_coarse.build(recipe)
  text = ' '.join(c for i in instances for c in i.chunks)
  assert 'Wo liegt K\xf6ln ?' in text
  assert {q.answers[0] for i in instances for q in i.questions} == set('345')
  key = 'trec_coarse: left out: label outside the map'
  assert recipe.log.counts()[key] == 1
  recipe = recipe_of('test')
  assert {q.answers[0] for q in trec_fine.build(recipe)[0].questions} == set(
    '012'
  )
  assert recipe.log.counts()['trec_fine: left out: label outside the map'] == 2
  put(trec.TRAIN, 'NUM:dist How far ?\nnonsense\n')
  with pytest.raises(ValueError, match='line 2 is not `COARSE:fine question`'):
    trec_coarse.build(recipe_of())


def test_banking77_reads_its_csv(put, recipe_of):
  names = ['lost_card', 'exchange_rate']
  put('banking77/categories.json', names)
  rows = lines(40, lambda n: f'"My card, {n}, is gone",{names[n % 2]}')
  put(
    'banking77/train.csv',
    'text,category\n' + rows + 'What?,unheard_of\n,lost_card\n',
  )
  put('banking77/test.csv', 'text,category\nWhere is it?,lost_card\n')
  recipe = recipe_of('test')
  (instance,) = banking77.build(recipe)
  assert 'Sentence: My card, ' in instance.chunks[0]
  assert [q.answers for q in instance.questions] == [('0',)]
  counts = recipe.log.counts()
  assert counts['banking77: left out: label outside the map'] == 1
  assert counts['banking77: left out: empty text'] == 1
  put('banking77/test.csv', 'words,category\nWhere?,lost_card\n')
  with pytest.raises(ValueError, match='no column text'):
    banking77.build(recipe_of())
  put('banking77/test.csv', 'text,category\nok,lost_card\n"Where is')
  with pytest.raises(ValueError, match='is cut off'):
    banking77.build(recipe_of())


def test_clinc150_has_none_of_them_as_a_label(put, recipe_of):
  put('clinc150/domains.json', {'travel': ['book_flight'], 'home': ['lights']})
  train = [[f'turn on light {n}', 'lights'] for n in range(30)]
  train += [[f'fly me to {n}', 'book_flight'] for n in range(30)]
  parts = {
    'train': [*train, ['x', 'unheard_of']],
    'oos_train': [[f'who won game {n}', 'oos'] for n in range(30)],
    'val': [['lights please', 'lights']],
    'oos_val': [['who wins', 'oos']],
    'test': [],
    'oos_test': [],
  }
  put('clinc150/data_full.json', parts)
  recipe = recipe_of('test')
  (instance,) = clinc150.build(recipe)
  assert [q.answers for q in instance.questions] == [('1',), ('2',)]
  assert recipe.log.counts() == {'clinc150: left out: label outside the map': 1}
  put('clinc150/data_full.json', {'train': []})
  with pytest.raises(ValueError, match='not in the official layout'):
    clinc150.build(recipe_of())


def test_nlu_names_its_labels_in_two_ways(put, recipe_of):
  def row(n, part, **more):
    scenario = ('alarm', 'music')[n % 2]
    return {
      'split_fold1': part,
      'scenario': scenario,
      'intent': 'set',
      'label': f'{scenario}_set',
      'answer_from_anno': f'set thing {n}',
      **more,
    }

  rows = [row(n, 'train') for n in range(40)]
  rows += [row(n, 'test') for n in range(100, 104)]
  rows += [row(1, 'train', label='odd'), row(2, 'train', answer_from_anno=' ')]
  put(nlu.FILE, rows, lines=True)
  recipe = recipe_of('test')
  (instance,) = nlu.build(recipe)
  assert sorted(q.answers[0] for q in instance.questions) == list('0011')
  counts = recipe.log.counts()
  assert counts['nlu: left out: label outside the map'] == 1
  assert counts['nlu: left out: empty text'] == 1
  put(nlu.FILE, [{'label': 'x'}], lines=True)
  with pytest.raises(ValueError, match='line 1 is not in the expected layout'):
    nlu.build(recipe)


def abstracts(first, count):
  return ''.join(
    f'###{n}\n'
    + lines(5, lambda k, n=n: f'{pubmed_rct.LABELS[k]}\tIt is {n} {k} .')
    + '\n'
    for n in range(first, first + count)
  )


def test_pubmed_rct_keeps_abstracts_together(put, recipe_of):
  put('pubmed_rct/train.txt', abstracts(0, 60) + '###x\nODD\tNo .\nMETHODS\t\n')
  put('pubmed_rct/dev.txt', abstracts(60, 5))
  put('pubmed_rct/test.txt', abstracts(70, 5))
  form = re.compile(r'Sample: It is (\d+) (\d) \.\n\nLabels: (\d)')
  documents = {}
  for split in ('train', 'validation', 'test'):
    recipe = recipe_of(split, chunks=60)
    instances = pubmed_rct.build(recipe)
    assert instances[0].source == 'pubmed_rct'
    documents[split] = {
      match[0] for i in instances for c in i.chunks for match in form.findall(c)
    }
  assert not documents['train'] & documents['validation']
  assert not documents['train'] & documents['test']
  # Alphabetical numbers in the test, as published.
  assert all(
    number == kind
    for c in instances[0].chunks
    for _, kind, number in form.findall(c)
  )
  counts = recipe.log.counts()
  assert counts['pubmed_rct: left out: label outside the map'] == 1
  assert counts['pubmed_rct: left out: empty text'] == 1
  put('pubmed_rct/test.txt', 'METHODS no tab\n')
  with pytest.raises(ValueError, match='line 1 is not `LABEL<tab>sentence`'):
    pubmed_rct.build(recipe_of())


def test_the_stand_in_for_pubmed_rct_has_another_name(put, recipe_of):
  rows = [
    {
      'pmid': str(n // 5),
      'label': pubmed_rct.LABELS[n % 5],
      'text': f'It is {n}.',
    }
    for n in range(400)
  ]
  rows.append({'pmid': 'x', 'label': 'ODD', 'text': 'No.'})
  put(pubmed_structured.FILE, rows, lines=True)
  recipe = recipe_of('test')
  instances = pubmed_structured.build(recipe)
  assert {i.source for i in instances} == {'pubmed_structured'}
  assert recipe.log.counts() == {
    'pubmed_structured: left out: label outside the map': 1
  }
  put(pubmed_structured.FILE, [{'text': 'x'}], lines=True)
  with pytest.raises(ValueError, match='lacks text, label or pmid'):
    pubmed_structured.build(recipe_of())


def test_what_ends_within_a_line_is_refused(put, recipe_of):
  put_trec(put)
  put(trec.TEST, 'NUM:dist Where ?\nHUM:x Wh')
  with pytest.raises(ValueError, match='cut off in line 2'):
    trec_coarse.build(recipe_of('test'))
  put('pubmed_rct/train.txt', abstracts(0, 9) + '###77\nMETHODS\tWe randomi')
  put('pubmed_rct/dev.txt', abstracts(10, 1))
  put('pubmed_rct/test.txt', abstracts(20, 1))
  with pytest.raises(ValueError, match='cut off in line 65, which has no end'):
    pubmed_rct.build(recipe_of())


def test_an_abstract_of_the_test_is_none_to_train_on(put, recipe_of):
  put('pubmed_rct/train.txt', abstracts(0, 60) + abstracts(3, 1))
  put('pubmed_rct/dev.txt', abstracts(5, 1))
  other = abstracts(7, 5).replace('It', 'That')
  put('pubmed_rct/test.txt', other)
  recipe = recipe_of(chunks=60)
  text = ' '.join(c for i in pubmed_rct.build(recipe) for c in i.chunks)
  assert re.search(r'It is \d+ ', text)
  assert not any(f'It is {n} ' in text for n in range(7, 12))
  # Of five abstracts of the test, and of one each that came before.
  key = 'pubmed_rct: left out: duplicate id of an abstract'
  assert recipe.log.counts()[key] == 35


def test_names_of_labels_that_are_none_are_refused(put, recipe_of):
  put('banking77/categories.json', [{'a': 1}])
  with pytest.raises(ValueError, match='are not a list of names'):
    banking77.build(recipe_of())
  keys = ('train', 'oos_train', 'val', 'oos_val', 'test', 'oos_test')
  put('clinc150/data_full.json', {key: [[None, 'a']] for key in keys})
  for domains in (['a'], {'d': ['a']}, {'d': [1, 'a']}):
    put('clinc150/domains.json', domains)
    with pytest.raises(ValueError, match='not in the official layout'):
      clinc150.build(recipe_of())
