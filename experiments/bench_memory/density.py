"""Bytes of one memory of a 500k-token history, written as the replay is.

The released model's memory after 16,069 tokens of one published instance says
how many tokens, words and versions a token of history leaves behind; the rest
is multiplication. A dense table gives every row the room of the longest entry.
"""

import json
import os
import pathlib

import jax

from mem_alpha import text
from mem_alpha.memory import state

HISTORY = 500_000
INPUT_TOKENS = 16_069  # of the replay, in Qwen3 tokens, as published


def measure(tokenizer: text.Tokenizer) -> dict[str, float]:
  """Bytes of our state and of a dense table, and what they are made of."""
  root = pathlib.Path(os.environ['MEM_ALPHA_DATA']) / 'replay'
  memory = json.loads((root / 'agent_state.json').read_text('utf-8'))
  log = json.loads((root / 'chunks_and_function_calls.json').read_text('utf-8'))
  entries = [
    content
    for name in ('semantic', 'episodic')
    for item in memory[name]
    for content in item.values()
  ]
  contents = [memory['core'], *entries]
  lengths = [len(tokenizer.encode(content)) for content in contents]
  words = [len(text.words(content)) for content in contents]
  calls = sum(len(chunk['function_calls']) for chunk in log)
  growth = HISTORY / INPUT_TOKENS
  ours = jax.eval_shape(
    lambda: state.empty(
      tokens=round(sum(lengths) * growth),
      terms=round(sum(words) * growth),
      rows=round(calls * growth),  # closed versions take a row, too
    )
  )
  columns = 4 * len(state.COLUMNS)
  row = 4 * (max(lengths) + max(words)) + columns
  return {
    'ours': sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(ours)),
    'dense': round(len(entries) * growth) * row,
    'memory_tokens': sum(lengths),
    'longest_entry': max(lengths),
  }
