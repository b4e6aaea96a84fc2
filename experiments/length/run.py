"""Evaluates finished embedded runs at 1, 4, 16 and 64 times the length.

python -m experiments.length.run runs/s0 runs/s1 [-- --config.NAME=VALUE …]

The agent's memory may grow with the text, as its capacity at 1x times the
length; prompts, and so what the agent sees at a time, do not grow. Chunks stay
as long as those of training, but for one more evaluation at 16 times, whose
chunks have four lines in place of six.
"""

from experiments import evaluations

TIMES = (1, 4, 16, 64)
SPARSE = 'length_x16_sparse'
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


def settings(test: int):
  """Fewer instances where each has more chunks and questions."""
  found = {
    name(times): {
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
    for times in TIMES
  }
  return found | {SPARSE: found[name(16)] | {'data.synthetic.small_talk': 5}}


if __name__ == '__main__':
  evaluations.launch(settings, about=__doc__)
