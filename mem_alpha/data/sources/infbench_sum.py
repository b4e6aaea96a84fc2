"""InfBench-Sum of MemoryAgentBench: whole novels, to be summarised.

Read from `$root/infbench/longbook_sum_eng.jsonl` with the upstream fields id,
context and answer, one JSON object per line. A benchmark: test only.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import books

NAME = 'infbench_sum'
FILE = 'infbench/longbook_sum_eng.jsonl'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  if recipe.split != 'test':
    raise recipes.NoInstanceError(
      f'{NAME} is a benchmark: it has no {recipe.split} split.'
    )
  return books.build(_read(recipe), recipe, source=NAME)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the benchmark may show."""
  return books.whole(NAME, _read(recipe))


def _read(recipe) -> list[books.Book]:
  path, found = recipe.read(FILE), {}
  for number, row in files.read_json_lines(path, what='InfBench-Sum'):
    try:
      answers = row['answer']
      golds = (answers,) if isinstance(answers, str) else tuple(answers)
      book = books.Book(str(row['id']), row['context'].strip(), golds)
    except (AttributeError, KeyError, TypeError) as error:
      raise ValueError(
        f'InfBench-Sum at {path}: line {number} lacks id, context or answer '
        f'({type(error).__name__}: {error}).'
      ) from error
    if book.name in found:
      recipe.log.leave_out(NAME, f'{FILE}: line {number}', 'duplicate id')
    elif not book.text or not any(golds):
      reason = 'empty text or question without answer'
      recipe.log.leave_out(NAME, f'{FILE}: line {number}', reason)
    else:
      found[book.name] = book
  return list(found.values())
