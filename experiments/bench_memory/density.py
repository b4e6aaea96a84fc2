"""Bytes of one memory of a 500k-token history, written as the replay is.

The calls of the released model on 16,069 tokens of one published instance say
how many tokens, words and versions a token of history leaves behind; the rest
is multiplication. `ours` has room for every version that was ever written, so
the whole history can be read (memory.keep_history); `ours_live` only for what
the memory says at the end, which compaction gets back to. The dense table gives
every live entry the room of the longest one, and keeps no history.
"""

import json
import os
import pathlib

import jax

from mem_alpha import text
from mem_alpha.agent import reference
from mem_alpha.memory import state

HISTORY = 500_000
INPUT_TOKENS = 16_069  # of the replay, in Qwen3 tokens, as published


def measure(tokenizer: text.Tokenizer) -> dict[str, float]:
  """Bytes of our state and of a dense table, and what they are made of."""
  root = pathlib.Path(os.environ['MEM_ALPHA_DATA']) / 'replay'
  memory = json.loads((root / 'agent_state.json').read_text('utf-8'))
  log = json.loads((root / 'chunks_and_function_calls.json').read_text('utf-8'))
  live = [memory['core']] + [
    content
    for name in ('semantic', 'episodic')
    for item in memory[name]
    for content in item.values()
  ]
  written = [
    _content(call['function_call'])
    for chunk in log
    for call in chunk['function_calls']
  ]
  lengths, live_lengths = (
    [len(tokenizer.encode(content)) for content in contents]
    for contents in (written, live)
  )
  words = [len(text.words(content)) for content in live]
  growth = HISTORY / INPUT_TOKENS

  def size(contents) -> int:
    state_of = jax.eval_shape(
      lambda: state.empty(
        tokens=round(sum(len(tokenizer.encode(c)) for c in contents) * growth),
        terms=round(sum(len(text.words(c)) for c in contents) * growth),
        rows=round(len(contents) * growth),
      )
    )
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state_of))

  columns = 4 * len(state.COLUMNS)
  row = 4 * (max(live_lengths) + max(words)) + columns
  return {
    'ours': size(written),
    'ours_live': size(live),
    'dense': round(len(live) * growth) * row,
    'written_tokens': sum(lengths),
    'memory_tokens': sum(live_lengths),
    'longest_entry': max(live_lengths),
  }


def _content(call: dict) -> str:
  """What a call of the log wrote."""
  source = f'{reference.FUNCTION}: {call["name"]}\n'
  source += f'{reference.ARGS}: {call["arguments"]}'
  return reference.parse(source, enabled=(True,) * 3)[0].content
