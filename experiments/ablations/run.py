"""Trains embedded agents with one setting changed each.

python -m experiments.ablations.run WORKDIR [--only NAME …] [--seeds 0 1 2]

Each run takes about as long as the embedded tier. Started again, it goes on.
"""

import argparse
import pathlib
import subprocess
import sys

# (beta, gamma): configs/embedded.py has (.2, .3).
WEIGHTS = ((0.2, 0.3), (0.0, 0.3), (0.2, 0.0), (0.05, 0.1), (0.4, 0.3))
RUNS = {
  f'beta_{beta}_gamma_{gamma}': {
    'reward.compression': beta,
    'reward.content': gamma,
  }
  for beta, gamma in WEIGHTS
} | {
  'no_core': {'memory.core': False},
  'no_semantic': {'memory.semantic': False},
  'no_episodic': {'memory.episodic': False},
  'no_evidence': {'grpo.evidence': 0.0},
}


def command(workdir: pathlib.Path, name: str, seed: int) -> list[str]:
  settings = {'seed': seed, 'log.progress': False, **RUNS[name]}
  return [
    *(sys.executable, '-m', 'mem_alpha.main', '--config=configs/embedded.py'),
    f'--workdir={workdir / name / f"s{seed}"}',
    *(f'--config.{key}={value}' for key, value in settings.items()),
  ]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('workdir', type=pathlib.Path)
  parser.add_argument('--only', nargs='+', default=list(RUNS), choices=RUNS)
  parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
  given = parser.parse_args()
  for name in given.only:
    for seed in given.seeds:
      print(f'{name}, seed {seed}', flush=True)
      if subprocess.run(command(given.workdir, name, seed)).returncode:
        sys.exit(f'{name}, seed {seed} did not finish: start this again.')


if __name__ == '__main__':
  main()
