"""PerLTQA: events of invented characters, keywords as answers."""

import pytest

from mem_alpha.data.sources import perltqa


def question(text, reference, *anchors):
  return {
    'Question': text,
    'Answer': f'A long answer about {anchors[0]}.',
    'Reference Memory': reference,
    'Memory Anchors': [{anchor: [-1, -1]} for anchor in anchors],
  }


def memories(name):
  return {
    'profile': {},
    'social_relationship': '{}',
    'events': {
      '1_0_0': {
        'content': f'{name} saw the Grand Canyon with Li Ting.',
        'summary': 'A trip',
        'Creation Time': 'May 12, 2022',
      },
      '1_1_0': {
        'content': f'{name} won a chess match.',
        'summary': 'A match',
        'Creation Time': '2012',
      },
      '1_2_0': {'content': ' ', 'summary': 'x', 'Creation Time': 'y'},
    },
    'dialogues': {
      '1_1_0_0#0': {
        'events': '1_1_0',
        'contents': {'2022-01-01': [f'{name}: It was a rook sacrifice.']},
      }
    },
  }


def asked_of(name):
  return {
    'profile': [question(f'Who is {name}?', 'Gender', 'x')],
    'social_relationship': [
      {'1_0': [question('With whom?', "['1_0']", 'li ting')]}
    ],
    'events': [
      {
        '1_0_0': [
          question(
            'Where?', "['1_0_0']", 'Grand Canyon', 'a very long phrase here'
          ),
          question('Lost?', "['1_0_0']", 'not in it'),
        ]
      },
      {'9_9_9': [question('What?', "['9_9_9']", 'x')]},
    ],
    'dialogues': [
      {'1_1_0_0#0': [question('How?', "['1_1_0_0#0']", 'rook', 'sacrifice')]}
    ],
  }


def test_perltqa_tells_events_and_asks_for_keywords(put, recipe_of):
  names = [f'Person {n}' for n in range(40)]
  put('perltqa/perltmem_en_v2.json', {name: memories(name) for name in names})
  put(
    'perltqa/perltqa_en_v2.json',
    [{name: asked_of(name)} for name in [*names, 'Nobody']],
  )
  recipes = [recipe_of(s) for s in ('train', 'validation', 'test')]
  found = [perltqa.build(recipe) for recipe in recipes]
  ids = [{i.instance_id.split('/')[-1] for i in some} for some in found]
  assert all(ids) and sum(map(len, ids)) == len(set.union(*ids)) == 40
  instance = found[0][0]
  assert len(instance.chunks) == 2
  assert instance.chunks[0].startswith(
    '[Event on May 12, 2022: A trip]\nPerson'
  )
  assert '[Dialogue at 2022-01-01]\nPerson' in instance.chunks[1]
  assert {q.text: q.answers for q in instance.questions} == {
    'With whom?': ('li ting',),
    'Where?': ('Grand Canyon',),
    'How?': ('rook;sacrifice',),
  }
  assert {q.metric for q in instance.questions} == {'phrases'}
  counts = recipes[0].log.counts()
  assert counts['perltqa: left out: character without memories'] == 1
  for reason in ('no keyword in its event', 'no event for it', 'empty event'):
    assert counts[f'perltqa: left out: {reason}'] == len(found[0])


def test_a_model_writes_keywords_and_answers(put, recipe_of):
  names = [f'Person {n}' for n in range(9)]
  put('perltqa/perltmem_en_v2.json', {name: memories(name) for name in names})
  put('perltqa/perltqa_en_v2.json', [{name: asked_of(name)} for name in names])

  def ask(prompts):
    assert all('Grand Canyon' in p or 'rook' in p for p in prompts)
    if prompts[0].startswith('Write the keywords'):
      return [
        'Li Ting; the Grand Canyon; unheard of; one two three four'
        if 'Canyon' in prompt
        else 'rook; chess'
        for prompt in prompts
      ]
    return [
      'no idea' if 'Lost?' in p else 'With LI TING, or a rook.' for p in prompts
    ]

  recipe = recipe_of(ask=ask)
  for instance in perltqa.build(recipe):
    assert {q.text: q.answers for q in instance.questions} == {
      'With whom?': ('Li Ting;the Grand Canyon',),
      'Where?': ('Li Ting;the Grand Canyon',),
      'How?': ('rook;chess',),
    }
  counts = recipe.log.counts()
  assert counts['perltqa/train: left out: the model cannot answer it'] >= 1


def test_a_character_that_comes_again_is_left_out(put, recipe_of):
  put('perltqa/perltmem_en.json', {f'P{n}': memories('x') for n in range(30)})
  put(
    'perltqa/perltqa_en.json',
    [{f'P{n % 30}': asked_of('x')} for n in range(90)],
  )
  recipe = recipe_of()
  found = perltqa.build(recipe)
  assert len({i.instance_id for i in found}) == len(found)
  assert recipe.log.counts()['perltqa: left out: duplicate id'] == 60
  put('perltqa/perltqa_en.json', ['P1'])
  with pytest.raises(ValueError, match='block 0 is not an object of a name'):
    perltqa.build(recipe_of())


def test_shortened_answers_are_taken_as_they_are(put, recipe_of):
  put('perltqa/perltmem_en.json', {'Person 0': memories('Person 0')})
  put('perltqa/perltqa_en_shortened.json', [{'Person 0': asked_of('Person 0')}])
  for split in ('train', 'validation', 'test'):
    try:
      (instance,) = perltqa.build(recipe_of(split))
    except ValueError:
      continue
    assert ('A long answer about rook.',) in {
      q.answers for q in instance.questions
    }
    return
  raise AssertionError('the character is in no split')


def test_bad_perltqa_files_are_named(put, recipe_of):
  with pytest.raises(FileNotFoundError, match='perltmem_en_v2'):
    perltqa.build(recipe_of())
  put('perltqa/perltmem_en.json', {f'P{n}': {} for n in range(30)})
  put('perltqa/perltqa_en.json', [{f'P{n}': {}} for n in range(30)])
  with pytest.raises(ValueError, match='not in the upstream layout'):
    perltqa.build(recipe_of())
