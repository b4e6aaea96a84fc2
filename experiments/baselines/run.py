"""Evaluates finished embedded runs against every baseline.

python -m experiments.baselines.run runs/s0 runs/s1 [-- --config.NAME=VALUE …]
"""

from experiments import evaluations
from mem_alpha import build_baselines

NAME = 'baselines'
SYSTEMS = (
  'no_memory',
  *build_baselines.NAMES,
  'scripted',
  'perfect',
  'warm_start',
  'grpo',
)
BUDGET = 128  # tokens; about what the trained agent's memory holds


def settings(test: int):
  budgets = ('context_tokens', 'verbatim_tokens', 'state_tokens')
  return {
    NAME: {
      'eval.systems': SYSTEMS,
      'eval.test': test,
      **{f'baselines.{name}': BUDGET for name in budgets},
    }
  }


if __name__ == '__main__':
  evaluations.launch(settings, about=__doc__)
