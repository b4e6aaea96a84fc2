"""--mode=prepare: raw files in, data sets in the published layout out.

python -m mem_alpha.main --mode=prepare --config=configs/data/squad.py \\
    --workdir=data/squad

Writes into the workdir: a parquet file per split (`published_train.parquet` of
the published one), `report.json` (figures of each source, what splits share,
rows left out by reason) and `left_out.jsonl` (each such row). Splits of an
earlier run there are deleted. The same config, code and raw files give the same
bytes. A training instance that shares a question or a passage with a test
instance, with a benchmark of `prepare.against` or with a question that
MemoryAgentBench lists is left out; the published split keeps them.
"""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterator, Sequence

from absl import logging

from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import build_panel
from mem_alpha import files
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.data import benchmark
from mem_alpha.data import catalog
from mem_alpha.data import hub
from mem_alpha.data import ledger
from mem_alpha.data import mixture
from mem_alpha.data import overlap
from mem_alpha.data import recipe as recipes
from mem_alpha.data import schema
from mem_alpha.data import splits
from mem_alpha.data import statistics
from mem_alpha.readers import base

Instances = dict[str, list[structs.Instance]]  # by split


def run(config, workdir: pathlib.Path) -> None:
  """Builds all sources and splits of a config."""
  started = time.monotonic()
  build.check(config)
  check(config)
  log = ledger.Ledger()
  with _recipe(config, log, workdir) as recipe:
    found = {split: _build(config, recipe, split) for split in splits.NAMES}
    if not any(found.values()):
      reasons = ' '.join(
        e.place for e in log.entries if e.reason == 'no instance'
      )
      raise ValueError(f'Nothing could be built. {reasons}')
    report, not_checked = clean(config, recipe, found)
  rows = {
    f'{source}/{dataclasses.replace(recipe, split=split).name}': (
      statistics.describe(some, recipe.size)
    )
    for split, instances in found.items()
    for source, some in _by_source(instances).items()
  }
  names = {
    f'{dataclasses.replace(recipe, split=split).name}.parquet': found[split]
    for split in splits.NAMES
  }
  for name, some in names.items():
    if some:
      schema.write(workdir / name, some)
  for split in splits.NAMES:
    for name in (f'{split}.parquet', f'published_{split}.parquet'):
      if not names.get(name):
        (workdir / name).unlink(missing_ok=True)
  files.write_text(workdir / 'left_out.jsonl', log.to_jsonl())
  summary = {
    'sources': rows,
    'overlap': report,
    'not_checked': not_checked,
    'rows': log.counts(),
    'config': {
      'data': config.data.to_dict(),
      'prepare': config.prepare.to_dict(),
      'seed': config.seed,
    },
  }
  summary['config']['data'].pop('root')  # a path of this machine
  files.write_text(
    workdir / 'report.json',
    json.dumps(summary, indent=1, sort_keys=True) + '\n',
  )
  print(statistics.table(rows))
  print('\nPublished figures in brackets. Shared questions and passages:')
  for pair, shared in report.items():
    print(f'  {pair}: {shared["questions"]}, {shared["passages"]}')
  for name in not_checked:
    print(f'  {name}: NOT CHECKED, its raw files are not there')
  print('\nRows that were left out or changed (left_out.jsonl lists each):')
  for reason, count in summary['rows'].items():
    print(f'  {count} {reason}')
  logging.info('Prepared %s in %.1f s.', workdir, time.monotonic() - started)


def check(config) -> None:
  """One sentence for each setting of this mode that cannot work."""
  wrong = set(config.data.sources) - set(catalog.SOURCES)
  if wrong:
    raise ValueError(
      f'--mode=prepare cannot build {", ".join(sorted(wrong))}: use sources of '
      f'{", ".join(catalog.SOURCES)}.'
    )
  for name in config.prepare.against:
    if name not in catalog.WHOLE:
      raise ValueError(
        f'prepare.against={name!r} is unknown: use one of '
        f'{", ".join(catalog.WHOLE)}.'
      )
  e = config.endpoint
  if config.prepare.ask and not (e.url and e.model):
    raise ValueError('prepare.ask=True needs endpoint.url and endpoint.model.')
  counts = [config.prepare[split] for split in splits.NAMES]
  if min(counts) < 0 or not any(counts):
    raise ValueError(
      f'prepare.train, validation and test are {counts}: they must be 0 or '
      'more, and one of them positive.'
    )


def clean(
  config, recipe: recipes.Recipe, found: Instances
) -> tuple[dict, list[str]]:
  """Takes out of training what must not be there.

  Returns what is shared, and the benchmarks whose files are not there.
  """
  log, benchmarks, not_checked = recipe.log, {}, []
  whole = dataclasses.replace(
    recipe, split='test', published=False, log=ledger.Ledger()
  )
  for name in config.prepare.against:
    _fetch(config, name)
    try:
      benchmarks[name] = overlap.of([catalog.SOURCES[name].whole(whole)])
    except FileNotFoundError as error:
      logging.warning('Nothing is compared with %s: %s', name, error)
      not_checked.append(name)
  listed = benchmark.listed(recipe)
  benchmarks['MemoryAgentBench'] = overlap.of_listed(listed)
  if not config.data.published:
    out = overlap.of(found['test'])
    for content in benchmarks.values():
      out |= content
    for split in ('validation', 'train'):
      found[split] = overlap.without(found[split], out, log, split=split)
      out |= overlap.of(found[split])
  contents = {name: overlap.of(found[name]) for name in splits.NAMES}
  return overlap.report({**contents, **benchmarks}), not_checked


@contextlib.contextmanager
def _recipe(config, log, workdir: pathlib.Path) -> Iterator[recipes.Recipe]:
  """What sources are built by; a model that is asked is there until the end."""
  tokenizer = text.load(config.prepare.tokenizer)
  recipe = build_data.recipe(
    config, 'train', lambda s: len(tokenizer.encode(s)), log=log
  )
  if config.prepare.ask:
    with build_panel.helper(config, workdir) as model:
      yield dataclasses.replace(recipe, ask=lambda p: _ask(model, p))
  else:
    yield recipe


def _ask(model: base.Model, prompts: Sequence[str]) -> list[str]:
  """The model's answers; data with a part of them would not be the same."""
  completions = list(model([base.Prompt('', prompt) for prompt in prompts]))
  failed = [c.failed for c in completions if c.failed]
  if failed:
    raise ValueError(
      f'{len(failed)} of {len(prompts)} questions got no answer ({failed[0]}): '
      'start again, answers are kept; or leave prepare.ask out.'
    )
  return [completion.text for completion in completions]


def _build(config, recipe, split: str) -> list[structs.Instance]:
  """The instances of a split, source by source."""
  found, most = [], config.prepare[split]
  caps = mixture.parse(
    config.data.caps, what='data.caps', known=config.data.sources
  )
  for source in config.data.sources if most else ():
    logging.info('Building %s, %s.', source, split)
    _fetch(config, source)
    capped = caps.get(source, most) if split == 'train' else most
    asked = dataclasses.replace(
      recipe, split=split, instances=min(most, int(capped))
    )
    try:
      found += catalog.build(source, asked)
    except (
      recipes.NoInstanceError
    ) as error:  # of a few documents, one split has all
      recipe.log.leave_out(source, str(error), 'no instance', split=split)
  return found


def _fetch(config, source: str) -> None:
  if config.data.hub:
    hub.fetch(source, build.data_root(config))


def _by_source(instances) -> Instances:
  groups = {}
  for instance in instances:
    groups.setdefault(instance.source, []).append(instance)
  return groups
