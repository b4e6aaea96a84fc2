"""Every program of a run is compiled once, before its first step.

`ahead` compiles the large ones (sampling, updates) without running them and
plays one episode without a word, which compiles what memories and readers run
on the device. `Counter` tells whether anything was left for later.
"""

import jax
import numpy as np

from mem_alpha import build
from mem_alpha import evaluate
from mem_alpha.grpo import advantage
from mem_alpha.grpo import update
from mem_alpha.rollout import batch as batch_lib

_EVENT = '/jax/core/compile/backend_compile_duration'


class Counter:
  """Programs that XLA compiled (or found in its cache on disk) so far.

  A context: it listens until it is left.
  """

  def __init__(self):
    self.programs: list[str] = []
    self.started = 0  # how many there were before the first step

  def __enter__(self):
    jax.monitoring.register_event_duration_secs_listener(self._hear)
    return self

  def __exit__(self, *_):
    jax.monitoring.unregister_event_duration_listener(self._hear)

  def _hear(self, event: str, seconds: float, **about):
    if event == _EVENT:
      self.programs.append(str(about.get('fun_name', '?')))

  def start(self) -> None:
    """Says that the first step comes now."""
    self.started = len(self.programs)

  def summary(self) -> str:
    """One line for the end of a run."""
    late = self.programs[self.started :]
    text = f'Programs compiled: {self.started} before step 1, {len(late)} after'
    return f'{text}: {", ".join(sorted(set(late)))}.' if late else f'{text}.'


def ahead(parts: evaluate.Parts, params, optimizers) -> None:
  """Compiles what training with these optimizers and evaluation will run."""
  config = parts.config
  rows = config.grpo.instances * config.grpo.rollouts
  instance = parts.instances('train', 1)[0]
  silent = parts.script(lambda *_: [], 'compilation')
  for batch, greedy in ((rows, False), (config.eval.batch, True)):
    parts.agent(params, greedy=greedy).compile(batch)
    parts.runner(batch).run([instance], silent, parts.panel)
  part = _one_turn(config)
  specs = build.warm_update(config), build.policy_update(config)
  for tx, spec in zip(optimizers, specs, strict=True):
    update.compile(
      params, tx.init(params), part, cfg=parts.cfg, spec=spec, tx=tx
    )
  # As many turns as a step has where no instance is shorter than the others.
  turns = rows * len(instance.chunks)
  index_B = np.arange(turns)
  advantage.of_turns(
    np.zeros(turns, np.float32),
    np.ones(turns, np.float32),
    instance_B=index_B,
    rollout_B=index_B,
    chunk_B=index_B,
    by=config.grpo.group,
    std=config.grpo.std,
  )


def _one_turn(config) -> batch_lib.Packed:
  (part,) = batch_lib.pack([[0]], [[0]], shape=build.batch_shape(config), pad=0)
  return part
