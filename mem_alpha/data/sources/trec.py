"""TREC question classification, coarse (6 labels) and fine (50).

Read from `$root/trec/train_5500.label` and `TREC_10.label`, latin-1 text with
one `COARSE:fine question` per line. MemoryAgentBench asks both.
"""

from mem_alpha import files
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels

TRAIN, TEST = 'trec/train_5500.label', 'trec/TREC_10.label'
COARSE = ('ABBR', 'DESC', 'ENTY', 'HUM', 'LOC', 'NUM')


def task(recipe: recipes.Recipe, *, fine: bool) -> labels.Task:
  """One of the two tasks."""
  source = 'trec_fine' if fine else 'trec_coarse'
  train = _read(recipe, TRAIN, source, fine)
  names = {e.label for e in train} if fine else COARSE
  test = []
  for example in _read(recipe, TEST, source, fine):
    if example.label in names:
      test.append(example)
    else:  # the fine label ENTY:lettr, say, of no training question
      recipe.log.leave_out(source, example.name, 'label outside the map')
  return labels.Task(
    source,
    tuple(sorted(names)),
    train,
    test,
    task='icl_trec_fine' if fine else 'icl_trec_coarse',
  )


def _read(recipe, name: str, source: str, fine: bool) -> list[labels.Example]:
  text = files.read_text(
    recipe.read(name), what='TREC', encoding='latin-1', lines=True
  )
  found = []
  for number, line in enumerate(text.split('\n'), 1):
    if not line.strip():
      continue
    place = f'{name}: line {number}'
    label, _, question = line.strip().partition(' ')
    coarse, colon, _ = label.partition(':')
    if not colon or not question:
      raise ValueError(
        f'TREC at {recipe.read(name)}: line {number} is not '
        '`COARSE:fine question`: download the file again.'
      )
    if coarse in COARSE:
      found.append(labels.Example(place, question, label if fine else coarse))
    else:
      recipe.log.leave_out(source, place, 'label outside the map')
  return found
