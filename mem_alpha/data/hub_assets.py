"""Where on the hub the raw files of a source are, and how its tables read.

A table becomes the file that it was made from, in the official format. The
repositories are those that the published set was made from, or the data's own.
The hub has no copy of LoCoMo, PerLTQA or MQuAKE by their authors, and its copy
of NLU-Evaluation-Data lacks the folds.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping

from mem_alpha.data.sources import pubmed_rct

Rows = Iterable[Mapping]
# (repository, configuration or None, splits, rows of each -> text of the file);
# `repository@revision` is another revision than the newest.
Asset = tuple[str, str | None, tuple[str, ...], Callable[..., str]]

HOTPOT_ROWS = 20_000  # of 90 thousand; the published set uses fewer


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


def _banking77(rows: Rows) -> str:
  return _csv([('text', 'category'), *((r['text'], r['label']) for r in rows)])


def _labels(rows: Rows) -> str:
  return json.dumps(sorted({row['label'] for row in rows}))


def _clinc150(train: Rows, validation: Rows, test: Rows) -> str:
  """Sentences of no label are parts of their own in the official file."""
  parts = {}
  for name, rows in (('train', train), ('val', validation), ('test', test)):
    parts |= {name: [], f'oos_{name}': []}
    for row in rows:
      none = row['intent'] == 'oos'
      parts[f'oos_{name}' if none else name].append(
        [row['text'], row['intent']]
      )
  return json.dumps(parts, ensure_ascii=False)


def _intents(rows: Rows) -> str:
  """The table does not tell the domains apart; nothing here needs them."""
  return json.dumps({'all': sorted({r['intent'] for r in rows} - {'oos'})})


def _trec(rows: Rows) -> str:
  return ''.join(f'{row["fine_label"]} {row["text"]}\n' for row in rows)


def _csv(rows: Iterable[Iterable[str]]) -> str:
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  return text.getvalue()


def _lines(rows: Rows) -> str:
  return ''.join(
    json.dumps(dict(row), ensure_ascii=False) + '\n' for row in rows
  )


# Folders below the root that have not the name of their source.
FOLDERS = {'trec_coarse': 'trec', 'trec_fine': 'trec'}
# (files that make it needless, file, repository): copied as they are, since
# answers that are now a text and now a number make no table.
DOWNLOADS = {
  'longmemeval': (
    (
      'longmemeval/longmemeval_*.json',
      'longmemeval/longmemeval_s_cleaned.json',
      'xiaowu0162/longmemeval-cleaned',
    ),
  ),
}
_HOTPOT = ('hotpotqa/hotpot_qa', 'distractor')
_EVALUATION: dict[str, Asset] = {
  'hotpotqa/dev_first500_part.jsonl': (
    *_HOTPOT,
    ('validation[:500]',),
    _hotpotqa,
  )
}
_BANKING = ('legacy-datasets/banking77@refs/convert/parquet', None)
_CLINC = ('clinc/clinc_oos', 'plus')  # 250 sentences of no label, not 100
_TREC: dict[str, Asset] = {
  f'trec/{name}.label': (
    'CogComp/trec@refs/convert/parquet',
    None,
    (split,),
    _trec,
  )
  for name, split in (('train_5500', 'train'), ('TREC_10', 'test'))
}
ASSETS: dict[str, dict[str, Asset]] = {
  'squad': {
    'squad/train-v1.1.json': ('rajpurkar/squad', None, ('train',), _squad),
    'squad/dev-v1.1.json': ('rajpurkar/squad', None, ('validation',), _squad),
  },
  'ruler_qa1': {
    'squad/dev-v2.0.json': (
      'rajpurkar/squad_v2',
      None,
      ('validation',),
      _squad,
    ),
  },
  'hotpotqa': {
    'hotpotqa/distractor_subset.jsonl': (
      *_HOTPOT,
      (f'train[:{HOTPOT_ROWS}]',),
      _hotpotqa,
    ),
    **_EVALUATION,
  },
  'ruler_qa2': _EVALUATION,
  'booksum': {
    f'booksum/chapters_{split}.jsonl': (
      'ubaada/booksum-complete-cleaned',
      'chapters',
      (split,),
      _booksum,
    )
    for split in ('train', 'validation', 'test')
  },
  'pubmed_rct': {
    f'pubmed_rct/{name}.txt': (
      'pietrolesci/pubmed-200k-rct',
      None,
      (split,),
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
      ('longbook_sum_eng',),
      _lines,
    ),
  },
  'banking77': {
    'banking77/train.csv': (*_BANKING, ('train',), _banking77),
    'banking77/test.csv': (*_BANKING, ('test',), _banking77),
    'banking77/categories.json': (*_BANKING, ('train',), _labels),
  },
  'clinc150': {
    'clinc150/data_full.json': (
      *_CLINC,
      ('train', 'validation', 'test'),
      _clinc150,
    ),
    'clinc150/domains.json': (*_CLINC, ('train',), _intents),
  },
  'trec_coarse': _TREC,
  'trec_fine': _TREC,
}
