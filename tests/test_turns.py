"""turns/: what the memory refused as too long is in no memory, but here."""

import json

from configs import base
from mem_alpha import build
from mem_alpha import structs
from mem_alpha import text
from mem_alpha import turns
from mem_alpha.agent import tools
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading

VOCAB = text.train_bpe(['Mira lives in Oslo.'] * 5, vocab_size=300)
CORE, SEMANTIC, _ = structs.Kind
LONG = {CORE: 'Mira é ' * 90, SEMANTIC: 'Tom 😀\n"x" ' * 40}
CALLS = [
  structs.Call(structs.Action.UPDATE, CORE, content=LONG[CORE]),
  structs.Call(structs.Action.INSERT, SEMANTIC, content=LONG[SEMANTIC]),
  structs.Call(structs.Action.INSERT, SEMANTIC, content='Short.'),
]


def test_a_text_that_is_too_long_is_kept_whole_for_every_rollout(tmp_path):
  config = base.get_config()
  config.memory.tokens = config.memory.terms = 4096
  config.memory.core_limit = 60
  config.prompt.tokens, config.sampling.max_new_tokens = 2000, 3000

  def writer(prompts, contexts):
    said = tools.render_response(CALLS if contexts[0].chunk == 0 else [])
    tokens = (*VOCAB.encode(said), VOCAB.end_of_turn)
    return [episode.Response(tokens, (0.0,) * len(tokens), True)] * len(prompts)

  def reader(memories, queries):
    del memories
    return [[] for _ in queries]

  runner = episode.Runner(build.episode_spec(config, VOCAB), VOCAB, batch=2)
  instance = structs.Instance('i', 's', ('One.', 'Two.'), ())
  rollouts = runner.run([instance] * 2, writer, reading.Panel(reader))
  played = [turn for row in rollouts.turns for turn in row]
  path = tmp_path / 'turns' / 'step.jsonl'
  none = [0.0] * len(played)
  turns.write(path, rollouts, played, none, none, none, per_instance=2, shown=1)
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  # Of the rollout that is not shown whole, only the turn that lost something.
  assert [(x['rollout'], x['chunk']) for x in lines] == [(0, 0), (0, 1), (1, 0)]
  for line in (lines[0], lines[2]):
    assert line['too_long'] == list(LONG.values())
  assert lines[0]['statuses'] == ['TOO_LONG', 'TOO_LONG', 'OK']
  assert 'statuses' not in lines[2] and lines[1]['too_long'] == []
  assert [e.text for e in rollouts.entries[0]] == ['Short.']
