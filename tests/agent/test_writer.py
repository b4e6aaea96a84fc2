"""Scripted writers: how often they err, and what a perfect one leaves."""

import random
import statistics

import pytest

from mem_alpha import structs
from mem_alpha.agent import parser
from mem_alpha.agent import tools
from mem_alpha.agent import writer
from mem_alpha.data import synthetic

CORE, SEMANTIC, EPISODIC = structs.Kind
INSERT, UPDATE = structs.Action.INSERT, structs.Action.UPDATE
COUNT = 3000


def fact(i, value='old', kind=SEMANTIC):
  return structs.Note(f'The pet of S{i} is {value}.', (f'S{i}', 'pet'), kind)


def entry(note, uid):
  return structs.Entry(note.kind, uid, note.sentence, 0, 0, uid)


def insert(note):
  return structs.Call(INSERT, note.kind, structs.NO_ID, note.sentence)


def write(notes, *, visible=(), core='', habits=writer.PERFECT, earlier=()):
  slots = {n.sentence: n.slot for n in (*earlier, *notes) if n.slot}
  calls = writer.write(
    notes,
    core=core,
    visible=visible,
    slots=slots,
    habits=habits,
    rng=random.Random(0),
  )
  assert len(calls) == len(notes)
  return [call for call in calls if call]


class Book:
  """A memory as a dict, without limits."""

  def __init__(self):
    self.core, self.entries, self.refused = '', {}, 0

  def apply(self, calls, chunk):
    for call in calls:
      texts = {e.text for e in self.entries.values() if e.kind == call.kind}
      uid = len(self.entries) if call.action == INSERT else call.uid
      if call.kind == CORE:
        assert call.action == UPDATE and call.uid == structs.NO_ID
        self.core = call.content
      elif call.content in texts:
        self.refused += 1  # the memory stores no text twice
      else:
        assert call.action == INSERT or self.entries[uid].kind == call.kind
        self.entries[uid] = structs.Entry(
          call.kind, uid, call.content, chunk, chunk, uid
        )


def play(instance, habits, *, show=None, seed=0):
  """The memory after an episode; the `show` newest entries are visible."""
  book, slots, made = Book(), {}, []
  for chunk, notes in enumerate(instance.notes):
    slots.update({n.sentence: n.slot for n in notes if n.slot})
    newest = sorted(book.entries.values(), key=lambda e: e.updated)
    calls = writer.write(
      notes,
      core=book.core,
      visible=newest if show is None else newest[-show:],
      slots=slots,
      habits=habits,
      rng=random.Random(f'{seed}/{chunk}'),
    )
    assert len(calls) == len(notes)
    made.append([call for call in calls if call])
    book.apply(made[-1], chunk)
  return book, made


# Perfect.


@pytest.mark.parametrize('split', synthetic.SPLITS)
def test_a_perfect_memory_is_all_facts_current_and_nothing_else(split):
  for instance in synthetic.Dataset(synthetic.Spec(), split, 0, 20):
    book, _ = play(instance, writer.PERFECT)
    notes = {n.slot: n for row in instance.notes for n in row if n.slot}
    facts = [n for n in notes.values() if n.kind != CORE]
    stored = [(e.kind, e.text) for e in book.entries.values()]
    assert sorted(stored) == sorted((n.kind, n.sentence) for n in facts)
    topics = [n.slot[-1] for n in notes.values() if n.kind == CORE]
    assert book.core == 'It is' + ''.join(f' about {t}' for t in topics)


def test_an_entry_that_is_not_visible_is_not_updated():
  old, new = fact(1), fact(1, 'new')
  visible = [entry(old, 7)]
  update = structs.Call(UPDATE, SEMANTIC, 7, new.sentence)
  assert write([new], visible=visible, earlier=[old]) == [update]
  assert write([new], earlier=[old]) == [insert(new)]


def test_entries_of_unknown_text_are_left_alone():
  visible = [structs.Entry(SEMANTIC, 3, 'The pet of S1 is a guess.', 0, 0, 0)]
  assert write([fact(1)], visible=visible) == [insert(fact(1))]


def test_an_update_stays_in_the_memory_of_its_entry():
  old, new = fact(1, kind=EPISODIC), fact(1, 'new')
  (call,) = write([new], visible=[entry(old, 7)], earlier=[old])
  assert (call.action, call.kind, call.uid) == (UPDATE, EPISODIC, 7)


def test_a_fact_that_changes_within_its_chunk_is_stored_once():
  notes = [fact(1), fact(2), fact(1, 'new')]
  assert write(notes) == [insert(fact(2)), insert(fact(1, 'new'))]
  # A careless writer stores both, in their order.
  careless = writer.Habits(insert_for_update=1.0)
  assert write(notes, habits=careless) == [insert(note) for note in notes]


def test_a_careless_writer_inserts_what_it_should_update():
  careless = writer.Habits(insert_for_update=1.0)
  visible, new = [entry(fact(1), 7)], fact(1, 'new')
  calls = write([new], visible=visible, earlier=[fact(1)], habits=careless)
  assert calls == [insert(new)]


def test_core_appends_topics():
  topics = [
    structs.Note(f'We talk about {t}.', ('topic', t), CORE) for t in 'AB'
  ]
  first, second = write(topics, core='Z')
  assert first == structs.Call(UPDATE, CORE, structs.NO_ID, 'Z about A')
  assert second == structs.Call(
    UPDATE, CORE, structs.NO_ID, 'Z about A about B'
  )
  assert write(topics[:1])[0].content == 'It is about A'


def test_small_talk_alone_is_nothing_to_store():
  assert write([structs.Note('It is so long today.')]) == []
  assert write([]) == []


# Imperfect.


def share(calls, action):
  return sum(call.action == action for call in calls) / COUNT


def test_facts_are_left_out_as_often_as_told():
  calls = write([fact(i) for i in range(COUNT)], habits=writer.IMPERFECT)
  assert share(calls, INSERT) == pytest.approx(0.6, abs=0.03)
  assert len(calls) == share(calls, INSERT) * COUNT


def test_small_talk_is_stored_as_often_as_told():
  notes = [structs.Note(f'Chatter {i}.') for i in range(COUNT)]
  calls = write(notes, habits=writer.IMPERFECT)
  assert share(calls, INSERT) == pytest.approx(0.5, abs=0.03)


def test_changes_are_inserted_as_often_as_told():
  old = [fact(i) for i in range(COUNT)]
  new = [fact(i, 'new') for i in range(COUNT)]
  visible = [entry(note, uid) for uid, note in enumerate(old)]
  calls = write(new, visible=visible, earlier=old, habits=writer.IMPERFECT)
  # It leaves out .4, whatever it would have done with them.
  assert share(calls, UPDATE) == pytest.approx(0.3, abs=0.03)
  assert share(calls, INSERT) == pytest.approx(0.3, abs=0.03)


def test_habits_are_independent_of_the_neighbours():
  notes = []
  for i in range(COUNT):
    notes += [fact(i), structs.Note(f'Chatter {i}.')]
  calls = {c.content for c in write(notes, habits=writer.IMPERFECT)}
  kept = [note.sentence in calls for note in notes]
  both = [a and b for a, b in zip(kept[::2], kept[1::2])]
  then = [a and b for a, b in zip(kept[::2], kept[2::2])]
  assert statistics.mean(both) == pytest.approx(0.6 * 0.5, abs=0.03)
  assert statistics.mean(then) == pytest.approx(0.6 * 0.6, abs=0.03)


def test_an_imperfect_writer_is_never_malformed_nor_guesses():
  for i in range(20):
    instance = synthetic.instance(synthetic.Spec(), 'train', 0, i)
    book, made = play(instance, writer.IMPERFECT, show=6)
    assert book.refused <= 1  # of two equal examples
    for notes, calls in zip(instance.notes, made, strict=True):
      text = '\n'.join(map(tools.render_call, calls))
      parsed = parser.parse(
        text, finished=True, max_calls=99, enabled=(True, True, True)
      )
      assert parsed == calls
      sentences = {note.sentence for note in notes}
      for call in calls:
        assert call.kind == CORE or call.content in sentences


def test_the_imperfect_memory_is_larger_than_the_perfect_but_not_by_half():
  sizes = {writer.PERFECT: [], writer.IMPERFECT: []}
  for instance in synthetic.Dataset(synthetic.Spec(), 'test', 0, 60):
    for habits, found in sizes.items():
      book, _ = play(instance, habits, show=6)
      texts = [book.core, *(e.text for e in book.entries.values())]
      found.append(sum(len(text.split()) for text in texts))
  ratio = sum(sizes[writer.IMPERFECT]) / sum(sizes[writer.PERFECT])
  assert 1 < ratio <= 1.5


def test_the_same_random_numbers_give_the_same_calls():
  instance = synthetic.instance(synthetic.Spec(), 'train', 0, 0)
  made = [play(instance, writer.IMPERFECT, seed=s)[1] for s in (0, 0, 1)]
  assert made[0] == made[1] != made[2]


# Text without notes.


def test_sentences_are_sampled_as_often_as_told():
  chunk = ' '.join(f'Sentence {i} is here!' for i in range(COUNT))
  rng = random.Random(0)
  calls = writer.sample_sentences(chunk, probability=0.4, rng=rng)
  assert share(calls, INSERT) == pytest.approx(0.4, abs=0.03)
  assert {call.kind for call in calls} == {SEMANTIC}


def test_sentences_are_stored_word_for_word():
  chunk = 'One is here. Is two there?\nThree!  '
  rng = random.Random(0)
  calls = writer.sample_sentences(chunk, probability=1.0, rng=rng)
  expected = ['One is here.', 'Is two there?', 'Three!']
  assert [call.content for call in calls] == expected
  assert writer.sample_sentences(chunk, probability=0.0, rng=rng) == []
  assert writer.sample_sentences(' \n', probability=1.0, rng=rng) == []
