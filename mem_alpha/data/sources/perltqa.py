"""PerLTQA: the life of invented characters, as events and talks about them.

Read from `$root/perltqa/`: `perltmem_en*.json` (memories) and
`perltqa_en*.json` (questions), in the upstream layout. A character is one
history and stays in one split, an event with its talks is one chunk. Answers
are keywords parted by `;`: the published ones were written by a large model
(`perltqa_en_shortened.json`, taken where present), ours are the upstream
"memory anchors" of three words at most that stand in the event. With
`recipe.ask` a model writes the keywords, and questions that it cannot answer
from their events are left out, as in the published set.
"""

import ast
import dataclasses
from collections.abc import Iterable

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import conversations

NAME = 'perltqa'
SECTIONS = ('social_relationship', 'events', 'dialogues')
SHORTENED = 'perltqa_en_shortened.json'
MAX_WORDS = 3  # of a keyword
_WRITE = (
  'Write the keywords of the answer below, each of {most} words at most and as '
  'it stands in the text, on one line with a semicolon between and nothing '
  'else.\n\nText: {text}\n\nQuestion: {question}\n\nAnswer: {answer}'
)
_READ = (
  'Answer the question by the text, in a few words.\n\nText: {text}\n\n'
  'Question: {question}'
)


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  folder = recipe.read(NAME)
  memories = files.read_json(
    _one_of(folder, ('perltmem_en.json', 'perltmem_en_v2.json')), what='PerLTQA'
  )
  path = _one_of(folder, (SHORTENED, 'perltqa_en.json', 'perltqa_en_v2.json'))
  if not isinstance(memories, dict):
    raise ValueError(f'PerLTQA memories in {folder} are not an object by name.')
  histories, seen = [], set()
  for number, name, sections in _characters(path):
    place = f'{path.name}: block {number}: {name}'
    if name in seen:
      recipe.log.leave_out(NAME, place, 'duplicate id')
    elif name not in memories:
      recipe.log.leave_out(NAME, place, 'character without memories')
    elif recipe.holds(name):
      short = path.name == SHORTENED
      try:
        histories.append(
          _history(recipe, name, memories[name], sections, short)
        )
      except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
          f'PerLTQA at {folder}: {name} is not in the upstream layout '
          f'({type(error).__name__}: {error}).'
        ) from error
    seen.add(name)
  return conversations.build(histories, recipe, source=NAME, merge=False)


def _characters(path):
  """Yields block number, name and questions of each character."""
  blocks = files.read_json(path, what='PerLTQA')
  for number, block in enumerate(blocks if isinstance(blocks, list) else ()):
    if not isinstance(block, dict):
      raise ValueError(
        f'PerLTQA at {path}: block {number} is not an object of a name and its '
        'questions: download the file again.'
      )
    for name, sections in block.items():
      yield number, name, sections
  if not isinstance(blocks, list):
    raise ValueError(f'PerLTQA at {path} is not a list of blocks.')


def _one_of(folder, names: tuple[str, ...]):
  present = [folder / name for name in names if (folder / name).is_file()]
  return present[0] if present else folder / names[-1]


def _history(recipe, name, memory, sections, short) -> conversations.History:
  talks = {}
  for dialogue in memory['dialogues'].values():
    for time, lines in dialogue['contents'].items():
      talks.setdefault(dialogue['events'], []).append(
        (f'[Dialogue at {time}]', *map(str, lines))
      )
  sessions, place_of = [], {}
  for event, value in memory['events'].items():
    content = str(value.get('content') or '').strip()
    if not content:
      recipe.log.leave_out(NAME, f'{name}: event {event}', 'empty event')
      continue
    place_of[event] = len(sessions)
    head = f'[Event on {value.get("Creation Time")}: {value.get("summary")}]'
    lines = [line for talk in talks.get(event, ()) for line in talk]
    sessions.append(conversations.Session(head, (content, *lines)))
  event_of = {key: d['events'] for key, d in memory['dialogues'].items()}
  found = []
  for section in SECTIONS:
    for number, entry in enumerate(_entries(sections.get(section))):
      places = _places(entry, section, place_of, event_of)
      text = ' '.join(
        line
        for p in sorted(places)
        for line in (sessions[p].head, *sessions[p].turns)
      )
      row = _Row(f'{name}: {section} question {number}', entry, text, places)
      if places:
        found.append(row)
      else:
        recipe.log.leave_out(NAME, row.name, 'no event for it')
  asked = _asked(recipe, found, short)
  return conversations.History(name, tuple(sessions), tuple(asked))


@dataclasses.dataclass(frozen=True)
class _Row:
  """A question as it is in the file, and the events that it refers to."""

  name: str
  entry: dict
  text: str  # of the events
  places: set[int]


def _asked(recipe, rows, short: bool) -> list[conversations.Asked]:
  """The questions with their keywords, without those that cannot be asked."""
  if recipe.ask and rows and not short:
    written = recipe.ask(
      [
        _WRITE.format(
          most=MAX_WORDS,
          text=row.text,
          question=row.entry['Question'],
          answer=row.entry['Answer'],
        )
        for row in rows
      ]
    )
    golds = [
      _good(line.split(';'), row.text)
      for line, row in zip(written, rows, strict=True)
    ]
  else:
    golds = [_keywords(row.entry, row.text, short) for row in rows]
  answers = [''.join(gold) for gold in golds]
  if recipe.ask and rows:
    answers = recipe.ask(
      [
        _READ.format(text=row.text, question=row.entry['Question'])
        for row in rows
      ]
    )
  asked = []
  for row, gold, answer in zip(rows, golds, answers, strict=True):
    keys = [k.strip().lower() for g in gold for k in g.split(';') if k.strip()]
    if not keys:
      recipe.log.leave_out(NAME, row.name, 'no keyword in its event')
    elif not any(key in answer.lower() for key in keys):
      recipe.leave_out(NAME, row.name, 'the model cannot answer it')
    else:
      question = structs.Question(row.entry['Question'], gold, NAME, 'phrases')
      asked.append(conversations.Asked(question, frozenset(row.places)))
  return asked


def _entries(section):
  """The questions of a section: a list of {memory id: [question]}."""
  for group in section or ():
    for entries in group.values():
      yield from entries


def _places(entry, section, place_of, event_of) -> set[int]:
  """Where the memories stand that a question refers to."""
  raw = str(entry['Reference Memory'])
  names = ast.literal_eval(raw) if raw.startswith('[') else [raw]
  if section == 'dialogues':
    names = [event_of.get(name, name) for name in names]
  if section == 'social_relationship':  # 4_0 is told by events 4_0_0, 4_0_1
    return {
      place
      for event, place in place_of.items()
      if any(event.startswith(f'{name}_') for name in names)
    }
  return {place_of[name] for name in names if name in place_of}


def _keywords(entry, text: str, short: bool) -> tuple[str, ...]:
  """One gold answer, keywords parted by `;`, or none."""
  if short:
    return (entry['Answer'],) if str(entry['Answer']).strip() else ()
  return _good((key for a in entry['Memory Anchors'] for key in a), text)


def _good(keys: Iterable[str], text: str) -> tuple[str, ...]:
  """Keywords that are short and stand in the text, as one answer."""
  good = [
    key
    for key in dict.fromkeys(key.strip() for key in keys)
    if key and len(key.split()) <= MAX_WORDS and key.lower() in text.lower()
  ]
  return (';'.join(good),) if good else ()
