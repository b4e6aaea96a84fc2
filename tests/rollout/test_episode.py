"""Whole episodes with scripted writers: no model, all other parts real."""

import dataclasses
import json
import random
import re

import numpy as np
import pytest

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.agent import writer as script
from mem_alpha.data import synthetic
from mem_alpha.evals import collect
from mem_alpha.evals import credit
from mem_alpha.evals import score
from mem_alpha.memory import ops
from mem_alpha.readers import base
from mem_alpha.readers import lexical
from mem_alpha.rewards import total
from mem_alpha.rollout import demonstrations
from mem_alpha.rollout import episode
from mem_alpha.rollout import reading
from mem_alpha.rollout import writers

ON = (True, True, True)
BATCH = 6
LEXICAL = lexical.Lexical()
READER = reading.Panel(LEXICAL)
WEIGHTS = total.Weights(calls=1.0, compression=0.3, content=0.2)


def make_tokenizer():
  spec = synthetic.Spec()
  train = synthetic.Dataset(spec, 'train', 0, 40)
  return text.train_bpe(
    [chunk for instance in train for chunk in instance.chunks],
    vocab_size=800,
    atoms=[*tools.atoms(ON), *prompts.atoms(ON)],
  )


def make_spec(tokenizer, enabled=ON, **changes):
  spec = episode.Spec(
    parts=prompts.build(tokenizer, 'compact', enabled=enabled),
    encoder=encoding.Encoder(tokenizer),
    limits=ops.Limits(core=64, entry=40, enabled=enabled),
    pool_tokens=512,
    pool_terms=512,
    rows=64,
    prompt_tokens=256,
    max_calls=8,
    turn_tokens=256,
    show=6,
    top_k=20,
    max_queries=8,
    query_words=24,
    idf='default',
  )
  return dataclasses.replace(spec, **changes)


@pytest.fixture(scope='module')
def tokenizer():
  return make_tokenizer()


@pytest.fixture(scope='module')
def runner(tokenizer):
  return episode.Runner(make_spec(tokenizer), tokenizer, batch=BATCH)


@pytest.fixture(scope='module')
def conversations():
  return synthetic.Dataset(synthetic.Spec(), 'test', 0, 5)[:]


def written(tokenizer, habits, show=6):
  calls = writers.annotated(habits, show=show)
  return writers.scripted(calls, tokenizer, seed='t')


def saying(tokenizer, *texts):
  """A writer that answers chunk c with texts[c], the same in every row."""

  def say(context):
    text = texts[context.chunk] if context else ''
    ids = (*tokenizer.encode(text), tokenizer.end_of_turn)
    return episode.Response(ids, (0.0,) * len(ids), True)

  return lambda prompts, contexts: [say(context) for context in contexts]


def mean_score(evaluation):
  return evaluation.row['mean']


def test_perfect_writer_answers_everything(runner, conversations, tokenizer):
  perfect = written(tokenizer, script.PERFECT, None)
  found = collect.evaluate(runner, conversations, perfect, READER)
  assert mean_score(found) > 0.97
  assert found.row['valid_calls'] == found.row['fidelity'] == 1
  slots = [
    {n.slot for notes in i.notes for n in notes if n.slot and n.kind}
    for i in conversations
  ]
  rollouts = runner.run(conversations, perfect, READER)
  for row, wanted in enumerate(slots):
    kept = [e for e in rollouts.entries[row] if e.kind != structs.Kind.CORE]
    assert len(kept) == len(wanted)


def test_without_a_memory_nothing_can_be_answered(
  runner, conversations, tokenizer
):
  nothing = saying(tokenizer, *[tools.DONE] * 5)
  found = collect.evaluate(runner, conversations, nothing, READER)
  assert mean_score(found) == 0
  assert found.row['memory_tokens'] == 0


def test_deleting_or_swapping_memories_drops_every_score_to_the_floor(
  runner, conversations, tokenizer
):
  """Nothing reaches the reader but the memory."""
  perfect = written(tokenizer, script.PERFECT, None)

  def emptied(memories, queries):
    def empty(q):
      return [[[] for _ in row] for row in q]

    return LEXICAL(base.Memories([''] * len(memories.cores), empty), queries)

  def swapped(memories, queries):
    def turn(rows):
      return [*rows[1:], rows[0]]

    def search(q):
      return turn(memories.search([q[-1], *q[:-1]]))

    return LEXICAL(base.Memories(turn(memories.cores), search), queries)

  for reader, most in ((emptied, 0.0), (swapped, 0.03)):
    found = collect.evaluate(
      runner, conversations, perfect, reading.Panel(reader)
    )
    assert mean_score(found) <= most


def test_reward_of_a_hand_made_trajectory(tokenizer):
  chunks = ('Ann lives in Oslo.\n', 'The sky is grey.\n', 'Bo has a cat.\n')
  questions = (
    structs.Question('Where does Ann lives?', ('Oslo',), 'a', 'exact'),
    structs.Question('Which pet has Bo?', ('dog',), 'a', 'exact'),
  )
  instance = structs.Instance('x', 'made', chunks, questions)
  call = tools.render_call

  def insert(s):
    return call(
      structs.Call(structs.Action.INSERT, structs.Kind.SEMANTIC, content=s)
    )

  said = (
    insert('Ann lives in Oslo.') + '\n' + insert('Ann lives in Oslo.'),
    tools.DONE,
    insert('Bo has a dog.') + '\n{"name": broken',
  )
  runner = episode.Runner(make_spec(tokenizer), tokenizer, batch=BATCH)
  rollouts = runner.run([instance], saying(tokenizer, *said), READER)
  turns, rewards = score.rewards(rollouts, WEIGHTS)

  def count(s):
    return len(tokenizer.encode(s))

  r1 = 1.0  # the invented dog answers the second question
  stored = count('Ann lives in Oslo.') + count('Bo has a dog.')
  r3 = 1 - stored / sum(map(count, chunks))
  assert [t.statuses for t in turns] == [
    [structs.Status.OK, structs.Status.DUPLICATE],
    [],
    [structs.Status.OK, structs.Status.INVALID],
  ]
  r2, r4 = [0.5, 1, 0.5], [1, 0, 0]  # nothing stored: no r4
  want = [r1 + a + 0.3 * r3 + 0.2 * b for a, b in zip(r2, r4)]
  np.testing.assert_allclose(rewards.total_B, want)
  assert np.isnan(rewards.content_B[1])
  rates = score.rates(rollouts)
  assert rates['valid_calls'] == 0.5 and rates['fidelity'] == 0.5
  # Each quoted entry earns its question's share and pays for its tokens.
  first, second = count('Ann lives in Oslo.'), count('Bo has a dog.')
  assert credit.of_calls(rollouts, LEXICAL, price=0.01, fault=0.25) == [
    [pytest.approx(0.5 - 0.01 * first), -0.25],
    [],
    # Quoted, but made up.
    [pytest.approx(0.5 - 0.01 * second - 0.25), -0.25],
  ]


def test_every_token_and_call_knows_its_line_of_the_chunk(tokenizer):
  call = tools.render_call(
    structs.Call(structs.Action.INSERT, structs.Kind.SEMANTIC, content='A b.')
  )
  said = f'1\tYes Skip\n3\tA\n{call}\nhm\n{call}\nDone'
  instance = structs.Instance('x', 'made', ('1\tA b.\n2\tA b.\n3\tA b.\n',), ())
  runner = episode.Runner(make_spec(tokenizer), tokenizer, batch=BATCH)
  rollouts = runner.run([instance], saying(tokenizer, said), READER)
  (turn,) = rollouts.turns[0]
  assert len(turn.token_subjects) == len(turn.response.tokens)
  for line, want in (
    (1, '1 Yes Skip'),
    (2, '3'),  # passes over line 2
    (3, f'A {call} hm {call}'),
    (0, 'Done'),
  ):
    own = [
      token
      for token, about in zip(turn.response.tokens[:-1], turn.token_subjects)
      if about == line
    ]
    # A line break may belong to the token on either side of it.
    found = tokenizer.decode(own)
    assert ''.join(found.split()) == ''.join(want.split())
  assert turn.token_subjects[-1] == 0
  assert turn.call_subjects == [3, 3] and turn.passed == [2]
  assert turn.uids == [0, structs.NO_ID]  # the second is a duplicate


def test_credit_follows_updates_and_core(tokenizer):
  core = structs.Call(structs.Action.UPDATE, structs.Kind.CORE, content='Ann')
  said = (
    tools.render_call(core)
    + '\n'
    + tools.render_call(
      structs.Call(
        structs.Action.INSERT, structs.Kind.SEMANTIC, content='Ann has a cat.'
      )
    ),
    tools.render_call(
      structs.Call(
        structs.Action.UPDATE, structs.Kind.SEMANTIC, 0, 'Ann has a dog.'
      )
    )
    + '\n'
    + tools.render_call(dataclasses.replace(core, content='Ann dog')),
  )
  questions = (
    structs.Question('Which pet has Ann?', ('dog',), 'a', 'exact'),
    structs.Question('What was it all about?', ('Ann',), 'b', 'token_f1'),
  )
  chunks = ('Ann has a cat.\n', 'Ann has a dog.\n')
  instance = structs.Instance('x', 'made', chunks, questions)
  runner = episode.Runner(make_spec(tokenizer), tokenizer, batch=BATCH)
  rollouts = runner.run([instance], saying(tokenizer, *said), READER)
  # Of two questions, one is answered from core: right at first, then not quite.
  want = [[1 / 2, 0], [1 / 2, (2 / 3 - 1) / 2]]
  found = credit.of_calls(rollouts, LEXICAL, price=0, fault=0)
  for row, wanted in zip(found, want, strict=True):
    assert row == pytest.approx(wanted)


def test_prompt_shows_the_memory_and_ids_can_be_used(tokenizer):
  chunks = ('Ann lives in Oslo.\n', 'Ann lives in Rome now.\n')
  instance = structs.Instance('x', 'made', chunks, ())
  runner = episode.Runner(make_spec(tokenizer), tokenizer, batch=BATCH)
  insert = structs.Call(
    structs.Action.INSERT, structs.Kind.SEMANTIC, content='Ann lives in Oslo.'
  )
  update = structs.Call(
    structs.Action.UPDATE, structs.Kind.SEMANTIC, 0, 'Ann lives in Rome now.'
  )
  says = [tools.render_call(insert), tools.render_call(update)]
  rollouts = runner.run([instance], saying(tokenizer, *says), READER)
  prompts_ = [tokenizer.decode(turn.prompt) for turn in rollouts.turns[0]]
  assert 'semantic_memory' not in prompts_[0]
  assert '[a0] Ann lives in Oslo.' in prompts_[1]
  (entry,) = rollouts.entries[0]
  assert (entry.text, entry.created, entry.updated) == (
    'Ann lives in Rome now.',
    0,
    1,
  )


def test_disabled_memories_are_neither_shown_nor_written(tokenizer):
  enabled = (False, True, False)
  spec = make_spec(tokenizer, enabled=enabled)
  runner = episode.Runner(spec, tokenizer, batch=BATCH)
  conversation = synthetic.instance(synthetic.Spec(), 'test', 0, 0)
  rollouts = runner.run(
    [conversation], written(tokenizer, script.PERFECT), READER
  )
  assert {e.kind for e in rollouts.entries[0]} == {structs.Kind.SEMANTIC}
  statuses = {s for turn in rollouts.turns[0] for s in turn.statuses}
  assert statuses == {structs.Status.OK, structs.Status.DISABLED}
  for turn in rollouts.turns[0]:
    assert 'episodic' not in tokenizer.decode(turn.prompt)


def test_a_full_memory_fails_calls_and_goes_on(tokenizer, conversations):
  runner = episode.Runner(
    make_spec(tokenizer, pool_tokens=48), tokenizer, batch=BATCH
  )
  rollouts = runner.run(
    conversations, written(tokenizer, script.Habits(0, 1, 1)), READER
  )
  statuses = [s for t in rollouts.turns[0] for s in t.statuses]
  assert structs.Status.FULL in statuses
  assert rollouts.memory_tokens[0] <= 48


def test_row_of_an_instance_does_not_depend_on_its_neighbours(
  runner, conversations, tokenizer
):
  habits = written(tokenizer, script.IMPERFECT)
  together = collect.evaluate(runner, conversations, habits, READER)
  for i, instance in enumerate(conversations):
    alone = collect.evaluate(runner, [instance], habits, READER)
    assert alone.records == [together.records[i]]


def test_recorded_turns_are_what_a_model_would_have_to_say(
  runner, conversations, tokenizer
):
  found = demonstrations.record(
    runner,
    conversations,
    written(tokenizer, script.IMPERFECT),
    max_new_tokens=96,
  )
  assert 20 <= len(found) <= 25
  for turn in found:
    assert turn.response[-1] == tokenizer.end_of_turn
    assert len(turn.response) <= 96


def test_copies_store_lines_of_their_chunk(tokenizer):
  def make():
    return demonstrations.copies(
      ['Ann lives in Oslo.', 'Bo has a cat.'],
      tokenizer,
      make_spec(tokenizer).parts,
      count=20,
      sentences=3,
      prompt_tokens=200,
      max_new_tokens=120,
      seed=0,
    )

  found = make()
  assert len(found) == 20 and found == make()
  for turn in found:
    chunk = tokenizer.decode(turn.prompt).split('chunk:\n')[1]
    response = tokenizer.decode(turn.response[:-1])
    *lines, done = response.split('\n')
    assert done == tools.DONE
    numbers, calls = [], []
    for line in lines:
      (calls if line.startswith('{') else numbers).append(line)
    # Every line of the chunk is numbered, and stored unless it is skipped.
    heads = [n.removesuffix(' Skip') for n in numbers]
    assert heads == re.findall(r'^\d+\t\S+', chunk, re.M)
    stored = [n for n in numbers if n in heads]
    for head, call in zip(stored, calls, strict=True):
      content = json.loads(call)['arguments']['content']
      assert f'{head.split()[0]}\t{content}\n' in chunk
      assert content.startswith(head.split()[1])


def test_verbatim_writer_stores_a_share_of_sentences(tokenizer):
  calls = writers.verbatim(0.4)
  text_ = ' '.join(f'Sentence number {i} is here.' for i in range(2000))
  instance = structs.Instance('x', 'made', (text_,), ())
  context = episode.Context(instance, 0, (), 0)
  stored = calls(context, [], random.Random(0))
  assert 0.37 < len(stored) / 2000 < 0.43
  assert all(call.content in text_ for call in stored)
