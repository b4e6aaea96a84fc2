"""How much of the reading of a training step sampling does not hide.

Rollouts of a tiny model on generated conversations, questions answered by a
server that takes 200 ms. The model's own responses take their time and are then
replaced by a scripted writer's, so that memories hold something and differ from
rollout to rollout. Timed: sampling with a reader that says nothing at once; the
same, read afterwards; the same, read beside it. Not hidden is what the last
takes longer than the first; reading alone is what the second does.

  step/mixed_lengths  instances of 2 to 20 chunks in one batch: what is left to
                      read in the end are the longest, with the most questions
  step/mixed_waves    the same in waves, as training splits them: longest first
  step/waves          instances of 5 chunks, sampled in waves
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time

import jax

from configs import embedded
from experiments.bench_readers import bench_endpoint
from experiments.bench_readers import results
from mem_alpha import evaluate
from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.agent import writer as script
from mem_alpha.data import synthetic
from mem_alpha.rollout import reading
from mem_alpha.rollout import waves
from mem_alpha.rollout import writers


class _Afterwards:
  """The same reader, but nothing is read before all is sampled."""

  overlaps = False

  def __init__(self, reader):
    self.reader = reader

  def __call__(self, memories, queries):
    return self.reader(memories, queries)


def _says_nothing(memories, queries):
  return [[structs.Answer('') for _ in row] for row in queries]


class _Step:
  """The rollouts of a step, with one panel after another."""

  def __init__(self, folder: pathlib.Path):
    self.parts = evaluate.Parts(embedded.get_config(), folder)
    self.params = self.parts.first_params()
    encode = self.parts.tokenizer.encode
    self.count = lambda s: len(encode(s))

  def writer(self):
    key = jax.random.key(0)
    sample = self.parts.agent(self.params, greedy=False, key=key)
    calls = writers.annotated(script.IMPERFECT, show=None)
    play = self.parts.script(calls, 'bench')

    def write(prompts, contexts, chunk):
      sample(prompts, contexts, chunk)
      return play(prompts, contexts, chunk)

    return write

  def seconds(self, groups, panel) -> float:
    """Samples and reads the groups, a wave each."""
    began = time.perf_counter()
    started = []
    for group in groups:
      runner = self.parts.runner(len(group))
      started.append(runner.start(group, self.writer(), panel))
    waves.join([finish() for finish in started])
    return time.perf_counter() - began


def _instances(lengths: list[int]) -> list[structs.Instance]:
  """A conversation per length."""
  return [
    synthetic.instance(synthetic.Spec(chunks=chunks), 'train', 0, i)
    for i, chunks in enumerate(lengths)
  ]


def _told_apart(groups):
  """Copies with ids of their own, so that what is written to them differs."""
  return [
    [
      dataclasses.replace(one, instance_id=f'{one.instance_id}/{w}/{r}')
      for r, one in enumerate(group)
    ]
    for w, group in enumerate(groups)
  ]


def run(args):
  with jax.set_mesh(mesh.make(-1, 1)), tempfile.TemporaryDirectory() as folder:
    step = _Step(pathlib.Path(folder))
    mixed = _instances([2, 4, 6, 8, 10, 12, 15, 20])
    copies = 2 if args.small else 8
    with bench_endpoint.serving() as url:
      for name, instances, rollouts, count in (
        ('step/mixed_lengths', mixed, copies, 1),
        ('step/mixed_waves', mixed, copies, 8),
        ('step/waves', _instances([5] * 16), 4, 8),
      ):
        split = waves.split(instances, rollouts=rollouts, waves=count)
        _measure(name, step, _told_apart(split), url, folder, args)


def _measure(name, step, groups, url, folder, args):
  pairs, steps = [], []
  step.seconds(groups, reading.Panel(_says_nothing))  # compiles
  for r in range(args.runs):
    alone = step.seconds(groups, reading.Panel(_says_nothing))
    times = []
    for order, wrap in ((0, _Afterwards), (1, lambda reader: reader)):
      path = pathlib.Path(folder) / f'{name.replace("/", "_")}_{r}_{order}'
      with bench_endpoint.reading(url, path, step.count) as reader:
        times.append(step.seconds(groups, reading.Panel(wrap(reader))))
    after, beside = times
    pairs.append((max(beside - alone, 1e-3), after - alone))
    steps.append(alone)
  results.add(
    name,
    's of reading that is not hidden',
    pairs,
    peer='reading after the last response',
    larger_is_better=False,
    write=not args.dry,
    sampling_seconds=statistics.median(steps),
    share_not_hidden=statistics.median(a / b for a, b in pairs),
  )
