"""The result table of a run: every system on the same test instances.

`python -m mem_alpha.main --mode=evaluate --config=... --workdir=...` makes the
table of a finished run again from its snapshots. Decoding is greedy. Nothing
here is chosen: snapshots were picked on validation data.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable

import jax
from absl import logging

from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import build_model
from mem_alpha import build_panel
from mem_alpha import checkpoint
from mem_alpha import files
from mem_alpha import metrics as metrics_lib
from mem_alpha.agent import tools
from mem_alpha.agent import writer as script
from mem_alpha.evals import report
from mem_alpha.evals import score
from mem_alpha.evals import summary
from mem_alpha.models import lora
from mem_alpha.readers import shared
from mem_alpha.rollout import episode
from mem_alpha.rollout import writers

_merge = jax.jit(lora.merge)


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
    write = writers.Sampled(
      self.cfg,
      self.policy(params),
      jax.random.key(0) if key is None else key,
      sampling=build.sampling(self.config, self.tokenizer, greedy=greedy),
      sizes=build.sampling_sizes(self.config),
      prefix=self.spec.parts.prefix,
    )
    return self.timer.wrap('sample', write)

  def script(self, calls: writers.Script, name: str) -> episode.Writer:
    seed = f'{self.config.seed}/{name}'
    return writers.scripted(calls, self.tokenizer, seed=seed)

  def evaluate(self, instances, writer) -> score.Evaluation:
    runner = self.runner(self.config.eval.batch)
    return score.evaluate(runner, instances, writer, self.panel)


def run(config, workdir: pathlib.Path) -> None:
  """Evaluates the snapshots of a finished training run once more."""
  build.check(config)
  build_panel.check(config)
  if not (workdir / 'checkpoints').is_dir():
    raise FileNotFoundError(
      f'{workdir} has no checkpoints to evaluate: train there first, or '
      'name the --workdir of a finished run.'
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
  like = {'params': parts.first_params()}
  agents = {'untrained': like['params']}
  for system, name in (('warm_start', 'warm_start'), ('grpo', 'best')):
    agents[system] = store.restore(like, name=name).state['params']
  test = parts.instances('test', parts.config.eval.test)
  rows, found = {}, {}
  for system, writer in _systems(parts, agents, test).items():
    logging.info('Evaluating %s on %d test instances.', system, len(test))
    found[system] = parts.evaluate(test, writer)
    rows[system] = found[system].row
  example = trajectory(parts, agents['grpo'])
  if jax.process_index() == 0:
    _write(parts, rows, found, example, seconds)
    print(summary.table(rows))


def _write(parts: Parts, rows, found, example, seconds) -> None:
  """Predictions, report and summary; where several run, one process does."""
  for system, evaluation in found.items():
    for name, lines in (
      (system, evaluation.predictions),
      (f'{system}_memories', evaluation.memories),
      (f'{system}_turns', evaluation.turns),
    ):
      files.write_text(
        parts.workdir / 'eval' / f'{name}.jsonl',
        ''.join(json.dumps(line) + '\n' for line in lines),
      )
  report.write(
    parts.workdir / 'report.html',
    title=f'mem_alpha: {parts.workdir.name}',
    table_rows=rows,
    metrics=metrics_lib.read(parts.workdir / 'metrics.jsonl'),
    trajectory=example,
  )
  summary.write(
    parts.workdir / 'summary.json',
    rows,
    comparisons=_comparisons(found, parts.config.seed),
    test_instances=len(found['grpo'].records),
    test_questions=len(found['grpo'].predictions),
    seed=parts.config.seed,
    seconds=round(seconds(), 1),
  )


def _systems(parts: Parts, agents, test) -> dict[str, episode.Writer]:
  """The rows of the table, in its order."""
  systems = {
    'no_memory': parts.script(lambda *_: [], 'no_memory'),
    'scripted': parts.script(build.teacher(parts.config), 'scripted'),
  }
  if all(instance.notes for instance in test):
    perfect = writers.annotated(script.PERFECT, show=None)
    systems['perfect'] = parts.script(perfect, 'perfect')
  for system, params in agents.items():
    systems[system] = parts.agent(params, greedy=True)
  return systems


def _comparisons(found, seed: int) -> dict[str, dict[str, float]]:
  """GRPO minus each other system, paired by instance, with 95 % intervals."""
  result = {}
  for system, evaluation in found.items():
    if system != 'grpo':
      estimate = summary.difference(
        found['grpo'].records, evaluation.records, seed=seed
      )
      result[f'grpo_minus_{system}'] = dict(vars(estimate))
  return result


def trajectory(parts: Parts, params) -> list[dict]:
  """One validation conversation, chunk by chunk, for the report."""
  instance = parts.instances('validation', 1)[0]
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
        for entry in rollouts.history[turn.chunk][0]
      ],
    )
    for turn in rollouts.turns[0]
  ]


def _describe(call) -> str:
  return tools.render_call(call) if call.action else 'not a call'
