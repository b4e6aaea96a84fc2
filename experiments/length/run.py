"""Evaluates finished embedded runs at 1, 4, 16 and 64 times the length.

python -m experiments.length.run runs/s0 runs/s1 [-- --config.NAME=VALUE …]

The agent's memory may grow with the text, as its capacity at 1x times the
length; prompts, and so what the agent sees at a time, do not grow. Chunks stay
as long as those of training, but for one more evaluation at 16 times, which has
less small talk and so thinner chunks.
"""

from experiments import evaluations

TIMES = (1, 4, 16, 64)
TOKENS = 385  # five chunks of 77 tokens, the length that is trained on
BUDGET = 512  # tokens of full context and of overwrite memory, at any length
SYSTEMS = (
  'no_memory',
  'scripted',
  'full_context',
  'rag_top2',
  'overwrite',
  'warm_start',
  'grpo',
)


def name(times: int) -> str:
  return f'length_x{times:02d}'


SPARSE = f'{name(16)}_sparse'
EVALUATIONS = {name(times): times for times in TIMES} | {SPARSE: 16}


def settings(test: int):
  """Fewer instances where each has more chunks and questions."""
  return {
    label: {
      'eval.systems': SYSTEMS,
      'data.synthetic.tokens': TOKENS * times,
      'memory.tokens': 1024 * times,
      'memory.terms': 1024 * times,
      'memory.rows': 96 * times,
      'baselines.state_tokens': BUDGET,
      'baselines.context_tokens': BUDGET,
      'eval.test': max(16, test // times),
      'eval.batch': min(64, max(16, test // times)),
    }
    | ({'data.synthetic.small_talk': 5} if label == SPARSE else {})
    for label, times in EVALUATIONS.items()
  }


if __name__ == '__main__':
  evaluations.launch(settings, about=__doc__)
