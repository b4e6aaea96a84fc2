"""Every row of the table of switches is set, reachable and does something.

Each switch alone is turned back to our value in an otherwise published run of
one episode; what follows must differ in the way that the table says.
"""

import json
import pathlib
import tempfile

import pytest

from configs import base
from configs import profiles
from mem_alpha import build
from mem_alpha import build_panel
from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import reference
from mem_alpha.agent import tools
from mem_alpha.evals import score
from mem_alpha.readers import base as base_reader
from mem_alpha.rewards import calls as calls_reward
from mem_alpha.rewards import compression
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import record

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
STATUS = structs.Status
VOCAB = text.train_bpe(['Mira lives in Oslo.'] * 5, vocab_size=300)
LONG = 'internationalization of organizations ' * 40


def knob(config, key):
  section, name = key.split('.')
  return config[section][name]


def configured(flipped=None):
  """The published profile, with one switch set to our value."""
  config = base.get_config('reference')
  if flipped:
    section, name = flipped.split('.')
    config[section][name] = profiles.SWITCHES[flipped].default
  config.prompt.tokens, config.sampling.max_new_tokens = 8000, 4096
  config.memory.tokens = config.memory.terms = 4096
  config.memory.core_limit = 60
  build.check(config)
  return config


def written(config, call):
  """The call in the format of the profile."""
  if config.prompt.profile == 'compact':
    return tools.render_call(call)
  arguments = json.loads(tools.render_call(call))
  return (
    f'{reference.FUNCTION}: {arguments["name"]}\n'
    f'{reference.ARGS}: {json.dumps(arguments["arguments"])}'
  )


def roll_out(config, *calls, queries=()):
  """One chunk, these calls; returns the rollouts and the hits."""
  found = []

  def writer(prompts, contexts):
    del contexts
    response = '\n'.join(written(config, call) for call in calls)
    tokens = tuple(VOCAB.encode(response))
    return [episode.Response(tokens, (0.0,) * len(tokens), False)] * len(
      prompts
    )

  def reader(memories, asked):
    found.extend(memories.search(asked)[0])
    return [[structs.Answer('') for _ in row] for row in asked]

  asked = tuple(structs.Question(q, ('x',), 'k', 'exact') for q in queries)
  instance = structs.Instance('i', 's', ('A chunk.',), asked)
  runner = episode.Runner(build.episode_spec(config, VOCAB), VOCAB, batch=1)
  return runner.run([instance], writer, reading.Panel(reader)), found


def play(config, *calls, queries=()):
  """The turn, the entries and the hits."""
  rollouts, found = roll_out(config, *calls, queries=queries)
  return rollouts.turns[0][0], rollouts.entries[0], found


def rewarded(config, *calls):
  """The reward of one turn and its parts."""
  rollouts, _ = roll_out(config, *calls, queries=['tea'])
  _, rewards = score.rewards(
    rollouts, build.weights(config), build_panel.rules(config)
  )
  return rewards


def share(config, calls, statuses, *, done=False):
  """r2 of a turn."""
  rules = build_panel.rules(config).calls
  return calls_reward.reward(calls, statuses, done=done, rules=rules)


def panel(config):
  """Who would be asked, at a server that nobody asks."""
  config.reader.name = config.judge.name = 'endpoint'
  config.judge.content = True
  config.endpoint.url, config.endpoint.model = 'http://localhost:9/v1', 'm'
  with tempfile.TemporaryDirectory() as folder:
    return build_panel.panel(config, VOCAB, pathlib.Path(folder))


def request(config):
  """What the reader would send."""
  model = panel(config).reader.model
  return model.spec.request(base_reader.Prompt('A memory.', 'A question?'))


def insert(content):
  return structs.Call(INSERT, SEMANTIC, content=content)


def rewrite(content):
  return structs.Call(UPDATE, CORE, content=content)


def outcome(config, *calls):
  turn, entries, _ = play(config, *calls)
  return turn.statuses, [entry.text for entry in entries]


def profile_changes(config):
  turn, _, _ = play(config, insert('Mira.'))
  assert turn.statuses == [STATUS.OK]
  prompt = VOCAB.decode(turn.prompt)
  tags = '<semantic_memory> (Only show the most recent 0 out of 0 memories)'
  return tags in prompt and reference.FUNCTION in turn.text


def core_is_cut(config):
  statuses, texts = outcome(config, rewrite(LONG))
  if statuses == [STATUS.TOO_LONG]:
    assert texts == []
    turn, _, _ = play(config, rewrite(LONG))
    assert record.too_long(turn) == [LONG]
    return False
  assert statuses == [STATUS.OK]
  assert texts[0].endswith(' [content exceeds 60 tokens, truncated]')
  return True


def o200k_counts(config):
  content = 'internationalization ' * 20  # 40 tokens there, 200 here
  statuses, texts = outcome(config, rewrite(content))
  assert statuses == [STATUS.OK]
  return texts == [content]


def entries_have_no_limit(config):
  return outcome(config, insert(LONG)) == ([STATUS.OK], [LONG])


def empty_is_stored(config):
  statuses, texts = outcome(config, insert(''))
  assert statuses in ([STATUS.OK], [STATUS.EMPTY])
  return texts == ['']


def any_delete_succeeds(config):
  statuses, _ = outcome(config, structs.Call(DELETE, SEMANTIC, 7))
  assert statuses in ([STATUS.OK], [STATUS.UNKNOWN_ID])
  return statuses == [STATUS.OK]


def matches_rank_last(config):
  calls = insert('tea tea'), insert('tea cup')
  _, _, found = play(config, *calls, queries=['tea'])
  ranked = [entry.text for entry in found[0]]
  assert sorted(ranked) == ['tea cup', 'tea tea']
  return ranked[0] == 'tea cup'


def best_is_shown_first(config):
  entries = [
    structs.Entry(SEMANTIC, uid, text, 0, 0, uid)
    for uid, text in ((2, 'best'), (1, 'worst'))
  ]
  _, shown = panel(config).reader.layout.fit('Which?', '', entries)
  return [entry.text for entry in shown] == ['best', 'worst']


def part_of_a_word_is_a_keyword(config):
  question = structs.Question('?', ('age',), 'k', 'keywords')
  marked = panel(config).marker([[question]], [[structs.Answer('a village')]])
  return marked == [[1.0]]


def deletes_are_invalid_contents(config):
  calls = insert('A chunk.'), structs.Call(DELETE, SEMANTIC, 0)
  return rewarded(config, *calls).content_B == [0.5]


def memory_is_counted_in_o200k(config):
  content = 'internationalization'
  count = compression.counter('o200k')
  r3 = 1 - count(content) / count('A chunk.')
  return rewarded(config, insert(content)).compression_B == [r3]


EFFECTS = {
  'reader.order': best_is_shown_first,
  'reader.temperature': lambda c: request(c)['temperature'] == 0.7,
  'reader.thinking': lambda c: 'chat_template_kwargs' in request(c),
  'reader.max_new_tokens': lambda c: request(c)['max_tokens'] == 2048,
  'judge.chunk': lambda c: not panel(c).judge.sees_chunk,
  'reward.scores': part_of_a_word_is_a_keyword,
  'reward.skipped': lambda c: (
    share(c, [insert("{'status': 'skipped'}")], [STATUS.OK]) == 0
  ),
  'reward.unknown_delete': lambda c: (
    share(c, [structs.Call(DELETE, SEMANTIC, 7)], [STATUS.UNKNOWN_ID]) == 1
  ),
  'reward.truncated': lambda c: (
    share(c, [insert('Mi')], [STATUS.TRUNCATED]) == 1
  ),
  'reward.done': lambda c: share(c, [], [], done=True) == 0,
  'reward.published_content': deletes_are_invalid_contents,
  'reward.tokenizer': memory_is_counted_in_o200k,
  'prompt.profile': profile_changes,
  'memory.core_overflow': core_is_cut,
  'memory.limit_tokenizer': o200k_counts,
  'memory.entry_limit': entries_have_no_limit,
  'memory.allow_empty': empty_is_stored,
  'memory.delete_unknown': any_delete_succeeds,
  'reader.idf': matches_rank_last,
}


@pytest.mark.parametrize('key', profiles.SWITCHES)
def test_each_switch_is_set_by_its_profile(key):
  switch = profiles.SWITCHES[key]
  assert switch.default != switch.reference and switch.why
  assert knob(base.get_config(), key) == switch.default
  assert knob(base.get_config('default'), key) == switch.default
  assert knob(base.get_config('reference'), key) == switch.reference


@pytest.mark.parametrize('key', profiles.SWITCHES)
def test_each_switch_alone_does_something(key):
  assert EFFECTS[key](configured())
  assert not EFFECTS[key](configured(key))


def test_an_unknown_profile_is_refused():
  with pytest.raises(ValueError, match="Unknown profile 'paper'"):
    base.get_config('paper')
