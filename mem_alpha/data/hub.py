"""Raw files from the Hugging Face hub, for sources that are not on disk.

`fetch` writes the files that a source reads, in their official format, so that
everything after it is the same with and without a network. It needs the extra
`pip install -e '.[hub]'`. Sources that are not listed here are downloaded by
hand (third_party/README.md).
"""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping

from mem_alpha import files

Rows = Iterable[Mapping]
# file -> (repository, configuration or None, split, rows -> text of the file)
Asset = tuple[str, str | None, str, Callable[[Rows], str]]

HOTPOT_ROWS = 20_000  # of 90 thousand; the published set uses fewer


def fetch(source: str, root: pathlib.Path) -> list[pathlib.Path]:
  """Writes those files of a source that are missing; returns their paths."""
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
    files.write_text(root / name, convert(rows))
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


def _lines(rows: Rows) -> str:
  return ''.join(
    json.dumps(dict(row), ensure_ascii=False) + '\n' for row in rows
  )


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
  'infbench_sum': {
    'infbench/longbook_sum_eng.jsonl': (
      'xinrongzhang2022/InfiniteBench',
      None,
      'longbook_sum_eng',
      _lines,
    ),
  },
}
