"""The words of generated conversations, divided among the splits.

Splits share no name and no value: names are pairs of syllables, divided by a
residue. They share no combination of sentence frame and relation, while every
word of a validation or test frame occurs in training.
"""

import itertools
import math

# Half as many starts as ends: byte-pair merges then meet at the syllables.
STARTS = [c + v for c in 'BDKLMRTV' for v in 'aeio']
_ENDS = [c + e for c in 'bcdfghjkmpvxz' for e in ('an', 'ek', 'in', 'or')]
RELATIONS = (
  'town',
  'boss',
  'friend',
  'employer',
  'pet',
  'school',
  'song',
  'landlord',
  'street',
  'doctor',
)
# Relations, events and themes beyond the shared ones are met in training alone,
# in every frame: that a slot can hold any word is learnt from variety.
SHARED = {'relations': len(RELATIONS), 'events': 4, 'themes': 4}
RELATIONS += tuple(
  'uncle aunt cousin teacher neighbour partner rival mentor guide manager'
  ' garden car boat hobby sport book film painter tailor baker lawyer dentist'
  ' tenant client agent coach captain driver singer hero brand village river'
  ' bridge flower colour fruit dance game tool'.split()
)
PERSONAL = ('boss', 'friend', 'landlord', 'doctor')
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

# Values come before what they are about: sentences about one thing then differ
# early, so that the few words before any word tell them apart.
_FRAMES = {
  'fact': (
    'I know that {v} is the {r} of {s}.',
    'We have {v} as the {r} of {s}.',
    'It is {v} who is the {r} of {s}.',
    'So {v} is the {r} of {s}.',
    'Note that {v} is the {r} of {s}.',
  ),
  'change': (
    'Now {v} is the {r} of {s}.',
    'From today on {v} is the {r} of {s}.',
    'We now have {v} as the {r} of {s}.',
    'It is now {v} who is the {r} of {s}.',
  ),
  'event': (
    'It was {v} who was the {r} of {s} on {d}.',
    'We had {v} as the {r} of {s} on {d}.',
    'I know that {v} was the {r} of {s} on {d}.',
  ),
  'example': (
    'Give label {v} to request {x}.',
    'We use label {v} for request {x}.',
    'I know that label {v} fits request {x}.',
  ),
  'topic': (
    'We talk about {v} {t}.',
    'Our topic is {v} {t}.',
    'The talk is about {v} {t}.',
  ),
  'rumour': (
    'Maybe {v} is the {r} of {s}.',
    'I guess that {v} is the {r} of {s}.',
    'It could be {v} who is the {r} of {s}.',
    'I doubt that {v} is the {r} of {s}.',
    'Never take {v} as the {r} of {s}.',
  ),
  'mention': (
    'I forgot the {r} of {s}.',
    'Ask {s} about the {r} {t}.',
    'Nobody knows the {r} of {s}.',
  ),
  'wrong_example': (
    'Maybe label {v} fits request {x}.',
    'Never give label {v} to request {x}.',
    'I doubt that label {v} fits request {x}.',
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


def pairs(split: str) -> list[tuple[str, str]]:
  wanted = {'train': range(6), 'validation': (6, 7), 'test': (8, 9)}[split]
  grid = itertools.product(enumerate(STARTS), enumerate(_ENDS))
  return [(a, b) for (i, a), (j, b) in grid if (7 * i + 3 * j) % 10 in wanted]


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
