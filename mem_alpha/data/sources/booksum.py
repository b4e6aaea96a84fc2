"""BookSum: chapters of novels, to be summarised.

Read from `$root/booksum/chapters_*.jsonl` with the upstream fields bid,
book_id, chapter and summary, one JSON object per line. Summaries of the same
chapter by several authors count as one. A book stays in one split.
"""

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits
from mem_alpha.data.sources import books

NAME = 'booksum'
FILES = 'chapters_*.jsonl'


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  paths = sorted(recipe.read(NAME).glob(FILES))
  if not paths:
    raise FileNotFoundError(
      f'BookSum is not in {recipe.read(NAME)}: download {FILES} there, or set '
      'another data root.'
    )
  chapters, names = {}, set()
  for path in paths:
    for number, row in files.read_json_lines(path, what='BookSum'):
      place = f'{NAME}/{path.name}: line {number}'
      try:
        text, summary = row['chapter'].strip(), row['summary'].strip()
        group, name = str(row['bid']), row['book_id']
      except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
          f'BookSum at {path}: line {number} lacks bid, book_id, chapter or '
          f'summary ({type(error).__name__}: {error}).'
        ) from error
      if not text or not summary:
        recipe.log.leave_out(NAME, place, 'empty chapter or summary')
      elif recipe.holds(group):
        name = f'{group}/{name}'
        if text in chapters:
          recipe.log.change(NAME, place, 'one more summary of a chapter')
        elif name in names:
          recipe.log.change(NAME, place, 'duplicate id got its place')
          name = f'{name}@{path.stem}:{number}'
        names.add(name)
        chapters.setdefault(text, (name, []))[1].append(summary)
  found = [books.Book(n, t, tuple(s)) for t, (n, s) in chapters.items()]
  order = splits.shuffled(found, f'{NAME}/{recipe.split}/{recipe.seed}')
  return books.build(order, recipe, source=NAME)
