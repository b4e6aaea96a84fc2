"""BANKING77: intents of bank customers, 77 labels.

Read from `$root/banking77/train.csv` and `test.csv` (columns text, category);
`categories.json` is the list of labels.
"""

import csv
import io

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels

NAME = 'banking77'
COLUMNS = {'text', 'category'}


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(_task(recipe), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(_task(recipe), recipe)


def _task(recipe) -> labels.Task:
  names = files.read_json(
    recipe.read(NAME, 'categories.json'), what='BANKING77 categories'
  )
  if not isinstance(names, list) or not all(
    isinstance(name, str) for name in names
  ):
    raise ValueError(
      f'BANKING77 categories at {recipe.read(NAME, "categories.json")} are not '
      'a list of names: download the file again.'
    )
  return labels.Task(
    NAME,
    tuple(names),
    _read(recipe, 'train.csv', set(names)),
    _read(recipe, 'test.csv', set(names)),
    task='icl_banking77',
  )


def _read(recipe, name: str, known: set[str]) -> list[labels.Example]:
  path = recipe.read(NAME, name)
  text = files.read_text(path, what='BANKING77', lines=True)
  rows = csv.DictReader(io.StringIO(text), strict=True)
  missing = COLUMNS.difference(rows.fieldnames or ())
  if missing:
    raise ValueError(
      f'BANKING77 at {path} has no column {", ".join(sorted(missing))}: '
      'download it again.'
    )
  found = []
  try:
    for row in rows:
      place = f'{NAME}/{name}: line {rows.line_num}'
      if row['category'] not in known:
        recipe.log.leave_out(NAME, place, 'label outside the map')
      elif not (row['text'] or '').strip():
        recipe.log.leave_out(NAME, place, 'empty text')
      else:
        sentence = ' '.join(row['text'].split())
        found.append(labels.Example(place, sentence, row['category']))
  except csv.Error as error:
    raise ValueError(
      f'BANKING77 at {path}: line {rows.line_num} is cut off ({error}): '
      'download it again.'
    ) from error
  return found
