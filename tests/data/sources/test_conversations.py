"""LoCoMo and LongMemEval: sessions in order, questions answerable."""

import itertools

import pytest

from mem_alpha import structs
from mem_alpha.data.sources import conversations
from mem_alpha.data.sources import locomo
from mem_alpha.data.sources import longmemeval


def words(text):
  return len(text.split())


def history(name, count=12, evidence=True):
  sessions = tuple(
    conversations.Session(
      f'[{name} session {n}]',
      tuple(f'<A> {name} said thing {n} {t} to B.' for t in range(4)),
    )
    for n in range(count)
  )
  asked = tuple(
    conversations.Asked(
      structs.Question(f'{name} {n}?', (f'{n}',), 'toy', 'exact'),
      frozenset({n, (n + 5) % count}) if evidence else None,
    )
    for n in range(count)
  )
  return conversations.History(name, sessions, asked)


def build(recipe, *histories, **options):
  return conversations.build(histories, recipe, source='toy', **options)


def test_a_history_that_fits_is_told_in_order_and_all_is_asked(recipe_of):
  (instance,) = build(recipe_of(chunks=20), history('Ann'))
  assert len(instance.questions) == 12
  text = '\n'.join(instance.chunks)
  places = [text.index(f'thing {n} {t} ') for n in range(12) for t in range(4)]
  assert places == sorted(places)
  assert all(chunk.startswith('[Ann session') for chunk in instance.chunks)
  assert all(words(chunk) <= 60 for chunk in instance.chunks)


@pytest.mark.parametrize('tokens', [120, 250, 2000])
def test_a_length_holds_the_sessions_of_what_is_asked(tokens, recipe_of):
  recipe = recipe_of(tokens=tokens, chunk_tokens=80)
  instance, _ = build(recipe, history('Ann'), history('Bob'))
  total = sum(map(words, instance.chunks))
  assert abs(total - tokens) <= 45  # a session more or less
  text = '\n'.join(instance.chunks)
  assert instance.questions
  for question in instance.questions:
    number = int(question.answers[0])
    for session in (number, (number + 5) % 12):
      assert all(f'Ann said thing {session} {t} ' in text for t in range(4))
  own = [n for n in range(12) if f'Ann said thing {n} 0' in text]
  assert [text.index(f'Ann said thing {n} 0') for n in own] == sorted(
    text.index(f'Ann said thing {n} 0') for n in own
  )
  assert ('Bob' in text) == (tokens == 2000)
  entries = [e.reason for e in recipe.log.entries]
  assert any('repeat' in reason for reason in entries) == (tokens == 2000)
  assert ('its sessions do not fit' in entries) == (tokens < 2000)


def test_questions_without_known_sessions_need_them_all(recipe_of):
  whole = recipe_of(chunks=20)
  assert len(build(whole, history('Ann', evidence=False))[0].questions) == 12
  with pytest.raises(ValueError, match='none of 1 histories leaves 1 question'):
    build(recipe_of(chunks=2), history('Ann', evidence=False))


def test_a_session_is_a_chunk_without_merging(recipe_of):
  (instance,) = build(recipe_of(chunks=5), history('Ann'), merge=False)
  assert len(instance.chunks) == 5
  assert all(chunk.count('[Ann session') == 1 for chunk in instance.chunks)
  assert all(chunk.count('<A>') == 4 for chunk in instance.chunks)


# ------------------------------------------------------------------- LoCoMo


def talk(name, sessions=3):
  value = {'speaker_a': 'Ann', 'speaker_b': 'Bo'}
  for n in range(1, sessions + 1):
    value[f'session_{n}_date_time'] = f'{n} May, 2023'
    value[f'session_{n}'] = [
      {'speaker': 'Ann', 'dia_id': f'D{n}:1', 'text': f'I saw {n} dogs.'},
      {
        'speaker': 'Bo',
        'dia_id': f'D{n}:2',
        'text': 'Look!',
        'blip_caption': 'a photo of a cat',
      },
    ]
  qa = [
    {
      'question': f'How many dogs in {n}?',
      'answer': n,
      'evidence': [f'D{n}:1'],
      'category': 4,
    }
    for n in range(1, sessions + 1)
  ]
  qa += [
    {'question': 'x', 'adversarial_answer': 'y', 'evidence': [], 'category': 5},
    {'question': 'x', 'evidence': ['D1:1'], 'category': 1},
    {
      'question': 'Both?',
      'answer': 'yes',
      'evidence': ['D1:1; D2:1', 'D', 'D:3:1'],
      'category': 1,
    },
  ]
  return {'sample_id': name, 'conversation': value, 'qa': qa}


def test_locomo_is_read_and_split_by_conversation(put, recipe_of):
  names = ['conv-26', 'conv-30', 'conv-41', 'conv-42', *['conv-41'] * 2]
  put('locomo/a.json', [talk(name) for name in names])
  found = {}
  for split in ('train', 'validation', 'test'):
    recipe = recipe_of(split, chunks=9)
    found[split] = [i.instance_id.split('/')[-1] for i in locomo.build(recipe)]
  assert found == {
    'train': ['conv-26'],
    'validation': ['conv-30'],
    'test': ['conv-41', 'conv-42'],
  }
  (instance,) = locomo.build(recipe_of(chunks=9))
  assert instance.chunks[0].startswith(
    '[Dialogue between Ann and Bo on 1 May, 2023]\n<Ann> I saw 1 dogs.\n'
    '<Bo> Look! [shows a photo of a cat]'
  )
  assert [q.answers for q in instance.questions] == [
    ('1',),
    ('2',),
    ('3',),
    ('yes',),
  ]
  assert recipe.log.counts() == {
    'locomo: changed: malformed evidence ids were mended': 4,
    'locomo: left out: adversarial, it has no answer': 4,
    'locomo: left out: duplicate id': 2,
    'locomo: left out: question without answer': 4,
  }


def test_bad_locomo_files_are_named(put, recipe_of):
  with pytest.raises(FileNotFoundError, match='LoCoMo is not in'):
    locomo.build(recipe_of())
  put('locomo/a.json', [{'sample_id': 'x'}])
  with pytest.raises(ValueError, match='item 0 is not in the upstream layout'):
    locomo.build(recipe_of())


# -------------------------------------------------------------- LongMemEval


def turns(n):
  return [
    {'role': 'user', 'content': f'My number is {n}, please remember it.'},
    {'role': 'assistant', 'content': f'I noted {n}.'},
  ]


def official(name, first, **more):
  sessions = [turns(n) for n in range(first, first + 6)]
  return {
    'question_id': name,
    'question_type': 'multi-session',
    'question': f'What is my number in {name}?',
    'question_date': '2023/05/30',
    'answer': first,
    'answer_session_ids': [f's{first}'],
    'haystack_dates': [f'2023/05/{10 + n}' for n in range(6)],
    'haystack_session_ids': [f's{n}' for n in range(first, first + 6)],
    'haystack_sessions': sessions,
    **more,
  }


BENCHMARK = {
  'source': 'longmemeval_s*',
  'instance_id': 'longmemeval_s*#1',
  'haystack_dates': ['Chat Time: 2022/11/17', 'Chat Time: 2022/11/18'],
  'haystack_sessions': [turns(900), turns(103)],
  'questions': [
    {
      'question_id': 'q',
      'question': 'Current Date: x,\n\n Now Answer the Question: Why 900?',
      'answers': ['900'],
    },
    {'question_id': 'r', 'question': 'Empty?', 'answers': ['']},
  ],
}


def test_longmemeval_reads_both_layouts_and_keeps_the_test_apart(
  put, recipe_of
):
  put('longmemeval/mab_longmemeval_s_star_1.json', BENCHMARK)
  items = [official(f'item{n}', 100 * n) for n in range(2, 30)]
  items += [
    official('shares filler', 100),  # session 103
    official('shares evidence', 100, answer_session_ids=['s103']),
    official('asks the same', 5000, question='Why 900?'),
    official('item2', 0),
  ]
  put('longmemeval/longmemeval_s.json', items)
  (test,) = longmemeval.build(recipe_of('test', chunks=9))
  assert test.chunks[0].startswith(
    '[Dialogue at timestamp 2022/11/17]\n<User> My number is 900,'
  )
  assert [q.answers for q in test.questions] == [('900',)]
  found = {}
  for split in ('train', 'validation'):
    recipe = recipe_of(split, chunks=9)
    found[split] = longmemeval.build(recipe)
  names = [{i.instance_id.split('/')[-1] for i in f} for f in found.values()]
  assert all(names) and not names[0] & names[1]
  # 28 of its own, one with a session less; item9 needs the test's session 900.
  assert len(names[0] | names[1]) == 28 and 'item9' not in names[0] | names[1]
  everything = ' '.join(c for f in found.values() for i in f for c in i.chunks)
  assert 'number is 103,' not in everything
  assert 'number is 104,' in everything
  question = found['train'][0].questions[0].text
  assert question.startswith('Current date: 2023/05/30\nWhat is my number in')
  assert recipe.log.counts()['longmemeval: left out: duplicate id'] == 1


def test_an_id_counts_once_over_all_files(put, recipe_of):
  items = [official(f'item{n}', 100 * n) for n in range(10)]
  for name in 'smx':
    put(f'longmemeval/longmemeval_{name}.json', items)
  recipe = recipe_of(chunks=9)
  found = longmemeval.build(recipe)
  assert len({i.instance_id for i in found}) == len(found)
  assert recipe.log.counts()['longmemeval: left out: duplicate id'] == 20


def test_histories_are_joined_until_there_are_enough_questions(put, recipe_of):
  # Two neighbours share three of their sessions.
  items = [official(f'item{n}', 3 * n) for n in range(40)]
  put('longmemeval/longmemeval_s.json', items)
  recipe = recipe_of(chunks=99, min_questions=4)
  found = longmemeval.build(recipe)
  assert found and all(len(i.questions) == 4 for i in found)
  for instance in found:
    lines = '\n'.join(instance.chunks).split('\n')
    said = [line for line in lines if line.startswith('<User>')]
    assert len(said) == len(set(said))
    heads = [line for line in lines if line.startswith('[')]
    assert heads == sorted(heads)
    for question in instance.questions:
      assert any(f'is {question.answers[0]},' in line for line in said)


def test_an_item_may_have_parallel_lists_of_questions(put, recipe_of):
  item = official('many', 0, questions=['A?', 'B?'], answers=['x', 'y'])
  item['answer_session_ids'] = [['s0'], ['s1', 's2']]
  path = put('longmemeval/longmemeval_s.json', [item])
  (history,) = longmemeval.read(recipe_of(), [path])
  assert [(a.question.answers, a.sessions) for a in history.asked] == [
    (('x',), {0}),
    (('y',), {1, 2}),
  ]


def test_without_the_benchmark_the_official_file_has_all_splits(put, recipe_of):
  items = [official(f'item{n}', 100 * n) for n in range(60)]
  put('longmemeval/longmemeval_s.json', items)
  names = [
    {
      i.instance_id.split('/')[-1]
      for i in longmemeval.build(recipe_of(s, chunks=9))
    }
    for s in ('train', 'validation', 'test')
  ]
  assert sum(map(len, names)) == 60
  assert not any(a & b for a, b in itertools.combinations(names, 2))


def test_bad_longmemeval_files_are_named(put, recipe_of):
  with pytest.raises(FileNotFoundError, match='LongMemEval is not in'):
    longmemeval.build(recipe_of())
  put('longmemeval/mab_longmemeval_s_star_1.json', BENCHMARK)
  with pytest.raises(ValueError, match='training needs the official'):
    longmemeval.build(recipe_of('train'))
  put('longmemeval/longmemeval_s.json', [{'question_id': 'x'}])
  with pytest.raises(ValueError, match='item 0 is in neither layout'):
    longmemeval.build(recipe_of())
