"""Sentences of structured abstracts as in PubMed RCT, from other collections.

Read from `$root/pubmed_structured/sentences.jsonl` (pmid, label, text). It
stands in for PubMed RCT where that is not at hand and has a name of its own,
since figures on the two cannot be compared. The hash of an abstract decides
which are for the test.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits
from mem_alpha.data.sources import labels
from mem_alpha.data.sources import pubmed_rct

NAME = 'pubmed_structured'
FILE = 'pubmed_structured/sentences.jsonl'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(_task(recipe), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(_task(recipe), recipe)


def _task(recipe) -> labels.Task:
  path, parts = recipe.read(FILE), {'train': [], 'test': []}
  for number, row in files.read_json_lines(path, what='PubMed sentences'):
    place = f'{FILE}: line {number}'
    try:
      text, label, document = row['text'].strip(), row['label'], row['pmid']
    except (AttributeError, KeyError, TypeError) as error:
      raise ValueError(
        f'PubMed sentences at {path}: line {number} lacks text, label or pmid '
        f'({type(error).__name__}: {error}).'
      ) from error
    if label not in pubmed_rct.LABELS:
      recipe.log.leave_out(NAME, place, 'label outside the map')
    elif not text:
      recipe.log.leave_out(NAME, place, 'empty text')
    else:
      test = splits.of(f'{NAME} {document}', validation=0) == 'test'
      example = labels.Example(place, text, label, document)
      parts['test' if test else 'train'].append(example)
  return labels.Task(
    NAME,
    pubmed_rct.LABELS,
    parts['train'],
    parts['test'],
    shown=pubmed_rct.SHOWN,
  )
