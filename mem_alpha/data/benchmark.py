"""MemoryAgentBench's questions: what it asks, and what must not be trained on.

`$root/memoryagentbench/questions_golds_part.jsonl` lists questions and golds
without contexts, one JSON object per line with `source`, `qa_pair_id`,
`prompt` and `golds`. `icl_label_maps_partial.json` names some of the numbers
that its labels have. Both are optional: without them a rebuilt benchmark asks
questions of its own sources, with numbers of our own.
"""

import dataclasses

from mem_alpha import files
from mem_alpha.data import recipe as recipes

NAME = 'memoryagentbench'
QUESTIONS = 'memoryagentbench/questions_golds_part.jsonl'
LABEL_MAPS = 'memoryagentbench/icl_label_maps_partial.json'


@dataclasses.dataclass(frozen=True)
class Listed:
  """One question of the benchmark."""

  source: str  # its name of the task, such as ruler_qa1_197K
  name: str
  text: str
  golds: tuple[str, ...]


def listed(recipe: recipes.Recipe, prefix: str = '') -> list[Listed]:
  """The questions of the tasks whose name begins with `prefix`."""
  path = recipe.read(QUESTIONS)
  if not path.is_file():
    return []
  found, seen = [], set()
  for number, row in files.read_json_lines(path, what='MemoryAgentBench'):
    try:
      name = f'{row.get("instance_id", row["source"])}/{row["qa_pair_id"]}'
      golds = [str(gold) for gold in row['golds']]
      question = Listed(
        row['source'], name, row['prompt'].strip(), tuple(golds)
      )
    except (AttributeError, KeyError, TypeError) as error:
      raise ValueError(
        f'MemoryAgentBench at {path}: line {number} lacks qa_pair_id, source, '
        f'prompt or golds ({type(error).__name__}: {error}).'
      ) from error
    place = f'{QUESTIONS}: line {number}: {name}'
    if not question.source.startswith(prefix):
      continue
    if name in seen:
      recipe.log.leave_out(NAME, place, 'duplicate id')
    elif not any(golds):
      recipe.log.leave_out(NAME, place, 'question without answer')
    else:
      found.append(question)
    seen.add(name)
  return found


def label_numbers(recipe: recipes.Recipe, prefix: str) -> dict[str, int]:
  """Label -> the number that the benchmark gives it, as far as known."""
  path = recipe.read(LABEL_MAPS)
  if not path.is_file():
    return {}
  maps = files.read_json(path, what='The label maps of MemoryAgentBench')
  try:
    return {
      label: int(number)
      for task, labels in maps.items()
      if task.startswith(prefix)
      for number, label in labels.items()
    }
  except (AttributeError, TypeError, ValueError) as error:
    raise ValueError(
      f'The label maps of MemoryAgentBench at {path} are not objects of number '
      f'and label for each task ({type(error).__name__}: {error}).'
    ) from error
