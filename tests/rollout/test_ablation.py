"""Each memory off by config: not offered, shown, searched, and refused."""

import itertools
import json

import pytest

from configs import base
from mem_alpha import build
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import reference
from mem_alpha.agent import tools
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
OK, DISABLED = structs.Status.OK, structs.Status.DISABLED
VOCAB = text.train_bpe(['Mira likes tea.'] * 5, vocab_size=300)
CALLS = (
  structs.Call(UPDATE, CORE, content='About tea.'),
  structs.Call(INSERT, SEMANTIC, content='Mira likes tea.'),
  structs.Call(INSERT, EPISODIC, content='Mira drank tea.'),
)
PROFILES = ('compact', 'reference')
SETTINGS = [s for s in itertools.product([True, False], repeat=3) if any(s)]


def written(profile):
  """The response of the first chunk, in the format of the profile."""
  if profile == 'compact':
    return tools.render_response(CALLS)
  calls = [json.loads(tools.render_call(call)) for call in CALLS]
  return '\n'.join(
    f'{reference.FUNCTION}: {call["name"]}\n'
    f'{reference.ARGS}: {json.dumps(call["arguments"])}'
    for call in calls
  )


def play(profile, enabled):
  """Two chunks; the memory is written in the first and shown in the second."""
  names = {'compact': 'default', 'reference': 'reference'}
  config = base.get_config(names[profile])
  config.memory.tokens = config.memory.terms = 512
  for kind, on in zip(structs.Kind, enabled):
    config.memory[kind.name.lower()] = on
  config.prompt.tokens, config.sampling.max_new_tokens = 8000, 400
  assert config.prompt.profile == profile
  seen = {}

  def writer(prompts, contexts):
    response = written(profile) if contexts[0].chunk == 0 else tools.DONE
    tokens = (*VOCAB.encode(response), VOCAB.end_of_turn)
    return [episode.Response(tokens, (0.0,) * len(tokens), True)] * len(prompts)

  def reader(memories, queries):
    seen['core'] = memories.cores[0]
    seen['hits'] = [e.kind for e in memories.search(queries)[0][0]]
    return [[structs.Answer('') for _ in row] for row in queries]

  question = structs.Question('Who likes tea?', ('Mira',), 'k', 'exact')
  instance = structs.Instance('i', 's', ('One.', 'Two.'), (question,))
  runner = episode.Runner(build.episode_spec(config, VOCAB), VOCAB, batch=1)
  rollouts = runner.run([instance], writer, reading.Panel(reader))
  prompts = [VOCAB.decode(turn.prompt) for turn in rollouts.turns[0]]
  return prompts, rollouts.turns[0][0].statuses, seen, rollouts.entries[0]


@pytest.fixture(scope='module')
def runs():
  both = itertools.product(PROFILES, SETTINGS)
  return {
    (profile, enabled): play(profile, enabled) for profile, enabled in both
  }


@pytest.mark.parametrize('enabled', SETTINGS)
@pytest.mark.parametrize('profile', PROFILES)
def test_a_memory_that_is_off_is_nowhere(runs, profile, enabled):
  (first, second), statuses, seen, entries = runs[profile, enabled]
  assert statuses == [OK if on else DISABLED for on in enabled]
  assert [entry.kind for entry in entries] == [
    kind for kind in structs.Kind if enabled[kind]
  ]
  for kind, call in zip(structs.Kind, CALLS):
    name = tools.TYPE_NAMES[kind]
    if profile == 'reference':
      section, advice = f'\n<{name}>', f'\n- {kind.name.capitalize()} memory:'
      for prompt in (first, second):
        assert (section in prompt) == (advice in prompt) == enabled[kind]
        assert (name in prompt) == enabled[kind]  # nor do the tools know it
    else:
      assert (f'{name}:' in second) == enabled[kind]
      assert f'{name}:' not in first
    assert (call.content in second) == enabled[kind]
    offered = [k for _, kinds in tools.offered(enabled) for k in kinds]
    assert (kind in offered) == enabled[kind]
  assert ('new_memory_insert' in first) == (enabled[1] or enabled[2])
  assert seen['core'] == ('About tea.' if enabled[CORE] else '')
  kinds = [SEMANTIC, EPISODIC]
  assert seen['hits'] == [kind for kind in kinds if enabled[kind]]


@pytest.mark.parametrize('profile', PROFILES)
def test_all_seven_differ(runs, profile):
  for part in (
    lambda run: run[0][1],
    lambda run: run[1],
    lambda run: run[2],
  ):
    found = {str(part(runs[profile, enabled])) for enabled in SETTINGS}
    assert len(found) == len(SETTINGS) == 7
