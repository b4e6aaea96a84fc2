"""The lexical reader quotes answers, and pasting text does not help it."""

import itertools
import os
import pathlib
import random
import statistics
import subprocess
import sys

import pytest
import rank_bm25

from mem_alpha import structs
from mem_alpha.data import synthetic
from mem_alpha.readers import base
from mem_alpha.readers import lexical
from mem_alpha.rewards import scores

SPEC = synthetic.Spec()
KEY = (structs.Kind.SEMANTIC, 0)


def entries(texts):
  """Entries in the order of their age, oldest first."""
  return [
    structs.Entry(structs.Kind.SEMANTIC, i, text, created=i, updated=i, order=i)
    for i, text in enumerate(texts)
  ]


def everything(stored):
  """A search that ranks nothing out; each memory has its own list."""
  return lambda queries: [
    [list(kept) for _ in row] for kept, row in zip(stored, queries, strict=True)
  ]


def memory(*texts, core=''):
  return base.Memories([core], everything([entries(texts)]))


def answer(question, *texts, core='', **options):
  reader = lexical.Lexical(**options)
  return reader(memory(*texts, core=core), [[question]])[0][0].text


# Quoting.


def test_a_fact_is_quoted():
  texts = ('The boss of Mira is Tobin.', 'The pet of Karl is Rex.')
  assert answer('What is the boss of Mira?', *texts) == 'Tobin'
  assert answer('What is the pet of Karl?', *texts) == 'Rex'


def test_the_answer_names_its_source():
  reader = lexical.Lexical()
  answers = reader(memory('The boss of Mira is Tobin.'), [['Boss of Mira?']])
  assert answers == [[structs.Answer('Tobin', (KEY,))]]


@pytest.mark.parametrize(
  'question',
  ['What is the boss of Mira?', 'What was it all about?', 'Which label?', ''],
)
def test_an_empty_memory_answers_nothing(question):
  assert answer(question) == ''


@pytest.mark.parametrize(
  'text',
  [
    'The boss of Karl is Tobin.',
    'Tobin is the boss of everybody.',
    'The boss of Tobin is Karl.',
    'Boss Tobin.',
  ],
)
def test_the_right_value_under_a_wrong_name_does_not_score(text):
  assert answer('What is the boss of Mira?', text) == ''


def test_a_sentence_without_a_content_word_of_the_question_is_no_answer():
  texts = ('Grass grows fast.', 'The cat sat on the mat.')
  assert answer('what is the colour of the sky?', *texts) == ''


def test_a_name_beats_a_rarer_word_and_a_later_run_an_earlier():
  text = 'In spring the boss of Mira was Tobin of some distant village.'
  assert answer('What is the boss of Mira?', text) == 'Tobin'
  text = 'mira likes apples but also pears.'
  assert answer('what mira likes?', text) == 'pears'


def test_an_answer_is_cut_to_max_words():
  text = 'The song of Mira is One Two Three Four Five Six Seven.'
  question = 'What is the song of Mira?'
  assert answer(question, text) == 'One Two Three Four Five'
  assert answer(question, text, max_words=2) == 'One Two'
  assert answer(question, text, max_words=8).endswith('Six Seven')


# Versions.


def test_the_newest_of_equal_matches_counts():
  old, new = 'The boss of Mira is Tobin.', 'Now the boss of Mira is Zora.'
  assert answer('What is the boss of Mira?', old, new) == 'Zora'
  assert answer('What is the boss of Mira?', new, old) == 'Tobin'


def test_the_order_that_the_search_returns_does_not_count():
  # The middle text scores between the other two, which match the same words.
  stored = entries(
    [
      'The boss of Mira is Tobin.',
      'It is the work of Mira, is it?',
      'Zora became boss with Mira.',
    ]
  )
  answers = set()
  for found in itertools.permutations(stored):
    memories = base.Memories([''], everything([found]))
    answers.add(
      lexical.Lexical()(memories, [['Who is the boss of Mira?']])[0][0]
    )
  assert len(answers) == 1
  assert answers.pop().sources == ((structs.Kind.SEMANTIC, 2),)


# Hops.


def test_two_hops_cross_two_entries():
  texts = ('The boss of Mira is Tobin.', 'The pet of Tobin is Rex.')
  question = 'What is the pet of the boss of Mira?'
  for stored in (texts, texts[::-1], (*texts, 'The pet of Karl is Bello.')):
    assert answer(question, *stored) == 'Rex'
  sources = lexical.Lexical()(memory(*texts), [[question]])[0][0].sources
  assert sources == (KEY, (structs.Kind.SEMANTIC, 1))


def test_a_second_hop_needs_the_right_name_and_relation():
  first = 'The boss of Mira is Tobin.'
  question = 'What is the pet of the boss of Mira?'
  assert answer(question, first, 'The pet of Karl is Rex.') == 'Tobin'
  assert answer(question, first, 'The town of Tobin is Rome.') == 'Tobin'
  assert answer(question, 'The pet of Tobin is Rex.') == ''


@pytest.mark.parametrize(
  'question', ['What is the boss of Mira?', 'Who is currently boss of Mira?']
)
def test_one_hop_is_not_left_for_an_entry_that_the_answer_heads(question):
  texts = ('The boss of Mira is Tobin.', 'The pet of Tobin is Rex.')
  assert answer(question, *texts) == 'Tobin'


# Labels.


def test_a_label_is_the_majority_of_the_three_nearest():
  texts = (
    'Request red green blue has label Alpha.',
    'Request red green has label Beta.',
    'Request red blue has label Beta.',
    'Request black has label Gamma.',
    'Request white has label Gamma.',
  )
  question = 'What is the label of request red green blue?'
  assert answer(question, *texts) == 'Beta'
  # One against one against one: the nearest decides.
  assert answer(question, *texts[:2], texts[3]) == 'Alpha'
  assert answer('What is the label of request black?', *texts[3:]) == 'Gamma'


def test_a_word_of_all_examples_brings_none_near():
  texts = [
    'Label Alpha fits request roof door.',
    'Label Beta fits request soup bread.',
    'Label Beta fits request bread salad.',
  ]
  assert answer('What is the label of request door wall?', *texts) == 'Alpha'
  assert answer('What is the label of request tea pot?', *texts) == ''
  # Of one label alone there is nothing to tell apart.
  assert answer('What is the label of request tea pot?', *texts[1:]) == 'Beta'


@pytest.mark.parametrize(
  'text',
  [
    'Red apples: label = Alpha',
    'Give label Alpha to red apples.',
    'For red apples the label is Alpha.',
    'red apples. label: Alpha red apples',
  ],
)
def test_labels_are_read_in_many_shapes(text):
  assert answer('What label have red apples?', text) == 'Alpha'


def test_an_example_without_a_common_word_is_not_near():
  assert answer('What is the label of fish?', 'Meat has label Alpha.') == ''


# Core.


def test_what_it_was_about_is_the_core_memory():
  core = 'Travel cooking'
  assert answer('What was it all about?', core=core) == core
  # Neither a core memory nor entries answer the other's question.
  text = 'The boss of Mira is Tobin.'
  assert answer('What was it all about?', text) == ''
  assert answer('What is the boss of Mira?', core=text) == ''


def test_core_is_cut_at_64_words():
  core = ' '.join(f'word{i}' for i in range(100))
  said = answer('Summarise the main topics.', core=core).split()
  assert said == core.split()[:64]


# Batches and whole conversations.


def current(instance):
  """What a perfect writer stores: (core, sentences), oldest first."""
  notes = {n.slot: n for row in instance.notes for n in row if n.slot}
  core = [n for n in notes.values() if n.kind == structs.Kind.CORE]
  rest = [n for n in notes.values() if n.kind != structs.Kind.CORE]
  return ' '.join(n.slot[-1] for n in core), [n.sentence for n in rest]


def said(instance):
  return [note.sentence for notes in instance.notes for note in notes]


def answers(instance, core, stored):
  memories = base.Memories([core], everything([stored]))
  row = lexical.Lexical()(memories, [[q.text for q in instance.questions]])[0]
  return [a.text for a in row]


def mean_scores(instance, predictions, kind=None):
  return statistics.mean(
    scores.score(q.metric, p, q.answers)
    for q, p in zip(instance.questions, predictions, strict=True)
    if kind in (None, q.kind)
  )


def average(split, texts_of, kind=None):
  """The mean score where `texts_of` makes the entries; core is the topics."""
  means = []
  for instance in synthetic.Dataset(SPEC, split, 0, 30):
    core, _ = current(instance)
    predictions = answers(instance, core, entries(texts_of(instance)))
    means.append(mean_scores(instance, predictions, kind))
  return statistics.mean(means)


@pytest.mark.parametrize('split', synthetic.SPLITS)
def test_a_perfect_memory_answers_every_question(split):
  assert average(split, lambda i: current(i)[1]) == 1


def test_pasting_does_not_pay():
  perfect = average('train', lambda i: current(i)[1])
  sentences = average('train', said)
  chunks = average('train', lambda i: i.chunks)
  one = average('train', lambda i: [' '.join(i.chunks)])
  assert one < chunks < sentences + 0.02
  assert sentences < perfect - 0.2


def test_facts_in_one_entry_lose_two_hops_and_changes():
  def one_of_facts(instance):
    notes = [n for row in instance.notes for n in row if n.slot]
    return [' '.join(note.sentence for note in notes)]

  assert average('train', one_of_facts, 'conflict_resolution') == 0
  assert average('train', one_of_facts, 'accurate_retrieval') <= 0.9
  # Nor does it help to hide where a sentence ends.
  run_on = lambda i: [one_of_facts(i)[0].replace('.', '')]  # noqa: E731
  assert average('train', run_on, 'accurate_retrieval') <= 0.4


def test_a_pasted_core_is_no_gist():
  for instance in synthetic.Dataset(SPEC, 'train', 0, 10):
    predictions = answers(instance, ' '.join(instance.chunks), [])
    assert mean_scores(instance, predictions, 'long_range') < 0.2
    assert mean_scores(instance, predictions) < 0.05


def test_the_memory_of_another_conversation_answers_nothing():
  for i in range(20):
    one = synthetic.instance(SPEC, 'test', 0, i)
    other = synthetic.instance(SPEC, 'train', 0, i)
    core, texts = current(other)
    assert mean_scores(one, answers(one, core, entries(texts))) == 0


def test_unrelated_entries_do_not_change_an_answer():
  rng = random.Random(0)
  for i in range(10):
    instance = synthetic.instance(SPEC, 'test', 1, i)
    core, texts = current(instance)
    # Other names, and no labels: those of another task would be near.
    noise = [
      sentence
      for j in range(3)
      for sentence in said(synthetic.instance(SPEC, 'train', i, j))
      if 'label' not in sentence.lower()
    ]
    mixed = texts + noise
    rng.shuffle(mixed)
    alone = answers(instance, core, entries(texts))
    assert answers(instance, core, entries(mixed)) == alone


def test_each_memory_of_a_batch_is_read_alone():
  instances = synthetic.Dataset(SPEC, 'train', 2, 6)[:]
  cores, stored = zip(*map(current, instances))
  stored = [entries(texts) for texts in stored]
  queries = [[q.text for q in i.questions][:n] for n, i in enumerate(instances)]
  batch = lexical.Lexical()(base.Memories(cores, everything(stored)), queries)
  for core, kept, row, found in zip(cores, stored, queries, batch, strict=True):
    alone = lexical.Lexical()(base.Memories([core], everything([kept])), [row])
    assert alone == [found]


def test_a_long_memory_is_read_through_bm25():
  instance = synthetic.instance(synthetic.scaled(SPEC, 5000), 'test', 0, 0)
  core, texts = current(instance)
  stored = entries(texts)
  words = [lexical._sentence(text).words for text in texts]
  index = rank_bm25.BM25Okapi(words)
  calls = []

  def search(queries):
    calls.append(queries)
    return [
      [index.get_top_n(lexical._sentence(q).words, stored, n=20) for q in row]
      for row in queries
    ]

  row = [[q.text for q in instance.questions]]
  found = lexical.Lexical()(base.Memories([core], search), row)[0]
  assert len(texts) > 50
  assert mean_scores(instance, [a.text for a in found]) == 1
  assert len(calls) == 2  # all first hops, then all second ones


def test_the_reader_is_deterministic_and_knows_no_data():
  program = """
import sys
from mem_alpha import structs
from mem_alpha.readers import base, lexical
texts = ['The boss of Mira is Tobin.', 'The pet of Tobin is Rex or Bello.',
         'Red has label A.', 'Blue has label B.', 'Mira and Karl like tea.']
stored = [structs.Entry(structs.Kind.SEMANTIC, i, t, i, i, 0)
          for i, t in enumerate(texts)]
queries = [['What is the pet of the boss of Mira?', 'Which label has tea?',
            'Which label have red and blue?', 'What do Mira and Karl like?']]
memories = base.Memories([''], lambda qs: [[stored for _ in r] for r in qs])
print(lexical.Lexical()(memories, queries))
print(sorted(name for name in sys.modules if name.startswith('mem_alpha')))
"""
  printed = {
    subprocess.run(
      [sys.executable, '-c', program],
      env=os.environ | {'PYTHONHASHSEED': seed},
      cwd=pathlib.Path(lexical.__file__).parents[2],
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    for seed in ('1', '2', '3')
  }
  assert len(printed) == 1
  assert 'mem_alpha.data' not in printed.pop()
