"""What two sets share is found whatever frames it; nothing else is."""

from mem_alpha import structs
from mem_alpha.data import benchmark
from mem_alpha.data import chunking
from mem_alpha.data import ledger
from mem_alpha.data import overlap
from mem_alpha.data import wording

LONG = (
  'The quick brown fox jumps over the lazy dog near an old stone bridge. Then '
  'it runs all the way down to the river to drink some water. '
)
OTHER = (
  'In the year of the flood nobody in town had seen such rain for decades. '
)
STOCK = (
  'If you have any more questions or need some help, feel free to ask me. '
)


def instance(
  *texts, questions=(), answer='a', source='squad', key='k', metric='exact'
):
  render = chunking.dialogue_render(key, wording.READING, wording.REPLIES)
  chunks = tuple(
    render(i, [chunking.Unit(text)]) for i, text in enumerate(texts)
  )
  asked = tuple(
    structs.Question(text, (answer,), source, metric) for text in questions
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
  assert len(content.passages) == 1 and len(content.sentences) == 2


def test_stock_phrases_are_no_passage_and_lone_sentences_neither():
  one = instance(STOCK + OTHER, key='a')
  for two in (STOCK, 'Welcome! ' + STOCK + 'Bye.', 'Well. ' + OTHER):
    assert shared(one, instance(two)) == (0, 0)
    assert shared(instance(two), one) == (0, 0)


def test_a_sentence_that_answers_a_question_of_either_side_counts():
  text = (
    'Well. In that long and cold winter Mira moved to the old city of Oslo. '
  )
  asks = instance(
    text + OTHER, questions=['Where has Mira moved in winter?'], answer='Oslo'
  )
  shows = instance('So it was. ' + text + STOCK)
  assert shared(shows, asks) == shared(asks, shows) == (0, 1)
  other = instance(text, questions=['Who lives there?'], answer='Oslo')
  assert shared(shows, other) == (0, 0)


def test_a_title_before_a_text_is_no_part_of_it():
  text = (
    'Ada Lovelace was an English mathematician and writer known for her work '
    'on an early Engine.'
  )
  forms = [
    f'Ada: Life: {text}',
    f'Document 3:\nAda: Life\n{text}',
    text,
  ]
  for one in forms:
    for two in forms:
      # The long form of a title, itself a text, may be shared as well.
      assert shared(instance(one, key='a'), instance(two))[1] >= 1


def test_the_end_of_a_line_does_not_hide_a_text():
  wrapped = LONG.replace('over the', 'over\nthe').replace(
    'the river', 'the\nriver'
  )
  assert shared(instance(wrapped, key='a'), instance(LONG)) == (0, 1)


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
