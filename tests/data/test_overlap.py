"""What two sets share is found whatever frames it; nothing else is."""

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import chunking
from mem_alpha.data import ledger
from mem_alpha.data import overlap
from mem_alpha.data import wording

LONG = 'The quick brown fox jumps over the lazy dog near an old stone bridge. '
OTHER = (
  'In the year of the flood nobody in town had seen such rain for decades. '
)


def instance(*texts, questions=(), source='squad', key='k', metric='exact'):
  render = chunking.dialogue_render(key, wording.READING, wording.REPLIES)
  chunks = tuple(
    render(i, [chunking.Unit(text)]) for i, text in enumerate(texts)
  )
  asked = tuple(
    structs.Question(text, ('a',), source, metric) for text in questions
  )
  return structs.Instance('id', source, chunks, asked)


def shared(first, second):
  both = overlap.of([first]).shared(overlap.of([second]))
  return len(both.questions), len(both.passages)


def test_frames_and_short_sentences_do_not_count():
  one = instance(LONG + 'He said yes.', key='a')
  two = instance(OTHER + 'He said yes.', key='a')
  assert shared(one, two) == (0, 0)
  content = overlap.of([one])
  assert len(content.passages) == 1


def test_a_sentence_is_found_in_any_frame_case_and_place():
  one = instance(LONG, OTHER, key='a')
  two = instance('Well. ' + LONG.upper().replace('.', '!') + 'So it was.')
  assert shared(one, two) == (0, 1)
  talk = structs.Instance('x', 'locomo', (f'[Ann]\n<Ann> {LONG}',), ())
  assert shared(one, talk) == (0, 1)
  caption = '[shows a photo of a beach with footprints in the sand and a sky]'
  talk = structs.Instance('x', 'locomo', (f'<Ann> See! {caption}',), ())
  assert shared(talk, talk) == (0, 0)


def test_questions_are_compared_without_dates_and_frames():
  one = instance(questions=['Current date: 2023\nWho came?'])
  two = instance(
    questions=['Current Date: x,\n\n Now Answer the Question: who came?']
  )
  assert shared(one, two) == (1, 0)


def test_keywords_tell_questions_with_the_same_words_apart():
  one = instance(questions=['Summarise.'], metric='keywords')
  two = structs.Instance(
    'x',
    'booksum',
    (),
    (structs.Question('Summarise.', ('b',), 'booksum', 'keywords'),),
  )
  assert shared(one, two) == (0, 0)
  assert shared(one, one) == (1, 0)


def test_labelled_sentences_count_within_their_task():
  asks = 'Sentence: Play  music\n\nWhich label does this sentence have?'
  coarse = instance(questions=[asks], source='trec_coarse')
  fine = instance('Sentence: play music\nLabel: 3', source='trec_fine')
  other = instance('Sentence: play music\nLabel: 3', source='nlu')
  assert shared(coarse, fine) == (1, 0)
  assert shared(fine, coarse) == (0, 1)
  assert shared(coarse, other) == (0, 0)


def test_listed_questions_count_by_their_task():
  rows = [
    benchmark.Listed('icl_trec_fine_9shot', 'a', 'Play music', ('1',)),
    benchmark.Listed('ruler_qa1_9K', 'b', 'Who came?', ('x',)),
  ]
  listed = overlap.of_listed(rows)
  shows = instance('Sentence: play music\nLabel: 3', source='trec_coarse')
  asks = instance(questions=['WHO came'])
  assert len(overlap.of([shows]).shared(listed).passages) == 1
  assert len(overlap.of([asks]).shared(listed).questions) == 1


def test_what_shares_something_is_taken_out_and_written_down():
  log = ledger.Ledger()
  dirty, clean = instance(LONG), instance(OTHER)
  kept = overlap.without(
    [dirty, clean], overlap.of([instance(LONG, key='z')]), log, split='train'
  )
  assert kept == [clean]
  (entry,) = log.entries
  assert 'shares 0 questions and 1 passages' in entry.reason


def test_the_report_has_every_pair():
  contents = {
    'train': overlap.of([instance(LONG)]),
    'test': overlap.of([instance(LONG, OTHER)]),
    'other': overlap.NOTHING,
  }
  report = overlap.report(contents)
  assert list(report) == ['train / test', 'train / other', 'test / other']
  assert report['train / test']['passages'] == 1
  assert report['train / test']['examples'][0].startswith('the quick brown')
  assert report['train / other'] == {
    'questions': 0,
    'passages': 0,
    'examples': [],
  }
