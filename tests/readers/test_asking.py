"""The reader that asks a model, with models that are functions."""

from mem_alpha import structs
from mem_alpha.readers import asking
from mem_alpha.readers import base
from mem_alpha.readers import prompt

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
  return asking.Asking(model, layout(), **kwargs)


def test_answers_and_where_they_came_from():
  said = {
    'Where lives Ann': 'In OSLO',
    'Who lives near': 'Bo',
    'What of Ann': 'Oslo',
    'Which Ann': 'unknown.',
    'Why Bo': 'Because',
    'Topic Ann': 'pets',
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
    [A('Because', ((SEMANTIC, 1), CORE)), A('pets', (CORE,))],
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


def test_without_rounds_a_search_is_an_answer():
  store, asked = memories([STORE])
  found = reader(lambda p: base.Completion('SEARCH: Oslo'))(store, [['Ann']])
  assert found[0][0].text == 'SEARCH: Oslo' and len(asked) == 1
