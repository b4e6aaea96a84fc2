"""HotpotQA: questions that need two Wikipedia articles.

Training and validation come from `$root/hotpotqa/distractor_subset.jsonl`, the
test split is the evaluation file `dev_first500_part.jsonl` beside it. Official
layout, one JSON object per line; a paragraph may be one string or a list of
sentences. An instance holds the articles that its questions need, no others.

Questions of the two files differ but their articles overlap, so rows that
share an article title with the evaluation file are dropped (distractors
count), and rows that share titles with one another stay in one split.
"""

import dataclasses
import hashlib
import html
import pathlib
import random
from collections.abc import Callable, Sequence

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data.sources import passages

NAME = 'hotpotqa'
FILE = 'hotpotqa/distractor_subset.jsonl'
EVALUATION_FILE = 'hotpotqa/dev_first500_part.jsonl'


def build(
  root: str | pathlib.Path,
  split: str,
  *,
  chunk_tokens: int,
  chunks: int,
  max_questions: int,
  count_tokens: Callable[[str], int],
  seed: int,
) -> list[structs.Instance]:
  """All instances of a split, each of exactly `chunks` chunks."""
  passages.check_split(split)
  shape = passages.Shape(chunk_tokens, chunks, max_questions, count_tokens)
  rows = splits(root)[split]
  if not rows:
    raise ValueError(f'HotpotQA at {root} has no row for the split {split!r}.')
  random.Random(f'{NAME}/{split}/{seed}').shuffle(rows)
  return passages.build(
    [_item(row) for row in rows],
    shape,
    source=NAME,
    split=split,
    seed=seed,
    mix=True,
  )


@dataclasses.dataclass(frozen=True)
class Row:
  """One question with the articles shown beside it."""

  question: str
  answer: str
  evidence: tuple[str, ...]  # titles of the articles that answer it
  articles: dict[str, str]  # title -> text


def splits(root: str | pathlib.Path) -> dict[str, list[Row]]:
  """Rows of each split; no article title occurs in two of them."""
  root = pathlib.Path(root)
  test = _read(root / EVALUATION_FILE)
  taken = {title for row in test for title in row.articles}
  clean = [row for row in _read(root / FILE) if taken.isdisjoint(row.articles)]
  rows = {'train': [], 'validation': [], 'test': test}
  for group in _connected(clean):
    name = min(title for row in group for title in row.articles)
    digit = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10
    rows['train' if digit else 'validation'] += group
  return rows


def _connected(rows: Sequence[Row]) -> list[list[Row]]:
  """Groups of rows, any two of which are linked by shared titles."""
  groups = {}  # title -> its group, one list shared by all titles of the group
  for row in rows:
    touched = {id(groups[t]): groups[t] for t in row.articles if t in groups}
    merged = [r for group in touched.values() for r in group] + [row]
    for title in {title for r in merged for title in r.articles}:
      groups[title] = merged
  return list({id(group): group for group in groups.values()}.values())


def _read(path: pathlib.Path) -> list[Row]:
  """The rows of a file, each question once."""
  rows = {}
  for number, value in files.read_json_lines(path, what='HotpotQA'):
    try:
      row = _row(value)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f'HotpotQA at {path}: line {number} is not in the official layout '
        f'({type(error).__name__}: {error}).'
      ) from error
    # A row that came without its evidence cannot be answered.
    if set(row.evidence) <= row.articles.keys():
      rows.setdefault(row.question, row)
  return list(rows.values())


def _row(value: dict) -> Row:
  if 'supporting_titles' in value:
    evidence = value['supporting_titles']
  else:
    evidence = [title for title, _ in value['supporting_facts']]
  return Row(
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
  return passages.Item(texts, (question,))
