"""configs/data/mix.py on what its sources' own configs have prepared."""

import collections
import importlib
import json
import os

import pytest

from configs.data import mix
from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import prepare
from mem_alpha import text
from mem_alpha.data.sources import hotpotqa
from mem_alpha.data.sources import nlu
from mem_alpha.data.sources import pubmed_rct
from mem_alpha.data.sources import squad
from mem_alpha.data.sources import trec

DATA = os.environ.get('MEM_ALPHA_DATA')


def sentence(name, n):
  return f'The number {n} of {name} was seen on day {n} near the river{n}.'


def squad_file(titles):
  return {
    'data': [
      {
        'title': title,
        'paragraphs': [
          {
            'context': ' '.join(sentence(f'{title} {p}', n) for n in range(8)),
            'qas': [
              {
                'id': f'{title}{p}{n}',
                'question': f'Where was number {n} of {title} {p}?',
                'answers': [{'text': f'river{n}'}],
              }
              for n in range(4)
            ],
          }
          for p in range(6)
        ],
      }
      for title in titles
    ]
  }


def hotpot_row(kind, n):
  names = [f'{kind}{n}', f'{kind}{n + 1000}']
  return {
    'id': f'{kind}{n}',
    'question': f'Which river is near {names[0]} and {names[1]}?',
    'answer': f'river{n}',
    'supporting_facts': [[name, 0] for name in names],
    'context': [[name, [sentence(name, n)] * 2] for name in names],
  }


def person(name):
  events = {
    f'1_{n}': {
      'content': sentence(name, n),
      'summary': 'A day',
      'Creation Time': '2022',
    }
    for n in range(6)
  }
  asked = [
    {
      f'1_{n}': [
        {
          'Question': f'Where was {name} on day {n}?',
          'Answer': f'At river{n}.',
          'Reference Memory': f"['1_{n}']",
          'Memory Anchors': [{f'river{n}': [0, 1]}],
        }
      ]
    }
    for n in range(6)
  ]
  return {'dialogues': {}, 'events': events}, {'events': asked}


def history(n):
  sessions = [
    [
      {'role': 'user', 'content': sentence(f'trip {n} {k}', 100 * n + k)},
      {'role': 'assistant', 'content': f'I noted trip {n} {k}.'},
    ]
    for k in range(6)
  ]
  return {
    'question_id': f'item{n}',
    'question': f'Where was the number of trip {n} 2 seen?',
    'question_date': '2023/06/01',
    'answer': f'river{100 * n + 2}',
    'answer_session_ids': [f's{n}2'],
    'haystack_dates': [f'2023/05/{10 + k}' for k in range(6)],
    'haystack_session_ids': [f's{n}{k}' for k in range(6)],
    'haystack_sessions': sessions,
  }


def lines(count, form):
  return ''.join(form(n) + '\n' for n in range(count))


def raw_files():
  """A small file in the official format for each that the mix reads."""
  people = {f'P{n}': person(f'P{n}') for n in range(60)}
  benchmark = sorted(squad.BENCHMARK_TITLES)[:9]
  abstract = '\n'.join(
    f'{label}\tIt is %d {label} .' for label in pubmed_rct.LABELS
  )

  def abstracts(first, count):
    return lines(
      count, lambda n: f'###{first + n}\n{abstract % ((first + n,) * 5)}\n'
    )

  kinds = ('NUM:dist', 'HUM:desc', 'LOC:city')
  test = {**history(900), 'instance_id': 'b', 'source': 's'}
  del test['question_id'], test['haystack_session_ids']
  return {
    squad.FILES[1]: squad_file([f'T{n}' for n in range(60)] + benchmark),
    'squad/dev-v2.0.json': squad_file(benchmark),
    hotpotqa.FILE: [hotpot_row('A', n) for n in range(200)],
    hotpotqa.EVALUATION_FILE: [hotpot_row('E', n) for n in range(60)],
    'perltqa/perltmem_en.json': {
      n: memory for n, (memory, _) in people.items()
    },
    'perltqa/perltqa_en.json': [{n: asked} for n, (_, asked) in people.items()],
    'booksum/chapters_a.jsonl': [
      {
        'bid': n,
        'book_id': f'B{n}',
        'chapter': ' '.join(
          f'{sentence(f"B{n}", k)} Then Hero{n} went to Rome with a Doctor.'
          for k in range(30)
        ),
        'summary': f'It is Hero{n}. She goes to Rome and sees a Doctor.',
      }
      for n in range(60)
    ],
    'pubmed_rct/train.txt': abstracts(0, 200),
    'pubmed_rct/dev.txt': abstracts(200, 9),
    'pubmed_rct/test.txt': abstracts(300, 20),
    nlu.FILE: [
      {
        'split_fold1': 'test' if n % 10 == 9 else 'train',
        'scenario': 'abc'[n % 3],
        'intent': 'x',
        'label': f'{"abc"[n % 3]}_x',
        'answer_from_anno': f'do thing {n}',
      }
      for n in range(600)
    ],
    trec.TRAIN: lines(600, lambda n: f'{kinds[n % 3]} What is thing {n} ?'),
    trec.TEST: lines(30, lambda n: f'{kinds[n % 3]} Where is thing {n} ?'),
    'longmemeval/longmemeval_s.json': [history(n) for n in range(90)],
    'longmemeval/mab_longmemeval_s_star_0.json': {
      **test,
      'questions': [{'question_id': 'q', 'question': 'Who?', 'answers': ['x']}],
    },
  }


def prepared(source, root, out, tokenizer):
  """Runs a source's config, for training, as its docstring says; shrunk."""
  module = importlib.import_module(f'configs.data.{source}')
  folder = mix.FOLDERS.get(source, source)
  (command,) = [
    words
    for words in map(str.split, module.__doc__.split('python -m')[1:])
    if f'--workdir=data/{folder}' in words
  ]
  (flag,) = [word for word in command if word.startswith('--config=')]
  config = module.get_config(flag.partition(':')[2] or None)
  assert config.prepare.train >= mix.CAPS[source]
  config.data.root = str(root)
  config.data.chunk_tokens = 1200
  config.data.chunks = 6
  if config.data.tokens:
    config.data.tokens = 3000
  config.data.min_chunks = 1
  config.data.min_questions = min(config.data.min_questions, 4)
  config.data.max_questions = min(config.data.max_questions, 20)
  config.prepare.tokenizer = str(tokenizer)
  prepare.run(config, out / folder)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """data/ of a machine that has prepared all eight."""
  here = tmp_path_factory.mktemp('mix')
  for name, value in raw_files().items():
    if isinstance(value, list) and name.endswith('.jsonl'):
      value = ''.join(json.dumps(row) + '\n' for row in value)
    elif not isinstance(value, str):
      value = json.dumps(value)
    path = here / 'raw' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value)
  words = [sentence('the trip', n) for n in range(50)]
  text.train_bpe(words, vocab_size=400).save(here / 'bpe')
  for source in mix.CAPS:
    prepared(source, here / 'raw', here / 'data', here / 'bpe')
  return here / 'data'


def test_the_mixture_has_every_source_capped(folder):
  config = mix.get_config(str(folder))
  build.check(config)
  vocab = text.load(folder.parent / 'bpe')
  found = build_data.instances(config, 'train', 562, vocab)
  made = {
    source: json.loads((folder / name / 'report.json').read_text())['sources'][
      f'{source}/train'
    ]['instances']
    for source, name in ((s, mix.FOLDERS.get(s, s)) for s in mix.CAPS)
  }
  counts = collections.Counter(i.source for i in found)
  assert counts == {s: min(most, made[s]) for s, most in mix.CAPS.items()}
  assert len({i.instance_id for i in found}) == len(found) > 8
  for source in ('trec_coarse', 'nlu', 'pubmed_rct'):
    assert counts[source] == mix.CAPS[source]
  for instance in found:
    if instance.source == 'longmemeval':
      assert len(instance.questions) == 4
  for split in ('validation', 'test'):
    some = build_data.instances(config, split, 100, vocab)
    assert {i.source for i in some} == set(mix.CAPS) - {'longmemeval'}
