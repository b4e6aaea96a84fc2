"""LongMemEval: long histories of chats with an assistant.

Test: `$root/longmemeval/mab_longmemeval_s_star*.json`, one history with many
questions as MemoryAgentBench has it. Training and validation: the official
`longmemeval_*.json`, one history per question; what they share with the test
(a question, an evidence session) is left out, and other sessions that occur in
it are taken out of the history. Without the test file the hash of a question
deals the official ones to the splits.
"""

import re

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import conversations

NAME = 'longmemeval'
TEST, OFFICIAL = 'mab_longmemeval_s_star*.json', 'longmemeval_*.json'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  folder = recipe.read(NAME)
  test = [h for p in sorted(folder.glob(TEST)) for h in read(recipe, p)]
  official = [h for p in sorted(folder.glob(OFFICIAL)) for h in read(recipe, p)]
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
  if not wanted:
    raise recipes.NoInstanceError(
      f'LongMemEval at {folder} has no history of the split {recipe.split!r}: '
      'training needs the official longmemeval_*.json.'
    )
  return conversations.build(wanted, recipe, source=NAME)


def read(recipe: recipes.Recipe, path) -> list[conversations.History]:
  """The histories of a file of either layout."""
  value, found, seen = files.read_json(path, what='LongMemEval'), [], set()
  items = value if isinstance(value, list) else [value]
  for number, item in enumerate(items):
    try:
      history = _history(recipe, item)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f'LongMemEval at {path}: item {number} is in neither layout '
        f'({type(error).__name__}: {error}).'
      ) from error
    if history.name in seen:
      recipe.log.leave_out(NAME, history.name, 'duplicate id')
    else:
      found.append(history)
    seen.add(history.name)
  return found


def _history(recipe, item: dict) -> conversations.History:
  name = item.get('question_id') or item['instance_id']
  dates, raw = item['haystack_dates'], item['haystack_sessions']
  sessions, place_of = [], {}
  for number, (date, turns) in enumerate(zip(dates, raw, strict=True)):
    lines = [_line(recipe, f'{name}: session {number}', t) for t in turns]
    lines = tuple(filter(None, lines))
    if not lines:
      recipe.log.leave_out(NAME, f'{name}: session {number}', 'empty session')
      continue
    place_of[number] = len(sessions)
    head = f'[Dialogue at timestamp {date.removeprefix("Chat Time: ")}]'
    sessions.append(conversations.Session(head, lines))
  asked = []
  for entry in _entries(item):
    golds = entry['answers'] if 'answers' in entry else [entry['answer']]
    golds = tuple(str(g).strip() for g in golds if str(g).strip())
    if not golds:
      place = f'{name}: {entry["question_id"]}'
      recipe.log.leave_out(NAME, place, 'question without answer')
      continue
    text = entry['question'].strip()
    if 'question_date' in entry:
      text = f'Current date: {entry["question_date"]}\n{text}'
    question = structs.Question(text, golds, NAME, 'token_f1')
    asked.append(
      conversations.Asked(question, _evidence(entry, item, place_of))
    )
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
  ids = item.get('haystack_session_ids')
  if not ids or not entry.get('answer_session_ids'):
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


def _bare(question: str) -> str:
  """A question without the date in front of it."""
  return re.split(r'(?:Now Answer the Question:|\n)', question)[-1].strip()
