"""The words of generated conversations, divided among the splits.

Splits share no name and no value: names are pairs of syllables, divided by a
residue. They share no combination of sentence frame and relation, while every
word of a validation or test frame occurs in training.
"""

import functools
import itertools
import math

# Letters chosen so that byte-pair merges meet where the syllables do.
STARTS = [c + v for c in 'BDKLTV' for v in ('ar', 'er', 'ir', 'ur')]
_ENDS = [
  c + e for c in 'bcdfghjkmpvxz' for e in ('an', 'ek', 'in', 'or', 'ul', 'ax')
]
RELATIONS = tuple(
  'town boss friend employer pet school song landlord street doctor'
  ' uncle aunt cousin teacher neighbour partner rival mentor guide'
  ' manager'.split()
)
# Relations, events and themes beyond the shared ones are met in training alone,
# in every frame: that a slot can hold any word is learnt from variety.
SHARED = {'relations': len(RELATIONS), 'events': 4, 'themes': 4}
RELATIONS += tuple(
  'garden car boat hobby sport book film painter tailor baker lawyer dentist'
  ' tenant client agent coach captain driver singer hero brand village river'
  ' bridge flower colour fruit dance game tool'.split()
)
PERSONAL = frozenset(
  'boss friend landlord doctor uncle aunt cousin teacher neighbour partner'
  ' rival mentor guide manager'.split()
)
EVENTS = ('guest', 'goal', 'speaker', 'sender') + tuple(
  'winner host caller visitor helper judge buyer seller pilot chef'.split()
)
THEMES = (
  ('train', 'hotel', 'flight', 'ticket'),
  ('soup', 'bread', 'salad', 'cake'),
  ('guitar', 'piano', 'drum', 'violin'),
  ('roof', 'door', 'window', 'wall'),
  ('shirt', 'coat', 'shoe', 'scarf'),
  ('horse', 'goat', 'duck', 'sheep'),
  ('pencil', 'paper', 'stamp', 'folder'),
  ('rose', 'tulip', 'fern', 'moss'),
  ('engine', 'wheel', 'brake', 'mirror'),
  ('island', 'harbour', 'beach', 'cliff'),
)
TIMES = ('today', 'tonight', 'now', 'again')
MOODS = ('fine', 'quiet', 'long', 'strange')

# A sentence begins with a word that tells what it is worth, or with its value,
# and ends with what it is about: where it begins, a reader of words one after
# the other can decide whether to keep it and, having kept it, what comes next.
# Frames differ before the relation only: a word after it would be predicted
# from the relation, wrongly wherever their combination was not met in training.
_FRAMES = {
  'fact': (
    '{v} is the {r} of {s}.',
    '{v} has been the {r} of {s}.',
    '{v} will be the {r} of {s}.',
    '{v} remains the {r} of {s}.',
    '{v} became the {r} of {s}.',
  ),
  'change': (
    'Now {v} is the {r} of {s}.',
    'Now {v} will be the {r} of {s}.',
    'Now {v} became the {r} of {s}.',
    'Now {v} has been the {r} of {s}.',
  ),
  'event': (
    'On {d} {v} was the {r} of {s}.',
    'On {d} {v} has been the {r} of {s}.',
    'On {d} {v} became the {r} of {s}.',
  ),
  'example': (
    'Label {v} is for request {x}.',
    'Label {v} fits request {x}.',
    'Label {v} has request {x}.',
  ),
  'topic': (
    '{t} it is about {v}.',
    '{t} it is all about {v}.',
    '{t} it is again about {v}.',
  ),
  'rumour': (
    'Maybe {v} is the {r} of {s}.',
    'Perhaps {v} remains the {r} of {s}.',
    'Maybe {v} will be the {r} of {s}.',
    'Never was {v} the {r} of {s}.',
    'Perhaps {v} has been the {r} of {s}.',
  ),
  'mention': (
    'Nobody knows the {r} of {s}.',
    'We forgot the {r} of {s}.',
    'Ask about the {r} of {s}.',
  ),
  'wrong_example': (
    'Maybe label {v} fits request {x}.',
    'Perhaps label {v} is for request {x}.',
    'Never was label {v} for request {x}.',
  ),
  'chatter': (
    'The weather is {m} {t}.',
    'I had a {m} walk {t}.',
    'Our day was {m} {t}.',
    'It is so {m} {t}.',
  ),
}


# What the second half of a frame x relation combination is, per family.
_KIND_OF = {
  'fact': 'relations',
  'change': 'relations',
  'rumour': 'relations',
  'mention': 'relations',
  'event': 'events',
  'example': 'themes',
  'wrong_example': 'themes',
}


def names(split: str) -> list[str]:
  """The two-syllable names and values of a split; the splits are disjoint."""
  return [start + end for start, end in pairs(split)]


@functools.cache
def pairs(split: str) -> tuple[tuple[str, str], ...]:
  wanted = {'train': range(6), 'validation': (6, 7), 'test': (8, 9)}[split]
  grid = itertools.product(enumerate(STARTS), enumerate(_ENDS))
  return tuple(
    (a, b) for (i, a), (j, b) in grid if (7 * i + 3 * j) % 10 in wanted
  )


def frames(split: str, family: str, relation: int) -> list[str]:
  """The sentence frames that the split may combine with this relation.

  Of n frames one is kept for test and one for validation, another pair for
  each relation, so that every frame is met in training with other relations.
  """
  templates = _FRAMES[family]
  n = len(templates)
  if relation >= SHARED.get(_KIND_OF.get(family), math.inf):
    if split != 'train':
      raise ValueError(f'{family} {relation} is for training alone.')
    return list(templates)
  wanted = {
    'train': range(n - 2),
    'validation': (n - 2,),
    'test': (n - 1,),
  }[split]
  return [t for f, t in enumerate(templates) if (f + relation) % n in wanted]
