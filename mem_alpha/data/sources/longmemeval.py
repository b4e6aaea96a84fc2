"""LongMemEval: long histories of chats with an assistant.

Test: `$root/longmemeval/mab_longmemeval_s_star*.json`, one history with many
questions as MemoryAgentBench has it. It does not say which session answers a
question; where it can be told (data/evidence.py) the question may be asked of
a part of the history, else of the whole alone.

Training and validation: the official `longmemeval_*.json`, one history per
question; what they share with the test (a question, an evidence session) is
left out, and other sessions that occur in it are taken out of the history.
With `min_questions` so many histories are joined, sessions by their date, as
the published training set has four questions for each instance. Without the
test file the hash of a question deals the official ones to the splits.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import evidence
from mem_alpha.data import ledger
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import conversations

NAME = 'longmemeval'
TEST, OFFICIAL = 'mab_longmemeval_s_star*.json', 'longmemeval_*.json'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return conversations.build(_wanted(recipe), recipe, source=NAME)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the benchmark asks and shows."""
  return conversations.whole(NAME, _wanted(recipe))


def _wanted(recipe) -> list[conversations.History]:
  """The histories of the split."""
  folder = recipe.read(NAME)
  test = read(recipe, sorted(folder.glob(TEST)))
  official = read(recipe, sorted(folder.glob(OFFICIAL)))
  if not test and not official:
    raise FileNotFoundError(
      f'LongMemEval is not in {folder}: download it there, or set another '
      'data root.'
    )
  if recipe.split == 'test' and test:
    wanted = test
  else:
    wanted = [
      history
      for history in official
      if recipe.holds(history.name, benchmark=False if test else None)
    ]
    if not recipe.published:
      wanted = _without(recipe, wanted, test)
    if recipe.split != 'test':
      wanted = _joined(wanted, recipe.min_questions)
  if not wanted:
    raise recipes.NoInstanceError(
      f'LongMemEval at {folder} has no history of the split {recipe.split!r}: '
      'training needs the official longmemeval_*.json.'
    )
  return wanted


def read(
  recipe: recipes.Recipe, paths: Iterable
) -> list[conversations.History]:
  """The histories of files of either layout, each id once."""
  found = {}
  for path in paths:
    value = files.read_json(path, what='LongMemEval')
    items = value if isinstance(value, list) else [value]
    for number, item in enumerate(items):
      again = ledger.Ledger()  # of an id that is there already
      try:
        name = item.get('question_id') or item['instance_id']
        quiet = dataclasses.replace(recipe, log=again)
        history = _history(quiet if name in found else recipe, item, name)
      except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
          f'LongMemEval at {path}: item {number} is in neither layout '
          f'({type(error).__name__}: {error}).'
        ) from error
      if name in found:
        place = f'{path.name}: item {number}: {name}'
        recipe.log.leave_out(NAME, place, 'duplicate id')
      else:
        found[name] = history
  return list(found.values())


def _history(recipe, item: dict, name: str) -> conversations.History:
  dates, raw = item['haystack_dates'], item['haystack_sessions']
  sessions, place_of = [], {}
  for number, (date, turns) in enumerate(zip(dates, raw, strict=True)):
    lines = tuple(
      line
      for n, turn in enumerate(turns)
      if (line := _line(recipe, f'{name}: session {number}, turn {n}', turn))
    )
    if not lines:
      recipe.log.leave_out(NAME, f'{name}: session {number}', 'empty session')
      continue
    place_of[number] = len(sessions)
    head = f'[Dialogue at timestamp {date.removeprefix("Chat Time: ")}]'
    sessions.append(conversations.Session(head, lines))
  asked, known = [], None
  if not item.get('haystack_session_ids'):
    known = evidence.Sessions(['\n'.join(s.turns) for s in sessions])
  for entry in _entries(item):
    golds = entry['answers'] if 'answers' in entry else [entry['answer']]
    golds = tuple(str(g).strip() for g in golds if str(g).strip())
    if not golds:
      place = f'{name}: {entry["question_id"]}'
      recipe.log.leave_out(NAME, place, 'question without answer')
      continue
    text = entry['question'].strip()
    if known:
      place = known.answering(_bare(text), golds)
      needed = None if place is None else frozenset({place})
    else:
      needed = _evidence(entry, item, place_of)
    if 'question_date' in entry:
      text = f'Current date: {entry["question_date"]}\n{text}'
    question = structs.Question(text, golds, NAME, 'token_f1')
    asked.append(conversations.Asked(question, needed))
  return conversations.History(name, tuple(sessions), tuple(asked))


def _entries(item: dict) -> list[dict]:
  """The questions of an item: its only one, a list, or parallel lists."""
  if 'questions' not in item:
    return [item]
  if all(isinstance(entry, dict) for entry in item['questions']):
    return item['questions']
  columns = zip(
    item['questions'],
    item['answers'],
    item['answer_session_ids'],
    strict=True,
  )
  return [
    {
      'question_id': f'{item["question_id"]}/{number}',
      'question': question,
      'answer': answer,
      'answer_session_ids': ids,
    }
    for number, (question, answer, ids) in enumerate(columns)
  ]


def _line(recipe, place: str, turn: dict) -> str:
  if not turn['content'].strip():
    recipe.log.leave_out(NAME, place, 'empty turn')
    return ''
  return f'<{turn["role"].capitalize()}> {turn["content"].strip()}'


def _evidence(entry, item, place_of) -> frozenset[int] | None:
  ids = item['haystack_session_ids']
  if not entry.get('answer_session_ids'):
    return None
  needed = {
    ids.index(name) for name in entry['answer_session_ids'] if name in ids
  }
  return frozenset(place_of[n] for n in needed if n in place_of) or None


def _without(recipe, histories, test) -> list[conversations.History]:
  """The histories without what the test has too."""
  questions = {_bare(a.question.text) for h in test for a in h.asked}
  sessions = {s.turns for h in test for s in h.sessions}
  clean = []
  for history in histories:
    shared = {i for i, s in enumerate(history.sessions) if s.turns in sessions}
    needed = {i for a in history.asked for i in a.sessions or ()}
    texts = {_bare(a.question.text) for a in history.asked}
    if shared & needed or texts & questions:
      reason = 'shares a question or its evidence with the test'
      recipe.log.leave_out(NAME, history.name, reason)
    elif shared:
      reason = f'{len(shared)} sessions that the test has too were taken out'
      recipe.log.change(NAME, history.name, reason)
      clean.append(_only(history, shared))
    else:
      clean.append(history)
  return clean


def _only(history, out: set[int]) -> conversations.History:
  kept = [i for i in range(len(history.sessions)) if i not in out]
  moved = {old: new for new, old in enumerate(kept)}
  asked = tuple(
    conversations.Asked(
      a.question, a.sessions and frozenset(moved[i] for i in a.sessions)
    )
    for a in history.asked
  )
  sessions = tuple(history.sessions[i] for i in kept)
  return conversations.History(history.name, sessions, asked)


def _joined(
  histories: Sequence[conversations.History], questions: int
) -> list[conversations.History]:
  """Histories with so many questions each, the last perhaps with fewer."""
  joined, group = [], []
  for history in histories:
    group.append(history)
    if sum(len(h.asked) for h in group) >= questions:
      joined.append(_join(group))
      group = []
  return joined + ([_join(group)] if group else [])


def _join(group: Sequence[conversations.History]) -> conversations.History:
  """One history of all; a talk that several have comes once, the first time."""
  if len(group) == 1:
    return group[0]
  sessions = [session for history in group for session in history.sessions]
  first = {}
  for session in sorted(sessions, key=lambda s: s.head):  # by date
    first.setdefault(session.turns, session)
  place_of = {turns: place for place, turns in enumerate(first)}
  asked = tuple(
    conversations.Asked(
      a.question,
      frozenset(
        place_of[history.sessions[i].turns]
        for i in a.sessions or range(len(history.sessions))
      ),
    )
    for history in group
    for a in history.asked
  )
  name = '+'.join(history.name for history in group)
  return conversations.History(name, tuple(first.values()), asked)


def _bare(question: str) -> str:
  """A question without the date in front of it."""
  return re.split(r'(?:Now Answer the Question:|\n)', question)[-1].strip()
