"""SQuAD 1.1: questions about Wikipedia paragraphs.

Read from `$root/squad/dev-v1.1.json` in the official format. The splits share
no title: the hash of a title decides, so a title stays in its split whatever
else the file holds. The seed orders the titles; paragraphs keep their order.
"""

import hashlib
import pathlib
import random
from collections.abc import Callable, Collection

from mem_alpha import files
from mem_alpha import structs
from mem_alpha.data.sources import passages

NAME = 'squad'
FILE = 'squad/dev-v1.1.json'


def build(
  root: str | pathlib.Path,
  split: str,
  *,
  chunk_tokens: int,
  chunks: int,
  max_questions: int,
  count_tokens: Callable[[str], int],
  seed: int,
  exclude_titles: Collection[str] = (),
) -> list[structs.Instance]:
  """All instances of a split, each of exactly `chunks` chunks.

  `exclude_titles` are left out: RULER-QA1 asks of the articles of SQuAD 2.0
  dev, so a run that reports it trains on none of them.
  """
  passages.check_split(split)
  shape = passages.Shape(chunk_tokens, chunks, max_questions, count_tokens)
  path = pathlib.Path(root) / FILE
  articles = {
    title: items
    for title, items in _read(path).items()
    if split_of(title) == split and title not in exclude_titles
  }
  if not articles:
    raise ValueError(f'{path} holds no title of the split {split!r}.')
  titles = sorted(articles)
  random.Random(f'{NAME}/{split}/{seed}').shuffle(titles)
  return passages.build(
    [item for title in titles for item in articles[title]],
    shape,
    source=NAME,
    split=split,
    seed=seed,
    mix=False,
  )


def split_of(title: str) -> str:
  """The split of a title: about 8 in 10 are for training."""
  digit = int(hashlib.sha256(title.encode()).hexdigest()[:8], 16) % 10
  return {0: 'test', 1: 'validation'}.get(digit, 'train')


def _read(path: pathlib.Path) -> dict[str, list[passages.Item]]:
  """Title -> its paragraphs, each with its questions."""
  value = files.read_json(path, what='SQuAD')
  try:
    return {
      article['title']: [_item(entry) for entry in article['paragraphs']]
      for article in value['data']
    }
  except (AttributeError, KeyError, TypeError) as error:
    raise ValueError(
      f'SQuAD at {path} is not in the official layout '
      f'({type(error).__name__}: {error}): download it again.'
    ) from error


def _item(paragraph: dict) -> passages.Item:
  questions = []
  for entry in paragraph['qas']:
    # Annotators often agree; version 2.0 has questions without an answer.
    golds = dict.fromkeys(a['text'].strip() for a in entry['answers'])
    if golds:
      questions.append(
        structs.Question(
          entry['question'].strip(), tuple(golds), NAME, 'token_f1'
        )
      )
  return passages.Item((paragraph['context'].strip(),), tuple(questions))
