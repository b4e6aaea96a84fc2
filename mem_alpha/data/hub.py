"""Raw files from the Hugging Face hub, for sources that are not on disk.

`fetch` writes the files that a source reads, in their official format, so that
everything after it is the same with and without a network. It needs the extra
`pip install -e '.[hub]'`. The repositories are those that the published set was
made from, or the data's own. Sources without one here are downloaded by hand
(third_party/README.md).
"""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping

from mem_alpha import files
from mem_alpha.data.sources import pubmed_rct

Rows = Iterable[Mapping]
# file -> (repository, configuration or None, split, rows -> text of the file)
Asset = tuple[str, str | None, str, Callable[[Rows], str]]

HOTPOT_ROWS = 20_000  # of 90 thousand; the published set uses fewer


def fetch(source: str, root: pathlib.Path) -> list[pathlib.Path]:
  """Writes those files of a source that are missing; returns their paths."""
  folder = root / FOLDERS.get(source, source)
  if source not in ASSETS and not folder.is_dir():
    raise ValueError(
      f'data.hub=True knows no hub repository of {source}: put its files into '
      f'{folder} by hand, third_party/README.md says from where.'
    )
  missing = {
    name: asset
    for name, asset in ASSETS.get(source, {}).items()
    if not (root / name).exists()
  }
  if not missing:
    return []
  try:
    import datasets
  except ImportError as error:
    raise ValueError(
      'data.hub=True needs the package `datasets`: install mem_alpha[hub], or '
      f'put {", ".join(missing)} into {root} by hand.'
    ) from error
  for name, (repository, configuration, split, convert) in missing.items():
    try:
      rows = datasets.load_dataset(repository, configuration, split=split)
    except Exception as error:  # the package raises errors of many libraries
      raise ValueError(
        f'{repository} could not be fetched from the hub '
        f'({type(error).__name__}: {error}): put {name} into {root} by hand.'
      ) from error
    try:
      text = convert(rows)
    except (KeyError, TypeError, IndexError) as error:
      raise ValueError(
        f'{repository} has other columns than expected '
        f'({type(error).__name__}: {error}): put {name} into {root} by hand.'
      ) from error
    files.write_text(root / name, text)
  return [root / name for name in missing]


def _squad(rows: Rows) -> str:
  """Flat rows of questions, as articles of paragraphs."""
  articles = {}
  for row in rows:
    answers = row['answers']
    entry = {
      'id': row['id'],
      'question': row['question'],
      'answers': [
        {'text': text, 'answer_start': start}
        for text, start in zip(answers['text'], answers['answer_start'])
      ],
    }
    paragraphs = articles.setdefault(row['title'], {})
    paragraphs.setdefault(row['context'], []).append(entry)
  data = [
    {
      'title': title,
      'paragraphs': [{'context': c, 'qas': qas} for c, qas in found.items()],
    }
    for title, found in articles.items()
  ]
  return json.dumps({'data': data}, ensure_ascii=False)


def _hotpotqa(rows: Rows) -> str:
  """Columns of titles and sentences, as pairs."""
  return _lines(
    {
      'id': row['id'],
      'question': row['question'],
      'answer': row['answer'],
      'supporting_facts': list(
        zip(
          row['supporting_facts']['title'], row['supporting_facts']['sent_id']
        )
      ),
      'context': list(
        zip(row['context']['title'], row['context']['sentences'])
      ),
    }
    for row in rows
  )


def _booksum(rows: Rows) -> str:
  """A chapter with a list of summaries, as a row for each summary."""
  return _lines(
    {
      'bid': row['bid'],
      'book_id': f'{row["book_title"]}.{row["chapter_id"]}',
      'chapter': row['text'],
      'summary': '\n'.join([text] if isinstance(text, str) else text),
    }
    for row in rows
    for text in (summary['text'] for summary in row['summary'])
  )


def _pubmed_rct(rows: Rows) -> str:
  """Labelled sentences, as abstracts; labels are names or their numbers."""
  lines, before = [], None
  for row in rows:
    if row['abstract_id'] != before:
      before = row['abstract_id']
      lines.append(f'\n###{before}\n' if lines else f'###{before}\n')
    label = row['labels']
    name = label.upper() if isinstance(label, str) else pubmed_rct.LABELS[label]
    lines.append(f'{name}\t{row["text"]}\n')
  return ''.join(lines)


def _lines(rows: Rows) -> str:
  return ''.join(
    json.dumps(dict(row), ensure_ascii=False) + '\n' for row in rows
  )


# Folders below the root that have not the name of their source.
FOLDERS = {'trec_coarse': 'trec', 'trec_fine': 'trec'}
_HOTPOT = ('hotpotqa/hotpot_qa', 'distractor')
_EVALUATION: dict[str, Asset] = {
  'hotpotqa/dev_first500_part.jsonl': (*_HOTPOT, 'validation[:500]', _hotpotqa)
}
ASSETS: dict[str, dict[str, Asset]] = {
  'squad': {
    'squad/train-v1.1.json': ('rajpurkar/squad', None, 'train', _squad),
    'squad/dev-v1.1.json': ('rajpurkar/squad', None, 'validation', _squad),
  },
  'ruler_qa1': {
    'squad/dev-v2.0.json': ('rajpurkar/squad_v2', None, 'validation', _squad),
  },
  'hotpotqa': {
    'hotpotqa/distractor_subset.jsonl': (
      *_HOTPOT,
      f'train[:{HOTPOT_ROWS}]',
      _hotpotqa,
    ),
    **_EVALUATION,
  },
  'ruler_qa2': _EVALUATION,
  'booksum': {
    f'booksum/chapters_{split}.jsonl': (
      'ubaada/booksum-complete-cleaned',
      'chapters',
      split,
      _booksum,
    )
    for split in ('train', 'validation', 'test')
  },
  'pubmed_rct': {
    f'pubmed_rct/{name}.txt': (
      'pietrolesci/pubmed-200k-rct',
      None,
      split,
      _pubmed_rct,
    )
    for name, split in (
      ('train', 'train'),
      ('dev', 'validation'),
      ('test', 'test'),
    )
  },
  'infbench_sum': {
    'infbench/longbook_sum_eng.jsonl': (
      'xinrongzhang2022/InfiniteBench',
      None,
      'longbook_sum_eng',
      _lines,
    ),
  },
}
