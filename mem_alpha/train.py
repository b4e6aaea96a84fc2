"""Training, from an empty work directory to the result table.

1. Tokenizer and model: trained here, or loaded.
2. Warm start: supervised steps on copying, on a writer that keeps everything,
   and on the imperfect scripted writer, which is what the agent starts from.
3. GRPO: draw instances, roll out, reward, one or more policy updates.
   Validation picks the snapshot called `best`.
4. The test split is read, once, by the table at the end.

A run that was killed continues from its last checkpoint when it is started
again with the same command, and ends with the same bits as one that was not:
every draw is derived from (seed, step), and the metrics file is cut back.
"""

import contextlib
import json
import pathlib
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
from mem_alpha import files
from mem_alpha import metrics as metrics_lib
from mem_alpha import provenance
from mem_alpha import turns as turns_lib
from mem_alpha.evals import credit
from mem_alpha.evals import score
from mem_alpha.grpo import advantage
from mem_alpha.grpo import update
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import demonstrations
from mem_alpha.rollout import episode
from mem_alpha.rollout import waves

# Settings that a resumed run may change, because they change no result.
_MAY_DIFFER = ('log', 'checkpoint', 'baselines', 'eval.systems', 'eval.name')
_MAY_DIFFER += ('eval.compare',)


def run(config, workdir: pathlib.Path) -> None:
  """Trains, or goes on training, in `workdir`."""
  began = time.perf_counter()
  build.check(config)
  build_panel.check(config)
  build_systems.check(config)
  _keep_config(config, workdir)
  checkpoints = workdir / 'checkpoints'
  with (
    contextlib.closing(evaluate.Parts(config, workdir)) as parts,
    checkpoint.Store(checkpoints, keep=config.checkpoint.keep) as store,
  ):
    trainer = _Trainer(parts, store, began)
    trainer.warm_start()
    trainer.grpo()
    store.wait()
    evaluate.finish(parts, store, seconds=lambda: trainer.seconds)


class _Trainer:
  """The state of a run, and the loop that advances it."""

  def __init__(
    self, parts: evaluate.Parts, store: checkpoint.Store, began: float
  ):
    self.parts, self.config, self.store = parts, parts.config, store
    self.began = began  # of this attempt, by the performance counter
    self.timer = metrics_lib.Timer()
    self.key = jax.random.key(self.config.seed)
    self.warm_tx, self.grpo_tx = build.optimizers(self.config)
    self.warm_steps = build.warm_steps(self.config)
    self.steps = self.warm_steps + self.config.grpo.steps
    self._start()

  def _start(self):
    """Newest checkpoint, or step 0."""
    params = self.parts.first_params()
    self.state = dict(params=params, opt=self.warm_tx.init(params))
    restored = self.store.restore(self.state)
    self.step, self.best, self.before, position = 0, None, 0.0, 0
    if restored:
      self.state, self.step = restored.state, restored.step
      position = restored.info['metrics']
      self.best, self.before = restored.info['best'], restored.info['seconds']
      logging.info('Resuming after step %d of %d.', self.step, self.steps)
    path = self.parts.workdir / 'metrics.jsonl'
    self.log = metrics_lib.Writer(path, position=position)
    self.bar = tqdm.tqdm(
      total=self.steps,
      initial=self.step,
      disable=not self.config.log.progress,
      dynamic_ncols=True,
    )

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
      for phase, first, last, turns in self._phases():
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

  def _phases(self):
    """(name, first step, step after the last, turns to imitate) in order.

    Turns are made anew after a restart: they depend on the seed alone.
    """
    config, parts = self.config, self.parts
    train = parts.instances('train', config.warm.instances)[:]  # made once
    chunks = [chunk for instance in train for chunk in instance.chunks]

    def copies():
      return demonstrations.copies(
        chunks,
        parts.tokenizer,
        parts.spec.parts,
        count=config.warm.copies,
        sentences=config.warm.copy_sentences,
        prompt_tokens=config.warm.copy_prompt_tokens,
        max_new_tokens=config.sampling.max_new_tokens,
        seed=config.seed,
      )

    def recorded(writer):
      return lambda: demonstrations.record(
        parts.runner(config.eval.batch),
        train,
        parts.script(writer, 'warm'),
        max_new_tokens=config.sampling.max_new_tokens,
      )

    first = 0
    for phase, steps, make in (
      ('copy', config.warm.copy_steps, copies),
      ('keep_all', config.warm.keep_steps, recorded(build.keeper(config))),
      ('imitate', config.warm.steps, recorded(build.teacher(config))),
    ):
      if self.step < first + steps:
        yield (
          phase,
          first,
          first + steps,
          demonstrations.Stream(
            make(),
            shape=build.batch_shape(config),
            pad=parts.tokenizer.pad,
            seed=config.seed,
          ),
        )
      first += steps

  def _warm_step(self, phase: str, part: batch_lib.Packed):
    figures = self._update([part], self.warm_tx, build.warm_update(self.config))
    self.step += 1
    self.bar.update()
    self.bar.set_postfix(loss=f'{figures["loss"]:.3f}', refresh=False)
    if self.step < self.warm_steps:  # the last one is recorded with more
      self.log.write(self.step, {'phase': phase, **figures})
      if self.step % self.config.checkpoint.warm_every == 0:
        self._save()

  # ---------------------------------------------------------------- GRPO

  def grpo(self):
    """Policy steps until the last one."""
    config = self.config
    train = self.parts.instances('train', config.data.train_instances)
    data = build_data.order(config, train, self.parts.tokenizer)
    while self.step < self.steps:
      done = self.step - self.warm_steps
      # The warm start has seen the first instances already.
      position = config.warm.instances + done * config.grpo.instances
      figures = self._grpo_step(data.batch(position, config.grpo.instances))
      self.step += 1
      self.bar.update()
      self.bar.set_postfix(
        reward=f'{figures.get("reward/total", np.nan):.3f}',
        answers=f'{figures.get("reward/answer", np.nan):.3f}',
        refresh=False,
      )
      validated = None
      if (done + 1) % config.eval.every == 0 or self.step == self.steps:
        with self.timer.phase('validate'):
          validated = self._validate()
        if self._selection(validated) > self.best:
          self.best = self._selection(validated)
          self.store.snapshot(
            'best', self.step, dict(params=self.state['params']), {}
          )
      self._record('grpo', validated, figures)

  def _grpo_step(self, instances) -> dict[str, float]:
    config, parts = self.config, self.parts
    rollouts = self._rollouts(instances)
    turns, rewards = score.rewards(
      rollouts, build.weights(config), build_panel.rules(config)
    )
    credits = [[0.0] * len(turn.calls) for turn in turns]
    if config.grpo.evidence:
      with self.timer.phase('credit'):
        credits = credit.of_calls(
          rollouts,
          parts.panel.reader,
          price=config.reward.token_price,
          fault=config.grpo.fault,
        )
    adv_B = self._advantages(turns, rewards)
    token_advs = self._token_advantages(turns, adv_B, credits)
    with self.timer.phase('update'):
      figures = self._policy_updates(turns, token_advs)
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
    """Samples in waves: one is read while the next is sampled."""
    g, parts = self.config.grpo, self.parts
    group = [i for i in instances for _ in range(g.rollouts)]
    size = len(group) // g.waves
    key = jax.random.fold_in(self.key, self.step + 1)
    started = []
    with self.timer.phase('rollout'):
      for wave in range(g.waves):
        own = key if g.waves == 1 else jax.random.fold_in(key, wave)
        started.append(
          parts.runner(size).start(
            group[wave * size : (wave + 1) * size],
            parts.agent(self.state['params'], greedy=False, key=own),
            parts.panel,
          )
        )
    with self.timer.phase('read'):  # what sampling did not hide
      return waves.join([finish() for finish in started])

  def _advantages(self, turns, rewards) -> np.ndarray:
    """Group-relative advantages; 0 for turns that cannot be rewarded."""
    g = self.config.grpo
    row_B = np.array([turn.row for turn in turns])
    return self._shuffled(
      np.asarray(
        advantage.of_turns(
          np.nan_to_num(rewards.total_B).astype(np.float32),
          rewards.usable_B.astype(np.float32),
          instance_B=row_B // g.rollouts,
          rollout_B=row_B % g.rollouts,
          chunk_B=np.array([turn.chunk for turn in turns]),
          by=g.group,
          std=g.std,
        )
      )
    )

  def _token_advantages(self, turns, adv_B, credits) -> list[np.ndarray]:
    """That of its turn for each token, and of its decision on top of it."""
    g = self.config.grpo
    credit_U, group_U, units = credit.decisions(
      turns, credits, rollouts=g.rollouts, fault=g.fault
    )
    adv_U = advantage.of_decisions(credit_U, group_U)
    adv_U = g.evidence * self._shuffled(adv_U)
    return [adv + adv_U[unit_N] for adv, unit_N in zip(adv_B, units)]

  def _shuffled(self, values: np.ndarray) -> np.ndarray:
    """The values; in random order in the control that destroys the credit."""
    if not self.config.grpo.shuffle_advantages:
      return values
    rng = np.random.default_rng([self.config.seed, self.step])
    return rng.permutation(values)

  def _policy_updates(self, turns, token_advs) -> dict[str, float]:
    """`grpo.updates` optimiser steps, each on its own part of the turns."""
    config = self.config
    rng = np.random.default_rng([self.config.seed, self.step, 1])
    order = rng.permutation(len(turns))
    collected: list[dict[str, float]] = []
    for u in range(config.grpo.updates):
      chosen = order[u :: config.grpo.updates]
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
    figures = {
      name: (max if name.endswith('/max') else np.mean)(
        [figures[name] for figures in collected]
      )
      for name in collected[0]
    }
    # Later updates differ from the sampler because they are later.
    first = {k: v for k, v in collected[0].items() if k.startswith('gap/')}
    return figures | first

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
    )
    self.state = dict(params=params, opt=opt)
    filled = np.mean([(part.segment_RL > 0).mean() for part in parts])
    figures['padding'] = 1 - filled
    return {name: float(value) for name, value in figures.items()}

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
    if self.step % self.config.checkpoint.every == 0 or phase == 'warm_start':
      self._save()

  def _save(self):
    info = dict(metrics=self.log.position, best=self.best, seconds=self.seconds)
    self.store.save(self.step, self.state, info)


def _keep_config(config, workdir: pathlib.Path) -> None:
  """Writes config.json, or refuses to go on under another config."""
  path = workdir / 'config.json'
  current = config.to_dict()
  if path.exists():
    saved = files.read_json(path, what='The config of the run')
    checkpoint.require_same_config(saved, current, may_differ=_MAY_DIFFER)
  else:
    made = dict(provenance=provenance.describe(), config=current)
    for name, value in made.items():
      text = json.dumps(value, indent=2) + '\n'
      files.write_text(workdir / f'{name}.json', text)
