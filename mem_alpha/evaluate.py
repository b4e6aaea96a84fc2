"""The result table of a run: every system on the same test instances.

`python -m mem_alpha.main --mode=evaluate --config=... --workdir=...` makes the
table of a finished run again from its snapshots, or, with `eval.systems`, one
of chosen systems, which needs no training run unless a snapshot is among them.
Decoding is greedy. Nothing here is chosen: snapshots were picked on validation
data. Killed and started again, it goes on with what is missing (evals/kept.py).
"""

import contextlib
import dataclasses
import json
import pathlib
import time
from collections.abc import Callable

import jax
from absl import logging

from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import build_model
from mem_alpha import build_panel
from mem_alpha import build_systems
from mem_alpha import checkpoint
from mem_alpha import files
from mem_alpha import metrics as metrics_lib
from mem_alpha import provenance
from mem_alpha.agent import tools
from mem_alpha.evals import collect
from mem_alpha.evals import kept as kept_lib
from mem_alpha.evals import report
from mem_alpha.evals import results
from mem_alpha.evals import summary
from mem_alpha.models import lora
from mem_alpha.readers import shared
from mem_alpha.rollout import episode
from mem_alpha.rollout import writers

_merge = jax.jit(lora.merge)
_SHOWN = 10  # chunks of one interaction in the report


class Parts:
  """What training and evaluation build alike from a config."""

  def __init__(self, config, workdir: pathlib.Path):
    self.config, self.workdir = config, workdir
    self.tokenizer = build.tokenizer(config, workdir / 'tokenizer')
    self.cfg, self._first_weights = build_model.model(config, self.tokenizer)
    self.base = None  # what adapters are added to, if there are any
    self.timer = metrics_lib.Timer()
    self.spec = build.episode_spec(config, self.tokenizer)
    self.panel = build_panel.panel(config, self.tokenizer, workdir)
    self.reader = shared.by_first(self.panel.reader)
    self._runners: dict[int, episode.Runner] = {}

  def close(self) -> None:
    """Ends what was asked; one file of answers is left."""
    self.panel.close()

  def first_params(self):
    """What learns, as it is before the first step: weights or adapters."""
    weights = self.base or self._first_weights()
    adapters = build_model.adapters(self.config, weights)
    if adapters is None:
      return weights
    self.base = weights
    return adapters

  def policy(self, params):
    """The decoder's parameters, from what learns."""
    return params if self.base is None else _merge(self.base, params)

  def runner(self, batch: int) -> episode.Runner:
    """One per batch size, so that equal shapes are compiled once."""
    if batch not in self._runners:
      self._runners[batch] = episode.Runner(
        self.spec, self.tokenizer, batch=batch, timer=self.timer
      )
    return self._runners[batch]

  def instances(self, split: str, count: int):
    return build_data.instances(self.config, split, count, self.tokenizer)

  def agent(self, params, *, greedy: bool, key=None) -> episode.Writer:
    """The model as a writer; greedy decoding draws nothing from the key."""
    return self.timer.wrap(
      'sample', self.sampled(params, greedy=greedy, key=key)
    )

  def sampled(self, params, *, greedy: bool, key=None) -> writers.Sampled:
    """The same, untimed, with its engine at hand."""
    return writers.Sampled(
      self.cfg,
      self.policy(params),
      jax.random.key(0) if key is None else key,
      sampling=build.sampling(self.config, self.tokenizer, greedy=greedy),
      sizes=build.sampling_sizes(self.config),
      prefix=self.spec.parts.prefix,
    )

  def script(self, calls: writers.Script, name: str) -> episode.Writer:
    seed = f'{self.config.seed}/{name}'
    return writers.scripted(calls, self.tokenizer, seed=seed)

  def written(self, writer: episode.Writer) -> collect.Start:
    """A writer as a system: it fills the memory by tool calls."""
    runner = self.runner(self.config.eval.batch)
    return lambda part: runner.start(part, writer, self.panel)

  def evaluate(
    self,
    instances,
    start: collect.Start,
    kept: kept_lib.Kept | None = None,
    failures: dict[str, str] | None = None,
  ) -> collect.Evaluation:
    return collect.collect(
      start,
      instances,
      batch=self.config.eval.batch,
      tokenizer=self.tokenizer,
      kept=kept,
      failures={} if failures is None else failures,
      failure_limit=self.config.endpoint.failure_limit,
    )


def run(config, workdir: pathlib.Path) -> None:
  """Evaluates the snapshots of a finished run, or chosen systems."""
  build.check(config)
  build_panel.check(config)
  build_systems.check(config)
  systems = config.eval.systems or build_systems.SYSTEMS
  trained = [name for name in systems if name in build_systems.SNAPSHOTS]
  if trained and not (workdir / 'checkpoints').is_dir():
    raise FileNotFoundError(
      f'{workdir} has no checkpoints to evaluate {" and ".join(trained)} from: '
      'train there first, name the --workdir of a finished run, or leave them '
      'out of eval.systems.'
    )
  with (
    contextlib.closing(Parts(config, workdir)) as parts,
    checkpoint.Store(workdir / 'checkpoints') as store,
  ):
    info = store.peek() or {}
    finish(parts, store, seconds=lambda: info.get('seconds', 0.0))


def finish(
  parts: Parts, store: checkpoint.Store, *, seconds: Callable[[], float]
) -> None:
  """Reads the test split, prints the table and writes summary and report.

  `seconds()` is asked last: how long the run took, this evaluation included.
  """
  config, name = parts.config, parts.config.eval.name
  folder = parts.workdir / 'eval' / name if name else parts.workdir / 'eval'
  home = folder if name else parts.workdir
  test = parts.instances('test', config.eval.test)
  found, shown = {}, None  # the report shows an interaction of the agent
  for system in build_systems.names(config, test):
    logging.info('Evaluating %s on %d test instances.', system, len(test))
    params = build_systems.params_of(parts, store, system)
    if shown is None or system == 'grpo':
      shown = params
    kept = kept_lib.Kept(
      folder, system, settings=build_systems.settings(parts, params)
    )
    failures: dict[str, str] = {}
    start = build_systems.start(parts, system, params, kept, failures)
    with _Clock(home / 'timing.json', system):
      found[system] = parts.evaluate(test, start, kept, failures)
  example = None if shown is None else trajectory(parts, shown, test[0])
  if jax.process_index() == 0:
    _write(parts, home, test, found, example, seconds)


def _write(parts: Parts, home, test, found, example, seconds) -> None:
  """Report, summary and table; where several run, one process does."""
  config, name = parts.config, parts.config.eval.name
  if name:  # a run's own table stands beside what made the run
    for file, value in (
      ('config.json', config.to_dict()),
      ('provenance.json', provenance.describe()),
    ):
      files.write_text(home / file, json.dumps(value, indent=2) + '\n')
  rows = {system: evaluation.row for system, evaluation in found.items()}
  facts = results.facts(found, seed=config.seed)
  metrics = parts.workdir / 'metrics.jsonl'
  report.write(
    home / 'report.html',
    title=f'mem_alpha: {parts.workdir.name}' + (f', {name}' if name else ''),
    table_rows=rows,
    metrics=metrics_lib.read(metrics) if metrics.exists() else [],
    trajectory=example,
    facts=facts,
    predictions={s: e.predictions for s, e in found.items()},
  )
  summary.write(
    home / 'summary.json',
    rows,
    comparisons=facts['comparisons'],
    intervals=facts['intervals'],
    losses=facts['losses'],
    costs=facts['costs'],
    tokenizer=parts.tokenizer.name,
    test_instances=len(test),
    test_questions=sum(len(i.questions) for i in test),
    seed=config.seed,
    seconds=round(seconds(), 1),
  )
  print(summary.table(rows))
  for system, evaluation in found.items():
    if evaluation.failed:
      print(
        f'{system}: {len(evaluation.failed)} of {len(test)} instances are left '
        'out, because its writer failed on them.'
      )


class _Clock:
  """Adds the seconds of a block to those of a system in a JSON file.

  What a killed evaluation spent after its last finished system is lost; so is
  nothing else, and no other file depends on time.
  """

  def __init__(self, path: pathlib.Path, system: str):
    self._path, self._system = path, system

  def __enter__(self):
    self._began = time.perf_counter()

  def __exit__(self, kind, *_):
    if jax.process_index() != 0:
      return
    known = json.loads(self._path.read_text()) if self._path.exists() else {}
    spent = time.perf_counter() - self._began
    known[self._system] = round(known.get(self._system, 0.0) + spent, 3)
    files.write_text(self._path, json.dumps(known, indent=2) + '\n')


def trajectory(parts: Parts, params, instance) -> list[dict]:
  """The first chunks of a conversation, one by one, for the report."""
  instance = dataclasses.replace(instance, chunks=instance.chunks[:_SHOWN])
  rollouts = parts.runner(parts.config.eval.batch).run(
    [instance],
    parts.agent(params, greedy=True),
    parts.panel,
    keep_history=True,
  )
  return [
    dict(
      chunk=turn.chunk,
      text=instance.chunks[turn.chunk],
      response=turn.text,
      calls=[
        dict(call=_describe(call), status=status.name)
        for call, status in zip(turn.calls, turn.statuses)
      ],
      memory=[
        f'{entry.kind.name.lower()}: {entry.text}'
        for entry in rollouts.history[0][turn.chunk]
      ],
    )
    for turn in rollouts.turns[0]
  ]


def _describe(call) -> str:
  return tools.render_call(call) if call.action else 'not a call'
