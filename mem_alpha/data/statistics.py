"""What prepared data looks like, beside the published figures."""

import statistics
from collections.abc import Callable, Sequence

from mem_alpha import structs

# (source, split) -> instances, tokens per chunk, chunks and questions per
# instance: Table 6 (all rows; validation is also the published test of these
# sources) and Table 8 (MemoryAgentBench) of arXiv 2509.25911.
PUBLISHED = {
  ('squad', 'train'): (264, 1078, 10.0, 95.5),
  ('squad', 'test'): (30, 1057, 10.0, 96.8),
  ('hotpotqa', 'train'): (1966, 1051, 9.3, 17.0),
  ('hotpotqa', 'test'): (219, 1052, 9.2, 17.0),
  ('perltqa', 'train'): (27, 517, 23.3, 100),
  ('perltqa', 'test'): (4, 568, 23.0, 100),
  ('longmemeval', 'train'): (45, 1522, 15.6, 4.0),
  ('nlu', 'train'): (180, 610, 10, 100),
  ('trec_coarse', 'train'): (180, 390, 10, 100),
  ('pubmed_rct', 'train'): (90, 1676, 10, 100),
  ('pubmed_rct', 'test'): (10, 1673, 10, 100),
  ('booksum', 'train'): (1387, 1916, 8.0, 1),
  ('booksum', 'test'): (155, 1914, 8.1, 1),
  ('banking77', 'test'): (1, 1150, 111, 100),
  ('clinc150', 'test'): (1, 3440, 38, 100),
  ('nlu', 'test'): (1, 1167, 115, 100),
  ('trec_coarse', 'test'): (1, 1115, 111, 100),
  ('trec_fine', 'test'): (1, 1163, 108, 100),
  ('infbench_sum', 'test'): (100, 2034, 88.9, 1),
  ('longmemeval', 'test'): (5, 1591, 218.6, 60),
  ('ruler_qa1', 'test'): (1, 2104, 103, 100),
  ('ruler_qa2', 'test'): (1, 2163.5, 219, 100),
}
COLUMNS = ('instances', 'tokens_per_chunk', 'chunks', 'questions')


def describe(
  instances: Sequence[structs.Instance], count_tokens: Callable[[str], int]
) -> dict[str, float]:
  """Means over instances, chunks (tokens) and questions (answer words)."""
  chunks = [chunk for instance in instances for chunk in instance.chunks]
  answers = [q.answers[0] for i in instances for q in i.questions]
  tokens = [count_tokens(chunk) for chunk in chunks]
  return {
    'instances': len(instances),
    'tokens_per_chunk': round(statistics.fmean(tokens), 1),
    'chunks': round(len(chunks) / len(instances), 1),
    'questions': round(len(answers) / len(instances), 1),
    'answer_words': round(
      statistics.fmean(len(answer.split()) for answer in answers), 1
    ),
    'largest_chunk': max(tokens),
    'tokens': sum(tokens),
  }


def table(rows: dict[str, dict[str, float]]) -> str:
  """Lines of figures, `source/split` each, with the published in brackets."""
  head = ('', *COLUMNS, 'answer_words', 'largest_chunk', 'tokens')
  lines = [head]
  for name, row in rows.items():
    source, split = name.split('/')
    published = PUBLISHED.get((source, split.removeprefix('published_')))
    cells = [name]
    for i, column in enumerate(COLUMNS):
      also = f' ({published[i]:g})' if published else ''
      cells.append(f'{row[column]:g}{also}')
    cells += [f'{row[c]:g}' for c in ('answer_words', 'largest_chunk')]
    lines.append((*cells, f'{row["tokens"]}'))
  widths = [max(map(len, column)) for column in zip(*lines)]
  return '\n'.join(
    '  '.join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines
  )
