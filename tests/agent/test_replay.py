"""What the released model wrote makes the published memory, entry by entry.

The responses of one published test instance run through the whole program
under the `reference` profile: prompt, parser, repairs, text seam, jitted ops.
"""

import json
import os
import pathlib

import pytest

from configs import base
from mem_alpha import build
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import record

CORE, SEMANTIC, EPISODIC = structs.Kind
TRUNCATED = (1, 3, 7)  # chunks whose response hit the limit of 2,048 tokens


def read(name):
  root = os.environ.get('MEM_ALPHA_DATA')
  if not root:
    pytest.skip('MEM_ALPHA_DATA is not set: the replay needs its data')
  path = pathlib.Path(root) / 'replay' / name
  return json.loads(path.read_text(encoding='utf-8'))


def run(profile, responses, chunks):
  """One episode whose writer is the recording."""
  vocab = text.train_bpe(chunks, vocab_size=2000)
  config = base.get_config(profile)
  config.prompt.profile = 'reference'
  config.memory.tokens, config.memory.terms = 2**16, 2**14
  config.sampling.max_new_tokens = 2**13  # of our tokens, which are shorter
  config.prompt.tokens = 2**16
  config.prompt.show = 5
  build.check(config)

  def writer(prompts, contexts):
    chunk = contexts[0].chunk
    tokens = tuple(vocab.encode(responses[chunk]))
    finished = chunk not in TRUNCATED
    tokens += (vocab.end_of_turn,) * finished
    return [
      episode.Response(tokens, (0.0,) * len(tokens), finished) for _ in prompts
    ]

  def reader(memories, queries):
    del memories
    return [[] for _ in queries]

  runner = episode.Runner(build.episode_spec(config, vocab), vocab, batch=1)
  instance = structs.Instance('0', 'pubmed-rct', tuple(chunks), ())
  return runner.run(
    [instance], writer, reading.Panel(reader), keep_history=True
  ), vocab


@pytest.fixture(scope='module')
def replay():
  log = read('chunks_and_function_calls.json')
  chunks = [chunk['raw_chunk'] for chunk in log]
  rollouts, vocab = run('reference', read('final_responses.json'), chunks)
  return rollouts, vocab, log


def test_the_final_memory_is_the_published_one(replay):
  rollouts, _, _ = replay
  published = read('agent_state.json')
  entries = rollouts.entries[0]
  for kind, name in [(SEMANTIC, 'semantic'), (EPISODIC, 'episodic')]:
    wanted = [content for item in published[name] for content in item.values()]
    assert [e.text for e in entries if e.kind == kind] == wanted
  assert rollouts.cores == [published['core']]
  figures = read('compression_metrics.json')
  counts = [sum(e.kind == kind for e in entries) for kind in structs.Kind]
  assert counts == [1, figures['num_semantic'], figures['num_episodic']]


def test_each_call_is_the_logged_one(replay):
  rollouts, _, log = replay
  for turn, chunk in zip(rollouts.turns[0], log, strict=True):
    logged = [item['function_call']['name'] for item in chunk['function_calls']]
    names = {
      structs.Action.UPDATE: 'memory_update',
      structs.Action.INSERT: 'new_memory_insert',
    }
    assert [names[call.action] for call in turn.calls] == logged
    assert turn.statuses == [structs.Status.OK] * len(logged)


def test_the_view_shows_the_last_five_of_the_published_memory(replay):
  rollouts, vocab, _ = replay
  prompt = vocab.decode(rollouts.turns[0][-1].prompt)
  assert '(Only show the most recent 5 out of 9 memories)' in prompt
  assert '(Only show the most recent 5 out of 6 memories)' in prompt
  before = rollouts.history[0][-2]
  shown = [e.text for e in before if e.kind == SEMANTIC][-5:]
  assert all(text_ in prompt for text_ in shown)
  hidden = [e.text for e in before if e.kind == SEMANTIC][:-5]
  assert not any(text_ in prompt for text_ in hidden)


def test_provenance_says_which_chunk_wrote_what(replay):
  rollouts, _, log = replay
  entries = rollouts.entries[0]
  semantic = [e for e in entries if e.kind == SEMANTIC]
  assert [(e.created, e.updated) for e in semantic] == [
    (chunk, chunk) for chunk in range(len(log))
  ]
  core = next(e for e in entries if e.kind == CORE)
  assert core.created == 0


def test_our_limits_refuse_what_the_published_system_lost():
  log = read('chunks_and_function_calls.json')
  chunks = [chunk['raw_chunk'] for chunk in log]
  rollouts, _ = run('default', read('final_responses.json'), chunks)
  refused = sum(len(record.too_long(turn)) for turn in rollouts.turns[0])
  assert refused >= len(chunks) - len(TRUNCATED)
