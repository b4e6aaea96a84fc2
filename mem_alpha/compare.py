"""Several evaluations side by side: one table, one report.

`--mode=compare --config.eval.compare="('runs/a','runs/b/eval/long')"` reads
what --mode=evaluate left in run directories, or in their eval/NAME, and writes
summary.json and report.html into the workdir. A system that several of them
hold is compared in pairs where it was asked the same; where the data differ in
length, there is a curve. What cannot stand in one table is refused.
"""

import math
import pathlib
from collections.abc import Mapping

from mem_alpha.evals import collect
from mem_alpha.evals import kept as kept_lib
from mem_alpha.evals import report
from mem_alpha.evals import results
from mem_alpha.evals import summary


def run(config, workdir: pathlib.Path) -> None:
  """Writes the comparison of the evaluations in `eval.compare`."""
  if len(config.eval.compare) < 2:
    raise ValueError(
      'eval.compare must name at least two evaluated run directories, or '
      'folders eval/NAME in them.'
    )
  finished = {}
  for name in config.eval.compare:
    path = pathlib.Path(name)
    label = path.name
    if label in finished:
      raise ValueError(
        f'eval.compare names two folders {label!r}: rename one of them, or the '
        'rows of the table would not be told apart.'
      )
    finished[label] = _read(path)
  _check(finished)
  found = {
    f'{label}/{system}': collect.restored(own.lines)
    for label, systems in finished.items()
    for system, own in systems.items()
  }
  rows = {name: own.row for name, own in found.items()}
  facts = results.facts(found, seed=config.seed)
  facts['comparisons'] = _gains(finished, found, config.seed)
  facts['lengths'] = _lengths(finished, found)
  report.write(
    workdir / 'report.html',
    title='mem_alpha: ' + ', '.join(finished),
    table_rows=rows,
    metrics=(),
    trajectory=None,
    facts=facts,
    predictions={name: own.predictions for name, own in found.items()},
  )
  summary.write(
    workdir / 'summary.json',
    rows,
    **facts,
    compared=list(map(str, config.eval.compare)),
    seed=config.seed,
  )
  print(summary.table(rows))


def _read(path: pathlib.Path) -> dict[str, kept_lib.Finished]:
  """The systems of a folder of evaluations, or of a run directory's eval/."""
  folder = path / 'eval' if (path / 'eval').is_dir() else path
  systems = kept_lib.finished(folder)
  if not systems:
    raise FileNotFoundError(
      f'{path} holds no evaluation: run --mode=evaluate there, or name a run '
      'directory or a folder eval/NAME.'
    )
  return systems


def _check(finished: Mapping[str, Mapping[str, kept_lib.Finished]]) -> None:
  """Refuses what would make a table that says what is not so."""
  every = [
    (f'{label}/{system}', own)
    for label, systems in finished.items()
    for system, own in systems.items()
  ]
  first, one = every[0]
  for name, other in every[1:]:
    if other.settings['tokenizer'] != one.settings['tokenizer']:
      raise ValueError(
        f'{first} and {name} count tokens with different tokenizers, so their '
        'memories cannot be compared: evaluate runs that share one.'
      )
  for place, (first, one) in enumerate(every):
    for name, other in every[place + 1 :]:
      if _data(one) == _data(other) and one.sums != other.sums:
        raise ValueError(
          f'{first} and {name} have the same data settings but not the same '
          'instances: one is of another version of the data, or lacks '
          'instances that its writer failed on. Evaluate both again.'
        )


def _data(own: kept_lib.Finished) -> tuple:
  return own.settings['seed'], own.settings['data'], own.settings['eval']


def _gains(finished, found, seed: int) -> dict[str, dict]:
  """Pairs of one system in two folders, where both were asked the same."""
  labels = list(finished)
  return {
    f'{two}_minus_{one}/{system}': results.gain(
      found[f'{two}/{system}'], found[f'{one}/{system}'], seed=seed
    )
    for place, one in enumerate(labels)
    for two in labels[place + 1 :]
    for system in finished[one].keys() & finished[two].keys()
    if finished[one][system].sums == finished[two][system].sums
  }


def _lengths(finished, found) -> dict[str, list[tuple[float, float]]]:
  """Per system: log2 of the tokens read per instance, and mean score."""
  lines: dict[str, list] = {}
  for label, systems in finished.items():
    for system in systems:
      own = found[f'{label}/{system}']
      tokens = sum(r.chunk_tokens for r in own.records) / len(own.records)
      lines.setdefault(system, []).append((math.log2(tokens), own.row['mean']))
  lines = {system: sorted(points) for system, points in lines.items()}
  longer = any(points[-1][0] > points[0][0] + 0.5 for points in lines.values())
  return lines if longer else {}
