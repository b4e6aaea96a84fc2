"""CLINC150: intents of assistant users, 150 labels and `oos` for none of them.

Read from `$root/clinc150/data_full.json`, lists of [text, label] by split;
`domains.json` names the labels. The parts `val` and `oos_val` are asked by
MemoryAgentBench; here they and the test parts are the questions.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels

NAME = 'clinc150'
TRAIN = ('train', 'oos_train')
TEST = ('val', 'oos_val', 'test', 'oos_test')


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(_task(recipe), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(_task(recipe), recipe)


def _task(recipe) -> labels.Task:
  path = recipe.read(NAME, 'data_full.json')
  parts = files.read_json(path, what='CLINC150')
  domains = files.read_json(
    recipe.read(NAME, 'domains.json'), what='CLINC150 domains'
  )
  try:
    names = sorted({label for group in domains.values() for label in group})
    names.append('oos')
    train, test = (
      [
        (f'{NAME}/data_full.json: {part} {number}', text, label)
        for part in group
        for number, (text, label) in enumerate(parts[part])
        if _texts(text, label)
      ]
      for group in (TRAIN, TEST)
    )
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise ValueError(
      f'CLINC150 at {path.parent} is not in the official layout '
      f'({type(error).__name__}: {error}): download it again.'
    ) from error
  return labels.Task(
    NAME,
    tuple(names),
    _known(recipe, train, set(names)),
    _known(recipe, test, set(names)),
    task='icl_clinic150',
  )


def _texts(*values) -> bool:
  for value in values:
    if not isinstance(value, str):
      raise TypeError(f'{value!r} is no text')
  return True


def _known(recipe, rows, names: set[str]) -> list[labels.Example]:
  found = []
  for place, text, label in rows:
    if label not in names:
      recipe.log.leave_out(NAME, place, 'label outside the map')
    elif not text.strip():
      recipe.log.leave_out(NAME, place, 'empty text')
    else:
      found.append(labels.Example(place, text.strip(), label))
  return found
