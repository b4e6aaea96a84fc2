"""How much of the reading of a training step sampling does not hide.

256 rollouts of a tiny model, 8 of each of 32 generated conversations of 2 to 20
chunks, longest first; 64 or 16 are in progress, and a row whose rollout ends
takes the next. Questions are answered by a server that takes 200 ms, 64 at a
time. The model's own responses take their time and are then replaced by a
scripted writer's, so that memories hold something and differ from rollout to
rollout. Not hidden is how long a step waits for answers after its last
response; the peer is all reading done then. Beside it stands how much longer
sampling itself takes with a reader beside it: here both share the cores.
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time

import jax
import numpy as np

from configs import embedded
from experiments.bench_readers import bench_endpoint
from experiments.bench_readers import results
from mem_alpha import evaluate
from mem_alpha import mesh
from mem_alpha import structs
from mem_alpha.agent import writer as script
from mem_alpha.data import synthetic
from mem_alpha.rollout import reading
from mem_alpha.rollout import writers


class _Afterwards:
  """The same reader, but nothing is read before all is sampled."""

  overlaps = False

  def __init__(self, reader):
    self.reader = reader

  def __call__(self, memories, queries):
    return self.reader(memories, queries)


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

    def write(prompts, contexts):
      sample(prompts, contexts)
      return play(prompts, contexts)

    return write

  def seconds(self, instances, rows, reader) -> tuple[float, float]:
    """Of sampling `rows` at a time, and of what is read after that."""
    began = time.perf_counter()
    runner = self.parts.runner(rows)
    finish = runner.start(instances, self.writer(), reading.Panel(reader))
    sampled = time.perf_counter()
    finish()
    return sampled - began, time.perf_counter() - sampled


def _instances(lengths: list[int]) -> list[structs.Instance]:
  """A conversation per length."""
  return [
    synthetic.instance(synthetic.Spec(chunks=chunks), 'train', 0, i)
    for i, chunks in enumerate(lengths)
  ]


def _copies(instances, count: int) -> list[structs.Instance]:
  """Rollouts, longest first; each has an id, so that its writer differs."""
  return [
    dataclasses.replace(one, instance_id=f'{one.instance_id}/{i}/{r}')
    for i, one in enumerate(sorted(instances, key=lambda i: -len(i.chunks)))
    for r in range(count)
  ]


def run(args):
  with jax.set_mesh(mesh.make(-1, 1)), tempfile.TemporaryDirectory() as folder:
    step = _Step(pathlib.Path(folder))
    count = 4 if args.small else 32
    lengths = np.linspace(2, 20, count).round().astype(int).tolist()
    instances = _copies(_instances(lengths), 8)
    with bench_endpoint.serving() as url:
      for part in (4, 16):
        rows = len(instances) // part
        name = f'step/{rows}_at_once'
        if args.at_once in (None, rows):
          _measure(name, step, instances, rows, url, folder, args)


def _measure(name, step, instances, rows, url, folder, args):
  pairs, alone, beside, slower = [], [], [], []
  for r in range(-1, args.runs):  # the first compiles and does not count
    found = []
    for order, wrap in ((0, _Afterwards), (1, lambda reader: reader)):
      path = pathlib.Path(folder) / f'{rows}_{r}_{order}'
      with bench_endpoint.reading(url, path, step.count) as reader:
        found.append(step.seconds(instances, rows, wrap(reader)))
    if r >= 0:
      (sampling, after), (both, left) = found
      pairs.append((left, after))
      alone.append(sampling)
      beside.append(both)
      slower.append(both / sampling - 1)
  results.add(
    name,
    's of reading that is not hidden',
    pairs,
    peer='all reading, after the last response',
    larger_is_better=False,
    write=not args.dry,
    sampling_seconds=statistics.median(alone),
    sampling_slower_by=statistics.median(slower),
    share_of_reading=statistics.median(a / b for a, b in pairs),
    share_of_step=statistics.median(
      left / (sampled + left) for (left, _), sampled in zip(pairs, beside)
    ),
    questions=sum(len(i.questions) for i in instances),
  )
