"""From a config to the instances of a run, and to their order in training."""

from collections.abc import Callable, Sequence

from absl import logging

from mem_alpha import build
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.data import catalog
from mem_alpha.data import hub
from mem_alpha.data import iterator
from mem_alpha.data import ledger
from mem_alpha.data import mixture
from mem_alpha.data import recipe as recipes
from mem_alpha.data import schema
from mem_alpha.data import synthetic
from mem_alpha.rewards import scores


def recipe(
  config,
  split: str,
  count_tokens: Callable[[str], int],
  *,
  log: ledger.Ledger,
) -> recipes.Recipe:
  """What is asked of the sources that are built from raw files."""
  d = config.data
  return recipes.Recipe(
    root=build.data_root(config),
    split=split,
    count_tokens=count_tokens,
    seed=config.seed,
    log=log,
    **{
      name: d[name]
      for name in (
        'chunk_tokens',
        'min_chunk_tokens',
        'chunks',
        'min_chunks',
        'tokens',
        'max_questions',
        'min_questions',
        'max_answer_tokens',
        'published',
      )
    },
  )


def instances(
  config, split: str, count: int, vocab: text.Tokenizer
) -> Sequence[structs.Instance]:
  """Up to `count` instances of a split, the sources taking turns."""
  share = -(-count // len(config.data.sources))
  by_source = []
  for source in config.data.sources:
    found = _of_source(config, source, split, share, vocab)
    found = _selected(config, found, split, vocab)
    if not len(found):
      raise ValueError(f'Source {source!r} has no {split} instance.')
    by_source.append(found)
  if len(by_source) == 1:  # conversations are made when they are asked for
    return by_source[0] if len(by_source[0]) <= count else by_source[0][:count]
  longest = min(share, max(map(len, by_source)))
  mixed = [s[i] for i in range(longest) for s in by_source if i < len(s)]
  return mixed[:count]


def _of_source(config, source, split, share, vocab):
  if source == 'synthetic':
    spec = build.synthetic_spec(config)
    return synthetic.Dataset(spec, split, config.seed, share)
  if source == 'files':
    names = config.data[f'{split}_files']
    if not names:
      raise ValueError(
        f'data.{split}_files names no file: set it to prepared .parquet or '
        '.jsonl files.'
      )
    fixed = config.data.metric
    metric = scores.metric_of if fixed is None else lambda source: fixed
    return mixture.in_turns(
      instance
      for name in names
      for instance in schema.read(name, metric=metric)
    )
  if config.data.hub:
    hub.fetch(source, build.data_root(config))
  log = ledger.Ledger()
  found = catalog.build(source, recipe(config, split, _counter(vocab), log=log))
  if log.entries:
    logging.warning(
      '%s: %d rows were left out or changed; --mode=prepare lists them.',
      source,
      len(log.entries),
    )
  return found


def _selected(config, found, split, vocab):
  """Without what caps (of training data) and bounds of length leave out."""
  d, caps = config.data, {}
  if d.caps and split == 'train':
    known = set(d.sources)
    if 'files' in known:
      known |= {instance.source for instance in found}
    caps = mixture.parse(d.caps, what='data.caps', known=known)
  if d.min_tokens is not None or d.max_tokens is not None:
    found = mixture.of_length(
      found,
      mixture.lengths(found, _counter(vocab)),
      low=d.min_tokens,
      high=d.max_tokens,
    )
  if caps:
    found = mixture.capped(found, caps, seed=config.seed)
  return found


def order(
  config, train: Sequence[structs.Instance], vocab: text.Tokenizer
) -> iterator.Iterator:
  """The order in which training sees its instances."""
  d, known = config.data, set(config.data.sources)
  if 'files' in known and d.weights:
    # A source of which nothing is left here is no typing error.
    known |= {instance.source for instance in train} | set(catalog.SOURCES)
  return iterator.Iterator(
    train,
    config.seed,
    weights=mixture.parse(d.weights, what='data.weights', known=known),
    lengths=mixture.lengths(train, _counter(vocab)) if d.curriculum else (),
    curriculum=d.curriculum,
    question_share=d.question_share,
  )


def _counter(vocab: text.Tokenizer) -> Callable[[str], int]:
  return lambda string: len(vocab.encode(string))
