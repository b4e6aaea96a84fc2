"""Rollouts and policy updates of SmolLM2-135M, against torch and tunix on CPU.

python -m third_party.fetch smollm2 models/smollm2
python experiments/bench_model/run.py \
  --gguf=models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf \
  --tunix_python=.venv_tunix/bin/python

All sides read the same float32 weights (exported from the GGUF file) and the
same token ids, in processes of their own that take turns; compilation and
warm-up are not counted. Appends to results.jsonl, one line per figure.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import worker

from mem_alpha.models import export
from mem_alpha.models import gguf

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / 'results.jsonl'


def make_work(args) -> dict:
  """Token ids of both chunks and of the turns to learn from."""
  rng = np.random.default_rng(0)

  def draw(count):
    return rng.integers(3, args.vocab, count).tolist()

  rest = args.prompt - args.constant
  constant = draw(args.constant)
  groups = [constant + draw(rest) for _ in range(args.instances)]
  rows = args.instances * args.rollouts
  prompt = draw(args.prompt)
  return {
    'rows': rows,
    'prompt_tokens': args.prompt,
    'new_tokens': args.new,
    'constant': constant,
    'micro_rows': args.micro_rows,
    # A group's prompts are the same until its memories differ.
    'first_chunk': [p for p in groups for _ in range(args.rollouts)],
    'later_chunk': [constant + draw(rest) for _ in range(rows)],
    'turns': [[draw(args.prompt), draw(args.new)] for _ in range(args.turns)],
    'turns_shared': [[prompt, draw(args.new)] for _ in range(args.turns)],
  }


class Log:
  """Appends figures; `ratio` is ours against the peer, larger is better."""

  def __init__(self, args):
    commit = ['git', 'rev-parse', '--short', 'HEAD']
    self.shared = {
      'runs': args.runs,
      'commit': subprocess.run(
        commit, capture_output=True, text=True, cwd=HERE, check=False
      ).stdout.strip(),
      'machine': f'{_processor()}, {os.cpu_count()} cores',
      'command': ' '.join(['python', *sys.argv]),
    }

  def write(self, name, value, unit, *, peer=None, peer_value=None, ratio=None):
    line = dict(
      name=name,
      value=value,
      unit=unit,
      peer=peer,
      peer_value=peer_value,
      ratio=ratio,
      **self.shared,
    )
    print(json.dumps({k: line[k] for k in list(line)[:6]}), flush=True)
    with RESULTS.open('a', encoding='utf-8') as file:
      file.write(json.dumps(line) + '\n')


def compare(sides, runs, do, **arguments):
  """Tokens per second of each side's runs, the sides taking turns."""
  for side in sides.values():
    side.ask(do, **arguments)  # compiles and warms up
  speeds = {name: [] for name in sides}
  for _ in range(runs):
    for name, side in sides.items():
      answer = side.ask(do, **arguments)
      speeds[name].append(answer['tokens'] / answer['seconds'])
      print(do, arguments, name, answer, flush=True)
  return speeds


def rollouts(args, log, places):
  sides = {
    'mem_alpha': worker.Worker(sys.executable, HERE / 'ours.py', *places)
  }
  sides['transformers generate'] = worker.Worker(
    sys.executable, HERE / 'torch_peer.py', *places
  )
  if args.tunix_python:
    sides['google-tunix Sampler'] = worker.Worker(
      args.tunix_python, HERE / 'tunix_peer.py', *places
    )
  for chunk in ('first_chunk', 'later_chunk'):
    speeds = compare(sides, args.runs, 'rollout', chunk=chunk)
    ours = speeds.pop('mem_alpha')
    best = max(speeds, key=lambda name: statistics.median(speeds[name]))
    for name, theirs in speeds.items():
      suffix = '' if name == best else f' ({name})'
      log.write(
        f'rollout/{chunk}{suffix}',
        statistics.median(ours),
        'response tokens/s',
        peer=name,
        peer_value=statistics.median(theirs),
        ratio=statistics.median(a / b for a, b in zip(ours, theirs)),
      )
  for side in sides.values():
    side.close()


def updates(args, log, places):
  """Both sides in new processes, so that peak memory is that of updates."""
  sides = {
    'mem_alpha': worker.Worker(sys.executable, HERE / 'ours.py', *places),
    'torch': worker.Worker(sys.executable, HERE / 'torch_peer.py', *places),
  }
  speeds = compare(sides, args.runs, 'update', shared=False)
  ours, theirs = speeds['mem_alpha'], speeds['torch']
  log.write(
    'update/torch',
    statistics.median(ours),
    'tokens/s',
    peer='torch',
    peer_value=statistics.median(theirs),
    ratio=statistics.median(a / b for a, b in zip(ours, theirs)),
  )
  peaks = {name: side.ask('peak') for name, side in sides.items()}
  memory = {name: answer['peak_gb'] for name, answer in peaks.items()}
  log.write(
    'update/peak_memory',
    memory['mem_alpha'],
    'GiB',
    peer='torch',
    peer_value=memory['torch'],
    ratio=memory['torch'] / memory['mem_alpha'],
  )
  # 6 FLOPs per parameter and token; the head counts at response tokens only.
  share = args.new / (args.prompt + args.new)
  flops = 6 * (args.body_parameters + share * args.head_parameters)
  best = peaks['mem_alpha']['flops']
  log.write('machine/matmul_2048', best / 1e9, 'GFLOP/s')
  log.write(
    'update/share_of_matmul_peak', statistics.median(ours) * flops / best, ''
  )
  for side in sides.values():
    side.close()


def _processor():
  """The processor's name, where the system tells it."""
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    for line in info.read_text().splitlines():
      if line.startswith('model name'):
        return line.split(':')[1].strip()
  return platform.machine()


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--gguf', required=True)
  parser.add_argument('--tunix_python', help='of an environment with tunix')
  parser.add_argument('--only', choices=('rollouts', 'updates'))
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument('--instances', type=int, default=8)
  parser.add_argument('--rollouts', type=int, default=8)
  parser.add_argument('--prompt', type=int, default=512)
  parser.add_argument('--constant', type=int, default=256)
  parser.add_argument('--new', type=int, default=64)
  parser.add_argument('--turns', type=int, default=8, help='of an update')
  parser.add_argument('--micro_rows', type=int, default=4)
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    model = pathlib.Path(folder) / 'model'
    cfg, params, tokenizer = gguf.load(args.gguf)
    export.save(model, cfg, params, tokenizer)
    args.vocab = cfg.vocab_size
    args.head_parameters = params['embed'].size
    args.body_parameters = sum(x.size for x in params['blocks'].values())
    del params
    work = pathlib.Path(folder) / 'work.json'
    work.write_text(json.dumps(make_work(args)))
    log = Log(args)
    if args.only != 'updates':
      rollouts(args, log, (str(model), str(work)))
    if args.only != 'rollouts':
      updates(args, log, (str(model), str(work)))


if __name__ == '__main__':
  main()
