"""NLU-Evaluation-Data: commands to a home assistant, 64 labels.

Read from `$root/nlu/nlu_crossval_fold1.jsonl`. The text is `answer_from_anno`,
the label `scenario_intent`, `split_fold1` says train or test.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels

NAME = 'nlu'
FILE = 'nlu/nlu_crossval_fold1.jsonl'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(_task(recipe), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(_task(recipe), recipe)


def _task(recipe) -> labels.Task:
  path, parts = recipe.read(FILE), {'train': [], 'test': []}
  for number, row in files.read_json_lines(path, what='NLU'):
    place = f'{FILE}: line {number}'
    try:
      text, label = row['answer_from_anno'].strip(), row['label']
      agrees = label == f'{row["scenario"]}_{row["intent"]}'
      part = parts[row['split_fold1']]
    except (AttributeError, KeyError, TypeError) as error:
      raise ValueError(
        f'NLU at {path}: line {number} is not in the expected layout '
        f'({type(error).__name__}: {error}).'
      ) from error
    if not agrees:
      recipe.log.leave_out(NAME, place, 'label outside the map')
    elif not text:
      recipe.log.leave_out(NAME, place, 'empty text')
    else:
      part.append(labels.Example(place, text, label))
  known = {e.label for e in parts['train']}
  for example in parts['test']:
    if example.label not in known:
      recipe.log.leave_out(NAME, example.name, 'label outside the map')
  return labels.Task(
    NAME,
    tuple(sorted(known)),
    parts['train'],
    [e for e in parts['test'] if e.label in known],
    task='icl_nlu',
  )
