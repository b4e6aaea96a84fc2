"""LoCoMo: months of talk between two people, and questions about it.

Read from `$root/locomo/*.json` in the upstream layout. A conversation stays in
one split: the first is for training and the second for validation, as in
Memory-R1 (arXiv 2508.19828), all others for the test. Adversarial questions
(category 5) have no answer and are left out; a photo is told by its caption.
"""

import re

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import conversations

NAME = 'locomo'
SPLITS = {'conv-26': 'train', 'conv-30': 'validation'}
ADVERSARIAL = 5
_TURN = re.compile(r'D:?(\d+):\d+')


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return conversations.build(_wanted(recipe), recipe, source=NAME)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return conversations.whole(NAME, _wanted(recipe))


def _wanted(recipe) -> list[conversations.History]:
  """The conversations of the split."""
  paths = sorted(recipe.read(NAME).glob('*.json'))
  if not paths:
    raise FileNotFoundError(
      f'LoCoMo is not in {recipe.read(NAME)}: download it there, or set '
      'another data root.'
    )
  histories = {}
  for path in paths:
    for number, value in enumerate(files.read_json(path, what='LoCoMo')):
      try:
        history = _history(recipe, value)
      except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
          f'LoCoMo at {path}: item {number} is not in the upstream layout '
          f'({type(error).__name__}: {error}).'
        ) from error
      if history.name in histories:
        place = f'{path.name}: item {number}: {history.name}'
        recipe.log.leave_out(NAME, place, 'duplicate id')
      else:
        histories[history.name] = history
  return [
    history
    for name, history in histories.items()
    if SPLITS.get(name, 'test') == recipe.split
  ]


def _history(recipe, value: dict) -> conversations.History:
  name, talk = value['sample_id'], value['conversation']
  keys = [key for key in talk if re.fullmatch(r'session_\d+', key)]
  keys.sort(key=lambda key: int(key.split('_')[1]))
  sessions, place_of = [], {}
  for key in keys:
    head = (
      f'[Dialogue between {talk["speaker_a"]} and {talk["speaker_b"]} on '
      f'{talk[key + "_date_time"]}]'
    )
    if not talk[key]:
      recipe.log.leave_out(NAME, f'{name}: {key}', 'empty session')
      continue
    place_of[int(key.split('_')[1])] = len(sessions)
    turns = tuple(_turn(turn) for turn in talk[key])
    sessions.append(conversations.Session(head, turns))
  asked = []
  for number, entry in enumerate(value['qa']):
    place = f'{name}: question {number}'
    if entry['category'] == ADVERSARIAL:
      recipe.log.leave_out(NAME, place, 'adversarial, it has no answer')
    elif not str(entry.get('answer', '')).strip():
      recipe.log.leave_out(NAME, place, 'question without answer')
    else:
      asked.append(_asked(recipe, entry, place, place_of))
  return conversations.History(name, tuple(sessions), tuple(asked))


def _turn(turn: dict) -> str:
  photo = turn.get('blip_caption')
  shown = f' [shows {photo}]' if photo else ''
  return f'<{turn["speaker"]}> {turn["text"].strip()}{shown}'


def _asked(recipe, entry, place, place_of) -> conversations.Asked:
  found = [_TURN.findall(evidence) for evidence in entry['evidence']]
  if not all(len(ids) == 1 for ids in found):
    recipe.log.change(NAME, place, 'malformed evidence ids were mended')
  numbers = {int(number) for ids in found for number in ids}
  known = frozenset(place_of[n] for n in numbers if n in place_of)
  question = structs.Question(
    entry['question'].strip(), (str(entry['answer']).strip(),), NAME, 'token_f1'
  )
  return conversations.Asked(question, known or None)
