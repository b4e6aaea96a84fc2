"""Figures of instances, by hand."""

from mem_alpha import structs
from mem_alpha.data import catalog
from mem_alpha.data import statistics

SOME = [
  structs.Instance(
    str(n),
    'squad',
    ('a b c', 'd') * (n + 1),
    tuple(structs.Question('q', ('x y',), 'k', 'exact') for _ in range(3)),
  )
  for n in range(2)
]


def test_means_are_over_instances_chunks_and_questions():
  assert statistics.describe(SOME, lambda text: len(text.split())) == {
    'instances': 2,
    'tokens_per_chunk': 2.0,
    'chunks': 3.0,
    'questions': 3.0,
    'answer_words': 2.0,
    'largest_chunk': 3,
    'tokens': 12,
  }


def test_the_table_shows_the_published_beside_ours():
  row = statistics.describe(SOME, len)
  lines = statistics.table({'squad/train': row, 'toy/train': row}).split('\n')
  assert '2 (264)' in lines[1] and '3 (10)' in lines[1]
  assert '(' not in lines[2]
  assert len({len(line) for line in lines}) == 1


def test_published_sources_are_sources():
  assert {source for source, _ in statistics.PUBLISHED} <= set(catalog.SOURCES)
