"""What the warm start learns from: three kinds of turns, one after the other.

A turn is made by copying practice, by a writer that keeps everything, or by the
imperfect scripted writer; in place of the last, a file may hold what another
model said of the same instances (`warm.turns_file`). Turns are made anew after
a restart: they depend on the seed alone.
"""

from collections.abc import Iterator

from mem_alpha import build
from mem_alpha import evaluate
from mem_alpha.rollout import demonstrations
from mem_alpha.rollout import record
from mem_alpha.rollout import writers


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

  def played(instances, writer):
    return demonstrations.record(
      parts.runner(config.eval.batch),
      instances,
      writer,
      max_new_tokens=config.sampling.max_new_tokens,
    )

  def scripted(script):
    return lambda: played(train, parts.script(script, 'warm'))

  def from_file():
    said = record.read(config.warm.turns_file)
    whole = [
      instance
      for instance in train
      if all(
        (instance.instance_id, c) in said for c in range(len(instance.chunks))
      )
    ]
    if not whole:
      raise ValueError(
        f'warm.turns_file={config.warm.turns_file!r} has turns of all chunks '
        'of none of the training instances: record them with the same data.* '
        'and seed.'
      )
    return played(whole, writers.recorded(said, parts.tokenizer))

  imitated = scripted(build.teacher(config))
  if config.warm.turns_file:
    imitated = from_file

  first = 0
  for phase, steps, make in (
    ('copy', config.warm.copy_steps, copies),
    ('keep_all', config.warm.keep_steps, scripted(build.keeper(config))),
    ('imitate', config.warm.steps, imitated),
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
