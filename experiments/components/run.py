"""Evaluates finished embedded runs with parts of the memory switched off.

python -m experiments.components.run runs/s0 runs/s1 [-- --config.NAME=VALUE …]
"""

from experiments import evaluations

PARTS = ('core', 'semantic', 'episodic')
SYSTEMS = ('perfect', 'warm_start', 'grpo')


def settings(test: int):
  """The whole memory, then each part off."""
  common = {'eval.systems': SYSTEMS, 'eval.test': test}
  return {
    'all_parts': common,
    **{f'no_{part}': {**common, f'memory.{part}': False} for part in PARTS},
  }


if __name__ == '__main__':
  evaluations.launch(settings, about=__doc__)
