"""Training, from an empty work directory to the result table.

1. Tokenizer and model: trained here, or loaded. Programs are compiled.
2. Warm start: supervised steps on copying, on a writer that keeps everything,
   and on the imperfect scripted writer, which is what the agent starts from.
3. GRPO: draw instances, roll out, reward, one or more policy updates.
   Validation picks the snapshot called `best`.
4. The test split is read, once, by the table at the end.

A run that was killed continues from its last checkpoint when it is started
again with the same command, and ends with the same bits as one that was not:
every random draw is derived from (seed, step), and the metrics file is cut back
to where it was when the checkpoint was made. SIGTERM, which announces that the
machine is taken away, saves a checkpoint and ends the run with status 0.

Where several processes share the devices, all of them run this same loop on the
same instances; arrays are global. Readers are asked once, by turns, and only
process 0 writes files.
"""

import contextlib
import json
import pathlib
import sys
import time

import jax
import numpy as np
import tqdm
from absl import logging

from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import build_panel
from mem_alpha import build_systems
from mem_alpha import checkpoint
from mem_alpha import evaluate
from mem_alpha import guard
from mem_alpha import learning
from mem_alpha import mesh
from mem_alpha import metrics as metrics_lib
from mem_alpha import rehearsal
from mem_alpha import turns as turns_lib
from mem_alpha import warm
from mem_alpha import workdir as workdir_lib
from mem_alpha.evals import credit
from mem_alpha.evals import score
from mem_alpha.grpo import update
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import episode


def run(config, workdir: pathlib.Path) -> None:
  """Trains, or goes on training, in `workdir`."""
  began = time.perf_counter()
  build.check(config)
  build_panel.check(config)
  build_systems.check(config)
  workdir_lib.keep_config(config.to_dict(), workdir)
  checkpoints = workdir / 'checkpoints'
  with (
    guard.Preemption() as preemption,
    contextlib.closing(rehearsal.Compilations()) as compiled,
    contextlib.closing(evaluate.Parts(config, workdir)) as parts,
    checkpoint.Store(checkpoints, keep=config.checkpoint.keep) as store,
  ):
    trainer = _Trainer(parts, store, began, preemption)
    try:
      trainer.rehearse()
      before = compiled.count
      trainer.warm_start()
      trainer.grpo()
      trainer.log.close()
      store.wait()
      with preemption.interruptible():
        evaluate.finish(parts, store, seconds=lambda: trainer.seconds)
      compiled.report(before)
    except guard.Preempted:
      trainer.save_now()
      store.wait()
      logging.warning('Stopped at step %d by SIGTERM.', trainer.step)
      sys.exit(0)


class _Trainer:
  """The state of a run, and the loop that advances it."""

  def __init__(
    self,
    parts: evaluate.Parts,
    store: checkpoint.Store,
    began: float,
    preemption: guard.Preemption,
  ):
    self.parts, self.config, self.store = parts, parts.config, store
    self.preemption = preemption
    self.began = began  # of this attempt, by the performance counter
    self.timer = parts.timer
    self.frozen = {}  # what updates read besides what learns
    self.key = jax.random.key(self.config.seed)
    self.warm_tx, self.grpo_tx = build.optimizers(self.config)
    self.warm_steps = build.warm_steps(self.config)
    self.steps = self.warm_steps + self.config.grpo.steps
    self._start()

  def _start(self):
    """Newest checkpoint, or step 0."""
    params = self.parts.first_params()
    self.state = dict(params=params, opt=self.warm_tx.init(params))
    if self.parts.base is not None:
      self.frozen['base'] = self.parts.base
    restored = self.store.restore(self.state)
    self.step, self.best, self.before, position = 0, None, 0.0, 0
    self.recorded = 0  # step that metrics and state agree on
    if restored:
      workdir_lib.check_config(restored.info['config'], self.config.to_dict())
      self.recorded = restored.step
      self.state, self.step = restored.state, restored.step
      position = restored.info['metrics']
      self.best, self.before = restored.info['best'], restored.info['seconds']
      logging.info('Resuming after step %d of %d.', self.step, self.steps)
    path = self.parts.workdir / 'metrics.jsonl'
    self.log = metrics_lib.Writer(path, position=position)
    self.bar = tqdm.tqdm(
      total=self.steps,
      initial=self.step,
      disable=not self.config.log.progress or jax.process_index() != 0,
      dynamic_ncols=True,
    )

  def rehearse(self) -> None:
    """Compiles what is to come; a run that has ended needs little of it."""
    if self.step == self.steps:
      return
    rehearsal.compile_all(
      self.parts,
      self.state,
      self.frozen,
      warm_tx=self.warm_tx,
      grpo_tx=self.grpo_tx,
    )
    self.timer.pop()  # no part of the first step

  @property
  def seconds(self) -> float:
    """Wall time of the run, that of killed attempts up to their checkpoint."""
    return self.before + time.perf_counter() - self.began

  # ---------------------------------------------------------- warm start

  def warm_start(self):
    """Supervised steps, then the snapshot that GRPO starts from."""
    if self.step == 0:
      untrained = {f'validation/{k}': v for k, v in self._validate().items()}
      self.log.write(0, {'phase': 'untrained', **untrained})
    if self.step < self.warm_steps:
      for phase, first, last, turns in warm.phases(self.parts, self.step):
        while first <= self.step < last:
          self._warm_step(phase, turns.batch(self.step - first))
    if self.best is None:  # not resumed from a later step
      # Optimiser moments of another loss would only disturb the first steps.
      self.state['opt'] = self.grpo_tx.init(self.state['params'])
      figures = self._validate()
      self.best = self._selection(figures)
      # GRPO has to beat where it starts from, or the start is what is kept.
      for name in ('warm_start', 'best'):
        self.store.snapshot(
          name, self.step, dict(params=self.state['params']), {}
        )
      self._record('warm_start', figures, {})

  def _warm_step(self, phase: str, part: batch_lib.Packed):
    figures = self._update([part], self.warm_tx, build.warm_update(self.config))
    self.step += 1
    self.bar.update()
    self.bar.set_postfix(
      loss=f'{figures.get("loss", np.nan):.3f}', refresh=False
    )
    if self.step < self.warm_steps:  # the last one is recorded with more
      self.log.write(self.step, {'phase': phase, **figures})
      self.recorded = self.step
      if self.step % self.config.checkpoint.warm_every == 0:
        self._save()
      self.preemption.check()

  # ---------------------------------------------------------------- GRPO

  def grpo(self):
    """Policy steps until the last one."""
    config = self.config
    train = self.parts.instances('train', config.data.train_instances)
    data = build_data.order(config, train, self.parts.tokenizer)
    if config.grpo.kl:
      start = self.store.restore(
        {'params': self.state['params']}, name='warm_start'
      )
      self.frozen['reference'] = self.parts.policy(start.state['params'])
    while self.step < self.steps:
      done = self.step - self.warm_steps
      figures = self._grpo_step(self._draw(data, done))
      self.step += 1
      self.bar.update()
      self.bar.set_postfix(
        reward=f'{figures.get("reward/total", np.nan):.3f}',
        answers=f'{figures.get("reward/answer", np.nan):.3f}',
        refresh=False,
      )
      validated = None
      if (done + 1) % config.eval.every == 0 or self.step == self.steps:
        with self.timer.phase('validate', whole=True):
          validated = self._validate()
        if self._selection(validated) > self.best:
          self.best = self._selection(validated)
          self.store.snapshot(
            'best', self.step, dict(params=self.state['params']), {}
          )
      self._record('grpo', validated, figures)

  def _position(self, done: int) -> int:
    """Instances read before a step; the warm start has seen the first."""
    return self.config.warm.instances + done * self.config.grpo.instances

  def _draw(self, data, done: int) -> list:
    """Instances of a step: each process prepares a share, and all get all."""
    own = data.batch(
      self._position(done),
      self.config.grpo.instances,
      process=jax.process_index(),
      processes=jax.process_count(),
    )
    return [instance for share in mesh.share(own) for instance in share]

  def _grpo_step(self, instances) -> dict[str, float]:
    config, parts = self.config, self.parts
    rollouts = self._rollouts(instances)
    with self.timer.phase('reward'):
      turns, rewards = score.rewards(
        rollouts, build.weights(config), build_panel.rules(config)
      )
    credits = [[0.0] * len(turn.calls) for turn in turns]
    if config.grpo.evidence:
      with self.timer.phase('credit'):
        credits = credit.of_calls(
          rollouts,
          parts.reader,
          price=config.reward.token_price,
          fault=config.grpo.fault,
        )
    adv_B = learning.of_turns(config.grpo, turns, rewards, self._shuffle())
    token_advs = learning.of_tokens(
      config.grpo, turns, adv_B, credits, self._shuffle()
    )
    learns = learning.trained(config.grpo, turns, adv_B, token_advs)
    with self.timer.phase('update'):
      figures = self._policy_updates(turns, token_advs, learns)
    if jax.process_index() == 0:
      turns_lib.write(
        parts.workdir / 'turns' / f'step_{self.step + 1:08d}.jsonl',
        rollouts,
        turns,
        rewards.total_B,
        adv_B,
        credits,
        per_instance=config.grpo.rollouts,
        shown=config.log.turns,
      )
    shares = {n: v for n, v in rewards.means().items() if np.isfinite(v)}
    shares['reward/evidence'] = float(np.mean([sum(c) for c in credits]))
    return {**shares, **score.rates(rollouts), **figures}

  def _rollouts(self, instances) -> episode.Rollouts:
    """Long ones first: what ends last, and is read last, is then short."""
    config, parts = self.config, self.parts
    ordered = sorted(instances, key=lambda instance: -len(instance.chunks))
    key = jax.random.fold_in(self.key, self.step + 1)
    with self.preemption.interruptible():
      with self.timer.phase('rollout'):
        finish = parts.runner(build.episodes_at_once(config)).start(
          [i for i in ordered for _ in range(config.grpo.rollouts)],
          parts.agent(self.state['params'], greedy=False, key=key),
          parts.panel,
        )
      with self.timer.phase('read'):  # what sampling did not hide
        return finish()

  def _shuffle(self):
    """Random order for the control that destroys the credit, else None."""
    if not self.config.grpo.shuffle_advantages:
      return None
    return np.random.default_rng([self.config.seed, self.step])

  def _policy_updates(self, turns, token_advs, learns) -> dict[str, float]:
    """`grpo.updates` optimiser steps, each on its own part of the turns."""
    config = self.config
    rng = np.random.default_rng([self.config.seed, self.step, 1])
    order = learns[rng.permutation(len(learns))]
    collected: list[dict[str, float]] = []
    for u in range(config.grpo.updates):
      chosen = order[u :: config.grpo.updates]
      if not len(chosen):  # nothing to learn from
        continue
      parts = batch_lib.pack(
        [turns[t].prompt for t in chosen],
        [turns[t].response.tokens for t in chosen],
        shape=build.batch_shape(config),
        pad=self.parts.tokenizer.pad,
        logps=[turns[t].response.logp for t in chosen],
        advantages=[token_advs[t] for t in chosen],
      )
      collected.append(
        self._update(parts, self.grpo_tx, build.policy_update(config))
      )
    result = {}
    if config.grpo.drop_equal:
      result['dropped'] = 1 - len(learns) / len(turns)
    for name in {name: None for figures in collected for name in figures}:
      values = [figures[name] for figures in collected if name in figures]
      if name.startswith('gap/'):  # later, policy and sampler differ
        values = values[:1]
      result[name] = (max if name.endswith('/max') else np.mean)(values)
    return result

  # --------------------------------------------------------------- shared

  def _update(self, parts, tx, spec) -> dict[str, float]:
    """One optimiser step on some micro-batches."""
    params, opt, figures = update.step(
      self.state['params'],
      self.state['opt'],
      parts,
      cfg=self.parts.cfg,
      spec=spec,
      tx=tx,
      frozen=self.frozen,
    )
    self.state = dict(params=params, opt=opt)
    filled = np.mean([(part.segment_RL > 0).mean() for part in parts])
    figures['padding'] = 1 - filled
    figures = {name: float(value) for name, value in figures.items()}
    finite = figures.pop('finite')
    mode = self.config.guard.non_finite
    if not finite:
      folder = self.parts.workdir / 'not_finite'
      figures = guard.not_finite(folder, self.step + 1, parts, figures, mode)
    if mode == 'skip':  # else no run goes past one
      figures['skipped'] = 1 - finite
    return figures

  def _validate(self) -> dict[str, float]:
    config, parts = self.config, self.parts
    writer = parts.agent(self.state['params'], greedy=True)
    instances = parts.instances('validation', config.eval.validation)
    row = parts.evaluate(instances, parts.written(writer)).row
    return {name: value for name, value in row.items() if np.isfinite(value)}

  def _selection(self, figures) -> float:
    """What validation maximises: answers, less the price of the memory."""
    return (
      figures['mean']
      - self.config.reward.token_price * figures['memory_tokens']
    )

  def _record(self, phase, validated, figures):
    """One line for the step, then its checkpoint if one is due."""
    extra = {f'validation/{k}': v for k, v in (validated or {}).items()}
    self.log.write(
      self.step, {'phase': phase, **figures, **extra, **self.timer.pop()}
    )
    self.recorded = self.step
    if self.step % self.config.checkpoint.every == 0 or phase == 'warm_start':
      self._save()

  def save_now(self):
    """Saves what there is, unless it is saved already or half recorded."""
    self.store.wait()  # for one that is under way
    if self.step == self.recorded > (self.store.latest or 0):
      self._save()

  def _save(self):
    done = max(self.step - self.warm_steps, 0)
    info = dict(
      metrics=self.log.position,
      best=self.best,
      seconds=self.seconds,
      position=self._position(done),
      seed=self.config.seed,
      config=json.loads(json.dumps(self.config.to_dict())),
    )
    with self.timer.phase('save'):
      self.store.save(self.step, self.state, info)
