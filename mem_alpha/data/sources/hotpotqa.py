"""HotpotQA: questions that need two Wikipedia articles.

Training and validation come from `$root/hotpotqa/distractor_subset.jsonl`, the
test split is the evaluation file `dev_first500_part.jsonl` beside it. Official
layout, one JSON object per line; a paragraph may be one string or a list of
sentences. An instance holds the articles that its questions need, no others.

Questions of the two files differ but their articles overlap, so rows that
share an article title with the evaluation file are left out (distractors
count), and rows that share titles with one another stay in one split. The
published split does neither.
"""

import dataclasses
import html
from collections.abc import Sequence

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data import recipe as recipes
from mem_alpha.data import splits
from mem_alpha.data.sources import passages

NAME = 'hotpotqa'
FILE = 'hotpotqa/distractor_subset.jsonl'
EVALUATION_FILE = 'hotpotqa/dev_first500_part.jsonl'


@dataclasses.dataclass(frozen=True)
class Row:
  """One question with the articles shown beside it."""

  name: str
  question: str
  answer: str
  evidence: tuple[str, ...]  # titles of the articles that answer it
  articles: dict[str, str]  # title -> text


def build(recipe: recipes.Recipe) -> list[structs.Instance]:
  """All instances of a split, each of exactly `chunks` chunks."""
  found = rows(recipe)
  if not found:
    raise recipes.NoInstanceError(
      f'HotpotQA at {recipe.root} has no row of the split {recipe.split!r}.'
    )
  order = splits.shuffled(found, f'{NAME}/{recipe.split}/{recipe.seed}')
  articles = dict(pair for row in order for pair in row.articles.items())
  return passages.build(
    [_item(row) for row in order],
    recipe,
    source=NAME,
    mix=True,
    filler=[f'{title}: {text}' for title, text in articles.items()],
  )


def rows(recipe: recipes.Recipe) -> list[Row]:
  """Rows of the split; in clean ones no article title occurs in two splits."""
  if recipe.published:
    return [r for r in read(recipe, FILE) if recipe.holds(r.question)]
  test = read(recipe, EVALUATION_FILE)
  if recipe.split == 'test':
    return test
  taken, clean = {title for row in test for title in row.articles}, []
  for row in read(recipe, FILE):
    if taken.isdisjoint(row.articles):
      clean.append(row)
    else:
      recipe.log.leave_out(NAME, row.name, 'shares an article with the test')
  return [
    row
    for group in _connected(clean)
    if recipe.holds(min(t for r in group for t in r.articles), benchmark=False)
    for row in group
  ]


def read(recipe: recipes.Recipe, name: str) -> list[Row]:
  """The rows of a file, each question once."""
  path, found, seen = recipe.read(name), {}, set()
  for number, value in files.read_json_lines(path, what='HotpotQA'):
    try:
      row = _row(value, f'{name}: line {number}')
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f'HotpotQA at {path}: line {number} is not in the official layout '
        f'({type(error).__name__}: {error}).'
      ) from error
    key = value.get('_id') or value.get('id')
    if key and key in seen:
      recipe.log.leave_out(NAME, row.name, 'duplicate id')
    elif row.question in found:
      recipe.log.leave_out(NAME, row.name, 'duplicate question')
    elif not row.answer:
      recipe.log.leave_out(NAME, row.name, 'question without answer')
    elif not set(row.evidence) <= row.articles.keys():
      recipe.log.leave_out(NAME, row.name, 'evidence is not among its articles')
    else:
      found[row.question] = row
      seen.add(key)
  return list(found.values())


def _connected(rows: Sequence[Row]) -> list[list[Row]]:
  """Groups of rows, any two of which are linked by shared titles."""
  groups = {}  # title -> its group, one list shared by all titles of the group
  for row in rows:
    touched = {id(groups[t]): groups[t] for t in row.articles if t in groups}
    merged = [r for group in touched.values() for r in group] + [row]
    for title in {title for r in merged for title in r.articles}:
      groups[title] = merged
  return list({id(group): group for group in groups.values()}.values())


def _row(value: dict, name: str) -> Row:
  if 'supporting_titles' in value:
    evidence = value['supporting_titles']
  else:
    evidence = [title for title, _ in value['supporting_facts']]
  return Row(
    name=name,
    question=_plain(value['question']),
    answer=_plain(value['answer']),
    evidence=tuple(dict.fromkeys(map(_plain, evidence))),
    articles={
      _plain(title): _paragraph(text) for title, text in value['context']
    },
  )


def _paragraph(text: str | list[str]) -> str:
  return _plain(text if isinstance(text, str) else ' '.join(text))


def _plain(text: str) -> str:
  # Some rows come with HTML entities in the names, but not in the answer.
  return ' '.join(html.unescape(text).split())


def _item(row: Row) -> passages.Item:
  question = structs.Question(row.question, (row.answer,), NAME, 'token_f1')
  texts = tuple(f'{t}: {row.articles[t]}' for t in row.evidence)
  return passages.Item(row.name, texts, (question,))
