"""The reader that asks a model, with models that are functions."""

import pytest

from mem_alpha import structs
from mem_alpha.readers import asking
from mem_alpha.readers import base
from mem_alpha.readers import endpoint
from mem_alpha.readers import failures
from mem_alpha.readers import prompt
from mem_alpha.readers import protocol

SEMANTIC = structs.Kind.SEMANTIC
CORE = (structs.Kind.CORE, structs.NO_ID)


def entry(uid, text):
  return structs.Entry(SEMANTIC, uid, text, 0, 0, uid)


STORE = [entry(0, 'Ann lives in Oslo.'), entry(1, 'Bo lives near Ann.')]


def memories(stores, cores=None):
  """A search for words that the entries hold; it notes what was asked."""
  asked = []

  def search(queries):
    asked.append(queries)
    return [
      [
        [e for e in store if set(q.split()) & set(e.text.strip('.').split())]
        for q in row
      ]
      for store, row in zip(stores, queries)
    ]

  return base.Memories(cores or [''] * len(stores), search), asked


def layout(**changes):
  return prompt.Layout(lambda s: len(s.split()), 300, **changes)


def reader(say, **kwargs):
  model = lambda prompts: [say(p) for p in prompts]  # noqa: E731
  ledger = kwargs.pop('ledger', None) or failures.Ledger(1)
  return asking.Asking(model, layout(), ledger, **kwargs)


def test_answers_and_where_they_came_from():
  said = {
    'Where lives Ann': 'In OSLO',
    'Who lives near': 'Bo',
    'What of Ann': 'Oslo',
    'Which Ann': 'unknown.',
    'Why Bo': 'Because',
    'Topic Ann': 'pets',
    'How Ann': ' \n',
  }
  ask = reader(lambda p: base.Completion(said[p.user]))
  store, _ = memories([STORE, [], STORE], ['', '', 'About pets.'])
  questions = list(said)
  found = ask(store, [questions[:4], [], questions[4:]])
  A = structs.Answer
  assert found == [
    [
      A('In OSLO', ((SEMANTIC, 0),)),
      A('Bo', ((SEMANTIC, 1),)),
      A('Oslo', ((SEMANTIC, 0),)),
      A(''),
    ],
    [],
    [A('Because', ((SEMANTIC, 1), CORE)), A('pets', (CORE,)), A('')],
  ]


def test_a_failure_is_said_and_not_scored():
  ask = reader(lambda p: base.Completion(failed='HTTP 500'))
  store, _ = memories([STORE])
  assert ask(store, [['Ann']]) == [[structs.Answer('', failed='HTTP 500')]]


def test_an_agent_searches_again_and_must_answer_in_the_end():
  prompts = []

  def say(p):
    prompts.append(p)
    if p.user == 'Bo' and 'Oslo' not in p.system:
      return base.Completion('SEARCH: Oslo town')
    return base.Completion('Oslo' if 'Oslo' in p.system else 'SEARCH: Oslo')

  store, asked = memories([[STORE[1]], STORE])
  found = reader(say, rounds=2)(store, [['near'], ['Bo']])
  # The first memory holds no Oslo: after two searches it is asked for good.
  assert [row[0].text for row in found] == ['SEARCH: Oslo', 'Oslo']
  assert asked == [
    [['near'], ['Bo']],
    [['Oslo'], ['Oslo town']],
    [['Oslo'], []],
  ]
  assert [p.user for p in prompts] == ['near', 'Bo', 'near', 'Bo', 'near']
  assert ['SEARCH: "' in p.system for p in prompts] == [True] * 4 + [False]
  assert found[1][0].sources == ((SEMANTIC, 0),)
  assert [row[0].calls for row in found] == [3, 2]


def test_without_rounds_a_search_is_an_answer():
  store, asked = memories([STORE])
  found = reader(lambda p: base.Completion('SEARCH: Oslo'))(store, [['Ann']])
  assert found[0][0].text == 'SEARCH: Oslo' and len(asked) == 1


def test_every_question_counts_once_however_often_it_is_asked():
  ledger = failures.Ledger(1)

  def say(p):
    if p.user == 'Bo' and 'SEARCH: "' in p.system:
      return base.Completion('SEARCH: Oslo')
    failed = p.user in ('Bo', 'near')
    return (
      base.Completion(failed='HTTP 500') if failed else base.Completion('x')
    )

  store, _ = memories([STORE, STORE])
  found = reader(say, rounds=2, ledger=ledger)(store, [['near', 'Ann'], ['Bo']])
  assert [[bool(a.failed) for a in row] for row in found] == [[1, 0], [1]]
  assert (ledger.failed, ledger.total) == (2, 3)


def test_too_many_failures_stop_any_reader():
  store, _ = memories([STORE])
  ask = reader(
    lambda p: base.Completion(failed='no end'), ledger=failures.Ledger(0.1)
  )
  with pytest.raises(base.ReaderError, match='6 failed.*because: no end'):
    ask(store, [[f'Ann {i}' for i in range(500)]])


def test_a_repeat_counts_as_the_run_did(server, connect):
  """6 % fail: with the others cached they still are 6 % of what is asked."""
  good, bad = server.say('Oslo'), server.status(400)

  def by_question(handler):
    question = server.requests[-1][2]['messages'][1]['content']
    (bad if int(question) % 16 == 9 else good)(handler)

  server.behaviours = [by_question]
  store, _ = memories([STORE])
  counts = []
  for _ in range(2):
    client = connect(failure_limit=0.1, concurrency=1)
    model = endpoint.Endpoint(client, protocol.Spec('m', 9))
    ask = asking.Asking(model, layout(), client.ledger)
    (answers,) = ask(store, [[str(i) for i in range(320)]])
    counts.append((client.ledger.failed, client.ledger.total))
    assert sum(bool(a.failed) for a in answers) == 20
  assert counts == [(20, 320)] * 2 and len(server.requests) == 340
