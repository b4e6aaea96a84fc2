"""Reading beside the sampling: the same results, begun in time."""

import dataclasses
import threading

import pytest

from mem_alpha import structs
from mem_alpha.readers import base
from mem_alpha.readers import lexical
from mem_alpha.rewards import marks
from mem_alpha.rollout import reading

LEXICAL = lexical.Lexical()


class Elsewhere:
  """The lexical reader, as if it ran on another machine."""

  overlaps = True

  def __init__(self, wait=None):
    self.wait, self.began = wait, threading.Event()

  def __call__(self, memories, queries):
    self.began.set()
    if self.wait:
      assert self.wait.wait(30)
    return LEXICAL(memories, queries)


def instance(name, chunks):
  questions = (
    structs.Question(f'Where lives {name}?', ('Oslo',), 'a', 'exact'),
  )
  return structs.Instance(name, 'made', ('x',) * chunks, questions)


INSTANCES = [instance('Ann', 1), None, instance('Bo', 3), instance('Kim', 1)]


def memories():
  entries = [
    [
      structs.Entry(
        structs.Kind.SEMANTIC, 0, f'{i.instance_id} lives in Oslo.', 0, 0, 0
      )
    ]
    if i
    else []
    for i in INSTANCES
  ]
  return base.Memories(
    [''] * 4, lambda queries: [[e] * len(q) for e, q in zip(entries, queries)]
  )


def read_all(asked, after=lambda: None, instances=INSTANCES):
  """Episodes 0 and 2 end first, then the other, which is row 2's."""
  episodes = [i and (e, i) for i, e in zip(instances, (0, None, 1, 2))]
  if asked.at_once:
    asked.read(memories(), [episodes[0], None, None, episodes[3]])
    asked.read(memories(), [None, None, episodes[2], None])
  else:
    asked.read(memories(), episodes)
  after()
  return asked.results(3)


def test_overlap_changes_no_answer():
  want = read_all(reading.Reading(reading.Panel(LEXICAL)))
  assert [r.scores for r in want] == [[1.0], [1.0], [1.0]]
  assert read_all(reading.Reading(reading.Panel(Elsewhere()))) == want


def test_reading_begins_before_the_results_are_wanted():
  release = threading.Event()
  reader = Elsewhere(release)

  def began():
    assert reader.began.wait(30)  # while the sampler would go on
    release.set()

  read_all(reading.Reading(reading.Panel(reader)), began)


def test_grading_elsewhere_begins_before_the_results_are_wanted():
  graded, release = threading.Event(), threading.Event()

  def judge(triples):
    graded.set()
    assert release.wait(30)
    return [said == 'Oslo' for _, _, said in triples]

  judge.overlaps = True
  judged = [
    i and dataclasses.replace(i, questions=(as_judged(*i.questions),))
    for i in INSTANCES
  ]

  def began():
    assert graded.wait(30)
    release.set()

  panel = reading.Panel(LEXICAL, marks.Marker(judge=judge))
  found = read_all(reading.Reading(panel), began, judged)
  want = read_all(reading.Reading(reading.Panel(LEXICAL)))
  assert found == want  # the rule of the metric and the judge agree here


def as_judged(question):
  return dataclasses.replace(question, metric='judge')


def test_an_error_reaches_the_run():
  def broken(memories, queries):
    raise base.ReaderError('too many failures')

  broken.overlaps = True
  with pytest.raises(base.ReaderError, match='too many'):
    read_all(reading.Reading(reading.Panel(broken)))


class Turn:
  def __init__(self, row, contents):
    self.row, self.chunk, self.verdicts = row, 0, None
    self.calls = [
      structs.Call(structs.Action.INSERT, content=c) for c in contents
    ]
    self.statuses = [structs.Status.OK] * len(contents)


@pytest.mark.parametrize('overlaps', [False, True])
def test_verdicts_come_back_to_their_turns(overlaps):
  batches = []

  def judge(stored):
    batches.append([(call.content, chunk) for call, chunk in stored])
    return [None if call.content == 'c' else True for call, _ in stored]

  judge.overlaps = overlaps
  asked = reading.Reading(reading.Panel(LEXICAL, judge=judge))
  turns = [Turn(0, 'ab'), Turn(2, ''), Turn(3, 'c')]
  asked.judge(turns, INSTANCES)
  asked.judge([Turn(2, '')], INSTANCES)  # nothing to ask
  asked.results(3)
  assert batches == [[('a', 'x'), ('b', 'x'), ('c', 'x')]]
  assert [turn.verdicts for turn in turns] == [[True, True], [], [None]]
