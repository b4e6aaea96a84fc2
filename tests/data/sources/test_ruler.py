"""RULER-QA: all listed questions first, their documents within."""

import re

import pytest

from mem_alpha.data import benchmark
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import ruler_qa1
from mem_alpha.data.sources import ruler_qa2

FRAME = re.compile(r'Document (\d+):\n')


def words(text):
  return len(text.split())


def listed(source, prompts):
  return [
    {
      'source': f'{source}_1K',
      'qa_pair_id': f'{source}_no{n}',
      'prompt': prompt,
      'golds': ['x'],
    }
    for n, prompt in enumerate(prompts)
  ]


@pytest.fixture
def files(put):
  paragraphs = [
    {
      'context': f'The river {n} is {n} miles long and flows north.',
      'qas': [
        {
          'id': f'{n}',
          'question': f'How long is river {n}?',
          'answers': [{'text': f'{n} miles'}],
        },
        {'id': f'{n}n', 'question': f'Why is river {n}?', 'answers': []},
      ],
    }
    for n in range(50)
  ]
  put(ruler_qa1.FILE, {'data': [{'title': 'T', 'paragraphs': paragraphs}]})
  rows = [
    {
      'question': f'Are A{n} &amp; B{n} both towns?',
      'answer': 'yes' if n % 2 else f'town {n}',
      'supporting_titles': [f'A{n}', f'B{n}'],
      'context': [[f'{x}{n}', f'{x}{n} is town {n}.'] for x in 'ABCDEF'],
    }
    for n in range(30)
  ]
  put(hotpotqa.EVALUATION_FILE, rows, lines=True)
  asked = listed('ruler_qa1', [f'How long is river {n}?' for n in (40, 7, 99)])
  asked += listed(
    'ruler_qa2', [f'Are A{n} & B{n}  both towns?' for n in (21, 77)]
  )
  put(benchmark.QUESTIONS, asked, lines=True)


@pytest.mark.parametrize('module', [ruler_qa1, ruler_qa2])
def test_documents_are_numbered_and_the_length_is_kept(
  module, files, recipe_of
):
  for tokens in (400, 2500):
    recipe = recipe_of('test', tokens=tokens, max_questions=20)
    (instance,) = module.build(recipe)
    assert abs(sum(map(words, instance.chunks)) - tokens) <= 60
    assert all(words(chunk) <= 60 for chunk in instance.chunks)
    numbers = FRAME.findall('\n'.join(instance.chunks))
    assert numbers == [str(n + 1) for n in range(len(numbers))]
    repeats = any('repeat' in e.reason for e in recipe.log.entries)
    assert repeats == (tokens == 2500)


def test_listed_questions_are_asked_and_the_missing_are_reported(
  files, recipe_of
):
  recipe = recipe_of('test', tokens=600, max_questions=5)
  (instance,) = ruler_qa1.build(recipe)
  asked = {q.text for q in instance.questions}
  assert {'How long is river 40?', 'How long is river 7?'} <= asked
  assert len(asked) == 5 and not any('Why' in text for text in asked)
  text = '\n'.join(instance.chunks)
  for question in instance.questions:
    assert question.answers[0] in text
    assert (question.kind, question.metric) == ('ruler_qa1', 'substring')
  missing = [e.place for e in recipe.log.entries if 'not there' in e.reason]
  assert len(missing) == 1 and missing[0].endswith('ruler_qa1_no2')


def test_both_articles_of_a_question_are_shown(files, recipe_of):
  (instance,) = ruler_qa2.build(recipe_of('test', tokens=900, max_questions=8))
  text = '\n'.join(instance.chunks)
  assert 'Are A21 & B21 both towns?' in {q.text for q in instance.questions}
  for question in instance.questions:  # yes and no are asked here
    for title in question.text.split()[1:4:2]:
      assert f'\n{title}\n{title} is town' in text


def test_there_is_only_a_test(files, recipe_of):
  for module in (ruler_qa1, ruler_qa2):
    with pytest.raises(ValueError, match='a benchmark: it has no train split'):
      module.build(recipe_of('train'))


def test_whole_has_everything(files, recipe_of):
  instance = ruler_qa1.whole(recipe_of())
  assert len(instance.chunks) == len(instance.questions) == 50
  assert len(ruler_qa2.whole(recipe_of()).chunks) == 180


def test_a_model_filters_no_question_of_the_benchmark(files, recipe_of):
  knows_all = ' '.join(f'{n} miles' for n in range(50))
  recipe = recipe_of(
    'test',
    tokens=600,
    max_questions=5,
    max_answer_tokens=1,
    ask=lambda prompts: [knows_all] * len(prompts),
  )
  (instance,) = ruler_qa1.build(recipe)
  asked = {q.text for q in instance.questions}
  assert {'How long is river 40?', 'How long is river 7?'} <= asked
  assert len(asked) == 5
