"""Generated conversations: reproducible, disjoint splits, right answers."""

import collections
import dataclasses
import itertools
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

from mem_alpha import structs
from mem_alpha.data import synthetic
from mem_alpha.data import vocabulary

SPEC = synthetic.Spec()
# Long enough for the test split to run out of two-syllable names many times.
LONG = synthetic.scaled(SPEC, 120_000)
NAMES = {split: set(vocabulary.names(split)) for split in synthetic.SPLITS}


def words(text):
  return re.findall(r'\w+', text)


def some(split, count=30, spec=SPEC):
  return synthetic.Dataset(spec, split, 0, count)[:]


def all_notes(instance):
  return [note for notes in instance.notes for note in notes]


def asked(instance, kind):
  return [q for q in instance.questions if q.kind == kind]


def skeleton(sentence, split):
  """The sentence without its names and dates: frame and relation."""
  without_date = re.sub(r'\b\d+ [A-Z]\w+', '_', sentence)
  names = NAMES[split]
  return ' '.join('_' if w in names else w for w in words(without_date))


def label_of(sentence):
  return re.search(r'[Ll]abel (\w+)', sentence).group(1)


@pytest.fixture(scope='module')
def long_instance():
  return synthetic.instance(LONG, 'test', 0, 0)


# Reproducible.


def test_an_instance_depends_on_its_arguments_alone():
  first = synthetic.instance(SPEC, 'train', 3, 7)
  synthetic.instance(SPEC, 'test', 1, 0)
  assert synthetic.instance(SPEC, 'train', 3, 7) == first
  assert synthetic.Dataset(SPEC, 'train', 3, 9)[7] == first
  assert synthetic.Dataset(SPEC, 'train', 3, 9)[-2] == first
  others = ((SPEC, 'test', 3, 7), (SPEC, 'train', 4, 7), (SPEC, 'train', 3, 8))
  assert all(
    synthetic.instance(*args).chunks != first.chunks for args in others
  )


def test_an_instance_does_not_depend_on_the_hash_seed():
  program = (
    'import hashlib; from mem_alpha.data import synthetic as s;'
    'i = [s.instance(s.Spec(), split, 0, 0) for split in s.SPLITS];'
    'i.append(s.instance(s.scaled(s.Spec(), 9000), "test", 0, 1));'
    'print(hashlib.sha256(repr(i).encode()).hexdigest())'
  )
  digests = {
    subprocess.run(
      [sys.executable, '-c', program],
      env=os.environ | {'PYTHONHASHSEED': seed},
      cwd=pathlib.Path(vocabulary.__file__).parents[2],
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    for seed in ('1', '2')
  }
  assert len(digests) == 1


# Disjoint splits.


def test_splits_share_no_name():
  pools = list(NAMES.values())
  assert all(a.isdisjoint(b) for a, b in itertools.combinations(pools, 2))
  assert len(pools[0]) > 900 and min(map(len, pools)) > 100


@pytest.mark.parametrize('split', synthetic.SPLITS)
def test_texts_hold_names_of_their_own_split_only(split):
  own = NAMES[split]
  others = set().union(*NAMES.values()) - own
  for instance in some(split):
    assert others.isdisjoint(words(' '.join(instance.chunks)))
    for question in instance.questions:
      assert own.issuperset(words(question.answers[0])), question
    for note in all_notes(instance):
      if note.slot and note.slot[0] not in ('request', 'topic'):
        assert note.slot[0] in own


def test_long_names_stay_in_their_split(long_instance):
  notes = list(all_notes(long_instance))
  long_names = [
    name
    for note in notes
    for name in words(note.sentence)
    if name[:3] in vocabulary.STARTS
  ]
  assert any(len(name) == 9 for name in long_names)
  # First and last syllable are what the splits are divided by.
  assert all(name[:3] + name[-3:] in NAMES['test'] for name in long_names)


def test_no_name_is_a_word_of_the_language():
  names = {name.lower() for name in set().union(*NAMES.values())}
  for note in itertools.chain(*map(all_notes, some('train', 100))):
    language = skeleton(note.sentence, 'train').lower()
    assert names.isdisjoint(language.split()), note


def test_splits_share_no_frame_of_a_relation():
  for family in (
    'fact',
    'change',
    'event',
    'example',
    'topic',
    'rumour',
    'mention',
    'wrong_example',
    'chatter',
  ):
    for relation in range(4):
      found = [vocabulary.frames(s, family, relation) for s in synthetic.SPLITS]
      assert all(found), (family, relation)
      assert len(set(sum(found, []))) == len(sum(found, []))
  shapes = {
    split: {
      skeleton(note.sentence, split)
      for instance in some(split, 100)
      for note in all_notes(instance)
    }
    for split in synthetic.SPLITS
  }
  for one, other in itertools.combinations(synthetic.SPLITS, 2):
    assert shapes[one].isdisjoint(shapes[other])


@pytest.mark.parametrize('split', ['validation', 'test'])
def test_every_word_of_a_held_out_text_occurs_in_training(split):
  training = set()
  for instance in some('train', 400):
    training.update(*map(words, instance.chunks))
  names = NAMES[split]
  for instance in some(split, 100):
    for chunk in instance.chunks:
      assert training.issuperset(set(words(chunk)) - names)


# Layout.


def test_notes_are_the_lines_of_their_chunk(long_instance):
  for instance in [*some('train', 10), long_instance]:
    assert len(instance.notes) == len(instance.chunks)
    for chunk, notes in zip(instance.chunks, instance.notes):
      date, *lines = chunk.splitlines()
      assert re.fullmatch(r'\[\d+ [A-Z][a-z]+ 20\d\d\]', date)
      assert lines[0] == 'User:' and lines.count('Assistant:') == 1
      spoken = [line for line in lines if not line.endswith(':')]
      assert spoken == synthetic.numbered([n.sentence for n in notes])
  dates = [chunk.splitlines()[0] for chunk in long_instance.chunks]
  assert len(set(dates)) == len(dates)


def test_an_instance_holds_what_its_spec_says():
  spec = synthetic.Spec(
    chunks=4,
    facts=3,
    changes=1,
    events=2,
    classes=3,
    examples=3,
    topics=5,
    small_talk=7,
  )
  instance = synthetic.instance(spec, 'train', 0, 0)
  notes = all_notes(instance)
  kinds = collections.Counter(note.kind for note in notes if note.slot)
  assert kinds == {
    structs.Kind.SEMANTIC: 3 * (2 + 1 + 2 * 1) + 3 * 3,
    structs.Kind.EPISODIC: 2,
    structs.Kind.CORE: 5,
  }
  assert sum(note.slot is None for note in notes) == 7
  assert len(instance.chunks) == 4
  assert collections.Counter(q.kind for q in instance.questions) == {
    'accurate_retrieval': 3 * 4 + 2,
    'conflict_resolution': 3,
    'test_time_learning': 3,
    'long_range': 2,
  }


@pytest.mark.parametrize('tokens', [1000, 10_000, 100_000, 500_000])
def test_length_is_as_asked_for(tokens):
  start = time.process_time()
  instance = synthetic.instance(synthetic.scaled(SPEC, tokens), 'test', 0, 0)
  assert time.process_time() - start < 10
  pieces = sum(len(re.findall(r'\w+|[^\w\s]', c)) for c in instance.chunks)
  # A trained tokenizer needs about 1.3 pieces per word: it splits names. Whole
  # units of five chunks are added.
  short = synthetic.instance(SPEC, 'test', 0, 0)
  unit = len(re.findall(r'\w+|[^\w\s]', ''.join(short.chunks)))
  assert abs(1.3 * pieces - tokens) < 0.1 * tokens + 1.3 * unit / 2
  # Chunks of long conversations are like those of short ones.
  lines = [
    sum(c.count('\t') for c in i.chunks) / len(i.chunks)
    for i in (short, instance)
  ]
  assert lines[0] == lines[1]
  quiet = dataclasses.replace(SPEC, small_talk=0)
  assert synthetic.scaled(quiet, tokens).small_talk == 0
  kinds = collections.Counter(q.kind for q in instance.questions)
  assert set(kinds) == set(synthetic.KINDS)
  assert len(instance.questions) <= SPEC.max_questions
  assert len(set(instance.questions)) == len(instance.questions)


@pytest.mark.parametrize(
  'change', [{'facts': 0}, {'classes': 5}, {'topics': 0}, {'small_talk': -1}]
)
def test_impossible_counts_are_an_error(change):
  ((name, value),) = change.items()
  with pytest.raises(ValueError, match=f'{name}={value} is out of range'):
    dataclasses.replace(SPEC, **change)


def test_an_unknown_split_is_an_error():
  with pytest.raises(ValueError, match="split 'dev' is unknown"):
    synthetic.instance(SPEC, 'dev', 0, 0)


# Answers.


@pytest.mark.parametrize('split', synthetic.SPLITS)
def test_every_kind_is_asked_and_every_answer_is_said(split):
  for instance in some(split):
    assert {q.kind for q in instance.questions} == set(synthetic.KINDS)
    said = set(words(' '.join(instance.chunks)))
    for question in instance.questions:
      assert said.issuperset(words(question.answers[0])), question
      gist = question.kind == 'long_range'
      assert question.metric == ('token_f1' if gist else 'exact')


def test_a_slot_is_changed_at_most_once_and_names_never_run_out(long_instance):
  facts = collections.defaultdict(list)
  for note in all_notes(long_instance):
    if note.slot and note.slot[0] not in ('request', 'topic'):
      facts[note.slot].append(note.sentence)
  changed = [slot for slot, told in facts.items() if len(told) == 2]
  assert max(map(len, facts.values())) == 2
  assert len(changed) == LONG.facts * LONG.changes
  assert len(facts) == LONG.facts * (3 + LONG.changes) + LONG.events


def test_the_newest_value_is_the_answer(long_instance):
  for instance in [*some('train'), *some('test'), long_instance]:
    told = collections.defaultdict(list)
    for note in all_notes(instance):
      if note.slot:
        told[note.slot[:2]].append(words(note.sentence))
    for question in asked(instance, 'conflict_resolution'):
      relation, subject = re.search(
        r'the (.+) of (\w+)\?$', question.text
      ).groups()
      old, new = told[subject, relation]
      assert question.answers[0] in new
      assert question.answers[0] not in old


def test_a_question_of_two_hops_needs_two_facts():
  found = 0
  for instance in some('train'):
    facts = {n.slot: n.sentence for n in all_notes(instance) if n.slot}
    for question in asked(instance, 'accurate_retrieval'):
      chain = re.search(r'the (.+) of the (.+) of (\w+)\?', question.text)
      if chain:
        found += 1
        second, first, person = chain.groups()
        answer = question.answers[0]
        holds = [slot for slot in facts if answer in words(facts[slot])]
        # One fact states the answer; its subject is what the other states.
        ((subject, relation),) = holds
        assert relation == second and subject in words(facts[person, first])
  assert found == 30


def test_labels_follow_from_the_examples():
  for instance in [*some('train'), *some('test')]:
    label_of_word, requests = {}, set()
    for note in all_notes(instance):
      if note.slot and note.slot[0] == 'request':
        request = note.slot[1].split()
        requests.add(frozenset(request))
        for word in request:
          label = label_of(note.sentence)
          assert label_of_word.setdefault(word, label) == label
    assert len(set(label_of_word.values())) == SPEC.classes
    for question in asked(instance, 'test_time_learning'):
      request = re.search(r'request (.*)\?', question.text).group(1).split()
      assert frozenset(request) not in requests
      known = {label_of_word[w] for w in request if w in label_of_word}
      assert known == set(question.answers)


def test_topics_are_the_gist():
  for instance in some('test'):
    topics = {
      note.slot[1]
      for note in all_notes(instance)
      if note.kind == structs.Kind.CORE
    }
    for question in asked(instance, 'long_range'):
      assert set(question.answers[0].split()) == topics


def test_small_talk_answers_nothing():
  for instance in some('train'):
    for note in all_notes(instance):
      if note.slot is None:
        said = set(words(note.sentence))
        for question in instance.questions:
          # A value may be talked about, but not as the value of what is asked.
          asked_for = set(words(question.text)[3:]) - {'of', 'the'}
          assert not (question.answers[0] in said and asked_for <= said), (
            note,
            question,
          )
