"""What the warm start learns from: three kinds of turns, one after the other.

A turn is made by copying practice, by a writer that keeps everything, or by the
imperfect scripted writer. Turns are made anew after a restart: they depend on
the seed alone.
"""

from collections.abc import Iterator

from mem_alpha import build
from mem_alpha import evaluate
from mem_alpha.rollout import demonstrations


def phases(
  parts: evaluate.Parts, step: int
) -> Iterator[tuple[str, int, int, demonstrations.Stream]]:
  """(name, first step, step after the last, turns to imitate) in order.

  Phases that are over after `step` steps are left out.
  """
  config = parts.config
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
    if step < first + steps:
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
