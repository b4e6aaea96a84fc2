"""Evaluates finished runs on conversations of 1, 4, 16 and 64 times the length.

python experiments/length/run.py runs/s0 runs/s1 -- --config=configs/embedded.py

Flags behind `--` go to every evaluation. The memory may grow with the text, and
what each baseline may hold grows with it; prompts, and so what the agent sees
at a time, do not. Started again, it goes on where it was interrupted.
"""

import argparse
import json
import pathlib
import subprocess
import sys

TIMES = (1, 4, 16, 64)
TOKENS = 315  # five chunks of 63 tokens, the length that is trained on
SYSTEMS = (
  'no_memory',
  'scripted',
  'full_context',
  'rag_top2',
  'overwrite',
  'warm_start',
  'grpo',
)


def command(workdir: pathlib.Path, times: int, test: int, flags: list[str]):
  """One evaluation; fewer instances where each has more questions."""
  seed = json.loads((workdir / 'config.json').read_text())['seed']
  sizes = {
    'memory.tokens': 1024 * times,
    'memory.terms': 1024 * times,
    'memory.rows': 96 * times,
    'baselines.state_tokens': 512,
    'baselines.context_tokens': 512,
    'eval.test': max(4, test // times),
    'eval.batch': min(64, max(4, test // times)),
  }
  return [
    *(sys.executable, '-m', 'mem_alpha.main', '--mode=evaluate'),
    f'--workdir={workdir}',
    f'--config.seed={seed}',
    f'--config.eval.name=length_x{times:02d}',
    f'--config.eval.systems={SYSTEMS}',
    f'--config.data.synthetic.tokens={TOKENS * times}',
    *(f'--config.{key}={value}' for key, value in sizes.items()),
    *flags,
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('workdirs', nargs='+', type=pathlib.Path)
  parser.add_argument('--times', nargs='+', type=int, default=TIMES)
  parser.add_argument('--test', type=int, default=128, help='instances at 1x')
  own, flags = sys.argv[1:], []
  if '--' in own:
    place = own.index('--')
    own, flags = own[:place], own[place + 1 :]
  arguments = parser.parse_args(own)
  for workdir in arguments.workdirs:
    if not (workdir / 'config.json').is_file():
      sys.exit(f'{workdir} is no run: it has no config.json.')
    for times in arguments.times:
      subprocess.run(command(workdir, times, arguments.test, flags), check=True)


if __name__ == '__main__':
  main()
