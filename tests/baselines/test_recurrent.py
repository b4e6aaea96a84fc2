"""Memories that are written anew after every chunk."""

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha.baselines import plain
from mem_alpha.baselines import recurrent
from mem_alpha.evals import kept as kept_lib
from mem_alpha.readers import base as reader_base

QUESTION = structs.Question('Who?', ('Tom',), 'k', 'exact')


def count(words):
  return len(words.split())


def first(words, n):
  return ' '.join(words.split()[:n])


def instance(number, *chunks):
  return structs.Instance(f'i{number}', 's', chunks, (QUESTION,))


def model(reply):
  """A model that notes what it was asked."""

  def complete(prompts):
    complete.asked += [prompt.system for prompt in prompts]
    return [reply(prompt) for prompt in prompts]

  complete.asked, complete.overlaps = [], False
  return complete


def say(texts):
  return [reader_base.Completion(t) for t in texts]


def run(update, *instances, tokens=9, failures=None, kept=None):
  baseline = recurrent.recurrent(
    update,
    tokens=tokens,
    count=count,
    cut=first,
    failures={} if failures is None else failures,
    kept=kept,
  )
  return [[e.text for e in row] for row in baseline(instances).entries]


def test_each_memory_is_made_from_the_last_and_one_chunk():
  seen = []

  def update(pairs):
    seen.append(pairs)
    return say(f'{old}{new}' for old, new in pairs)

  found = run(update, instance(0, 'a', 'b', 'c'), instance(1, 'x'))
  assert found == [['abc'], ['x']]
  assert seen == [[('', 'a'), ('', 'x')], [('a', 'b')], [('ab', 'c')]]


def test_what_is_carried_never_exceeds_its_size():
  long, empty = (lambda pairs, t=t: say([t]) for t in ('one two three', ''))
  assert run(long, instance(0, 'a'), tokens=2) == [['one two']]
  assert run(empty, instance(0, 'a')) == [[]]


@pytest.mark.parametrize('style', ['overwrite', 'state'])
def test_a_model_sees_memory_and_section_but_no_question(style):
  reply = '<think>Tom sings.</think> done'
  asked = model(lambda prompt: reader_base.Completion(reply))
  update = recurrent.asking(asked, style, tokens=9)
  (found,) = run(update, instance(0, 'Tom sings.', 'It rains.'))
  want = {'overwrite': reply, 'state': 'Tom sings.'}[style]
  assert found == [want]
  assert 'No previous memory' in asked.asked[0] and 'Tom' in asked.asked[0]
  assert f'<memory>\n{want}\n</memory>' in asked.asked[1]
  assert not any(QUESTION.text in prompt for prompt in asked.asked)


def test_an_instance_whose_request_failed_is_noted_and_read_no_further():
  """An old memory must never pass for a new one."""
  asked = model(
    lambda prompt: reader_base.Completion(
      '' if 'bad' in prompt.system else 'fine',
      'HTTP 500' if 'bad' in prompt.system else '',
    )
  )
  failures = {}
  update = recurrent.asking(asked, 'overwrite', tokens=9)
  two = instance(0, 'a', 'bad', 'c'), instance(1, 'x', 'y', 'z')
  found = run(update, *two, failures=failures)
  assert failures == {'i0': 'HTTP 500'} and found[1] == ['fine']
  assert len(asked.asked) == 2 + 2 + 1


def test_a_state_without_tags_carries_nothing():
  silent = model(lambda prompt: reader_base.Completion('no tags'))
  update = recurrent.asking(silent, 'state', tokens=9)
  assert update([('old', 'new')]) == [reader_base.Completion('')]


def test_what_was_carried_before_a_kill_is_not_made_again(tmp_path):
  two = instance(0, 'a', 'b', 'c'), instance(1, 'x', 'y')
  calls = []

  def update(pairs):
    if len(calls) == 2:
      raise KeyboardInterrupt
    calls.append(pairs)
    return say(f'{old}{new}' for old, new in pairs)

  with pytest.raises(KeyboardInterrupt):
    run(update, *two, kept=kept_lib.Kept(tmp_path, 'x', settings={}))
  calls = []
  again = kept_lib.Kept(tmp_path, 'x', settings={})
  assert run(update, *two, kept=again) == [['abc'], ['xy']]
  assert calls == [[('ab', 'c')]]


@hypothesis.given(
  strategies.lists(strategies.text('abc .', max_size=9), max_size=6),
  strategies.integers(1, 8),
)
def test_extraction_keeps_sentences_in_order_within_the_budget(parts, tokens):
  text = '\n'.join(parts)
  kept = recurrent.extract(text, tokens, count)
  assert count(kept) <= tokens
  places = [plain.sentences(text).index(s) for s in kept.split('\n') if s]
  assert places == sorted(set(places))


def test_extraction_prefers_words_that_are_not_covered_yet():
  text = 'Tom sings. Tom sings now. Mira paints.'
  assert recurrent.extract(text, 5, count) == 'Tom sings now.\nMira paints.'
