"""PubMed RCT: sentences of structured abstracts, labelled by their section.

Read from `$root/pubmed_rct/train.txt`, `dev.txt` and `test.txt` in the official
layout: a line `###id` opens an abstract, then `LABEL<tab>sentence` lines. An
abstract stays in one split. The published set writes examples as `Sample:` and
`Labels:`, numbered in alphabetical order.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data.sources import labels

NAME = 'pubmed_rct'
LABELS = ('BACKGROUND', 'CONCLUSIONS', 'METHODS', 'OBJECTIVE', 'RESULTS')
SHOWN = 'Sample: {text}\n\nLabels: {number}'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  return labels.build(_task(recipe), recipe)


def whole(recipe: recipes.Recipe) -> structs.Instance:
  """Everything that the test may ask and show."""
  return labels.whole(_task(recipe), recipe)


def _task(recipe) -> labels.Task:
  # The test first: an abstract that is there too is not one to train on.
  documents = set()
  test, train, dev = (
    _read(recipe, name, documents)
    for name in ('test.txt', 'train.txt', 'dev.txt')
  )
  train += dev
  return labels.Task(NAME, LABELS, train, test, shown=SHOWN)


def _read(recipe, name: str, documents: set[str]) -> list[labels.Example]:
  """The sentences of abstracts that are not among `documents`, adding these."""
  path, document, again, found = recipe.read(NAME, name), '', False, []
  text = files.read_text(path, what='PubMed RCT', lines=True)
  for number, line in enumerate(text.split('\n'), 1):
    line, place = line.strip(' \r'), f'{NAME}/{name}: line {number}'
    if line.startswith('###'):
      document = line[3:]
      again = document in documents
      documents.add(document)
    elif line:
      label, tab, sentence = line.partition('\t')
      if not tab or not document:
        raise ValueError(
          f'PubMed RCT at {path}: line {number} is not `LABEL<tab>sentence` '
          'of an abstract: download the file again.'
        )
      if again:
        recipe.log.leave_out(NAME, place, 'duplicate id of an abstract')
      elif label in LABELS and sentence.strip():
        found.append(labels.Example(place, sentence.strip(), label, document))
      else:
        reason = 'empty text' if label in LABELS else 'label outside the map'
        recipe.log.leave_out(NAME, place, reason)
  return found
