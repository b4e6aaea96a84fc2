"""Every program of a run, compiled once, before its first step.

A program that is first needed in the middle of a run would stop it there, on a
pod all of it. So each is called here with the shapes of the run and nothing to
do: prompts that no slot answers, a batch of one chunk, an update whose result
is not computed. `Compilations` counts what XLA compiles, so that a run can say
whether anything was left.
"""

import dataclasses

import jax

from mem_alpha import build
from mem_alpha import checkpoint
from mem_alpha import evaluate
from mem_alpha import learning
from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.grpo import update
from mem_alpha.readers import base
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading

_EVENT = '/jax/core/compile/backend_compile_duration'


class Compilations:
  """How many programs XLA has compiled since this was made."""

  def __init__(self):
    self.count = 0
    jax.monitoring.register_event_duration_secs_listener(self._note)

  def report(self, before: int) -> None:
    """Says how many there were, `before` of them before the first step."""
    if jax.process_index() == 0:
      print(
        f'{before} programs were compiled before the first step of this '
        f'attempt, {self.count - before} later.'
      )

  def close(self) -> None:
    jax.monitoring.unregister_event_duration_listener(self._note)

  def _note(self, event: str, seconds: float, **_) -> None:
    del seconds
    self.count += event == _EVENT


def compile_all(
  parts: evaluate.Parts, state, frozen, *, warm_tx, grpo_tx
) -> None:
  """Compiles what training with this state, and its evaluation, will need."""
  config = parts.config
  grpo_tx.init.trace(state['params']).lower().compile()
  for saved in (state, dict(params=state['params'])):
    checkpoint.compile_sums(saved)
  for greedy in (True, False):  # each with a cache of its own
    _compile_sampling(parts, state['params'], greedy=greedy)
  _compile_episodes(parts)
  learning.compile_advantages(config.grpo, config.data.chunks)
  if config.grpo.kl:
    frozen = {**frozen, 'reference': parts.policy(state['params'])}
  kinds = [(build.policy_update(config), grpo_tx, frozen)]
  if build.warm_steps(config):
    base_only = {k: v for k, v in frozen.items() if k == 'base'}
    kinds.append((build.warm_update(config), warm_tx, base_only))
  part = batch_lib.pack(
    [[1]], [[1]], shape=build.batch_shape(config), pad=parts.tokenizer.pad
  )[0]
  for spec, tx, kept in kinds:
    update.compile_step(
      state['params'],
      state['opt'],
      mesh.put_batch(part),
      cfg=parts.cfg,
      spec=spec,
      tx=tx,
      frozen=kept,
    )


def _sizes(config) -> set[int]:
  """Episodes at a time: in evaluation, and in a training step."""
  return {config.eval.batch, build.episodes_at_once(config)}


def _compile_sampling(parts, params, *, greedy: bool) -> None:
  agent = parts.sampled(params, greedy=greedy)
  agent.engine.compile()
  for size in _sizes(parts.config):
    agent([[]] * size, [None] * size)


def _compile_episodes(parts) -> None:
  instance = parts.instances('train', 1)[0]
  instance = dataclasses.replace(instance, chunks=instance.chunks[:1])
  # What another machine would answer or judge may cost money: it is not asked.
  reader = parts.panel.reader
  if base.overlaps(reader):
    reader = _says_nothing
  for size in _sizes(parts.config):
    rollouts = parts.runner(size).run(
      [instance], _writes_nothing, reading.Panel(reader)
    )
    rollouts.memories.search([['']])  # as credit and losses do


def _writes_nothing(prompts, contexts) -> list[episode.Response]:
  del contexts
  return [episode.Response((), (), True)] * len(prompts)


def _says_nothing(memories, queries) -> list[list[structs.Answer]]:
  return [
    [structs.Answer('') for _ in row]
    for row, _ in zip(queries, memories.search(queries))
  ]


_says_nothing.overlaps = True
