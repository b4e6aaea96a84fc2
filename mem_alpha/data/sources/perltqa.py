"""PerLTQA: the life of invented characters, as events and talks about them.

Read from `$root/perltqa/`: `perltmem_en*.json` (memories) and
`perltqa_en*.json` (questions), in the upstream layout. A character is one
history and stays in one split, an event with its talks is one chunk. Answers
are keywords parted by `;`: the published ones were written by a large model
(`perltqa_en_shortened.json`, taken where present), ours are the upstream
"memory anchors" of three words at most that stand in the event.
"""

import ast

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import conversations

NAME = 'perltqa'
SECTIONS = ('social_relationship', 'events', 'dialogues')
SHORTENED = 'perltqa_en_shortened.json'
MAX_WORDS = 3  # of a keyword


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  folder = recipe.read(NAME)
  memories = files.read_json(
    _one_of(folder, ('perltmem_en.json', 'perltmem_en_v2.json')), what='PerLTQA'
  )
  path = _one_of(folder, (SHORTENED, 'perltqa_en.json', 'perltqa_en_v2.json'))
  histories = []
  for block in files.read_json(path, what='PerLTQA'):
    for name, sections in block.items():
      if name not in memories:
        recipe.log.leave_out(NAME, name, 'character without memories')
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
  return conversations.build(histories, recipe, source=NAME, merge=False)


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
  asked = []
  for section in SECTIONS:
    for number, entry in enumerate(_entries(sections.get(section))):
      places = _places(entry, section, place_of, event_of)
      text = ' '.join(
        line for p in places for line in (sessions[p].head, *sessions[p].turns)
      )
      golds = _keywords(entry, text, short)
      if golds and places:
        question = structs.Question(entry['Question'], golds, NAME, 'phrases')
        asked.append(conversations.Asked(question, frozenset(places)))
      else:
        reason = 'no keyword in its event' if places else 'no event for it'
        place = f'{name}: {section} question {number}'
        recipe.log.leave_out(NAME, place, reason)
  return conversations.History(name, tuple(sessions), tuple(asked))


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
  anchors = [key.strip() for a in entry['Memory Anchors'] for key in a]
  good = [
    key
    for key in dict.fromkeys(anchors)
    if key and len(key.split()) <= MAX_WORDS and key.lower() in text.lower()
  ]
  return (';'.join(good),) if good else ()
