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
  train = _read(recipe, 'train.txt') + _read(recipe, 'dev.txt')
  test = _read(recipe, 'test.txt')
  task = labels.Task(NAME, LABELS, train, test, shown=SHOWN)
  return labels.build(task, recipe)


def _read(recipe, name: str) -> list[labels.Example]:
  path, document, found = recipe.read(NAME, name), '', []
  text = files.read_text(path, what='PubMed RCT')
  for number, line in enumerate(text.split('\n'), 1):
    line, place = line.strip(' \r'), f'{NAME}/{name}: line {number}'
    if line.startswith('###'):
      document = line[3:]
    elif line:
      label, tab, sentence = line.partition('\t')
      if not tab or not document:
        raise ValueError(
          f'PubMed RCT at {path}: line {number} is not `LABEL<tab>sentence` '
          'of an abstract: download the file again.'
        )
      if label in LABELS and sentence.strip():
        found.append(labels.Example(place, sentence.strip(), label, document))
      else:
        reason = 'empty text' if label in LABELS else 'label outside the map'
        recipe.log.leave_out(NAME, place, reason)
  return found
