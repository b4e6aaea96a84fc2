"""A language model as a writer: what it is asked, and what fails."""

import pytest

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import prompts
from mem_alpha.readers import base
from mem_alpha.rollout import asked
from mem_alpha.rollout import episode

ON = (True, True, True)


@pytest.fixture(scope='module')
def vocab():
  return text.train_bpe(['Mira lives in Oslo.'], vocab_size=400)


def context(number):
  instance = structs.Instance(f'i{number}', 's', ('Mira lives in Oslo.',), ())
  return episode.Context(instance, 0, (), number)


@pytest.mark.parametrize('profile', ['compact', 'reference'])
def test_a_model_sees_the_prompt_without_marks(vocab, profile):
  parts = prompts.build(vocab, profile, enabled=ON)
  chunk = vocab.encode('Mira lives in Oslo.')
  ids, _ = prompts.render(parts, [], chunk, max_tokens=4000, show=3)
  seen = []

  def model(given):
    seen.extend(given)
    return [base.Completion('Done')]

  writer = asked.Asked(
    model, vocab, prefix=parts.prefix, suffix=parts.suffix, failures={}
  )
  empty, (tokens, _, finished, ending) = (
    r if n == 0 else (r.tokens, r.logp, r.finished, r.ending)
    for n, r in enumerate(writer([[], ids], [None, context(0)]))
  )
  assert empty.tokens == () and finished and ending == 0
  assert vocab.decode(tokens) == 'Done'
  (prompt,) = seen
  assert prompt.system[:4] in ('Keep', 'You ')
  assert 'new_memory_insert' in prompt.system + prompt.user
  assert 'Mira lives in Oslo.' in prompt.user
  assert '<|im' not in prompt.system + prompt.user


def test_an_instance_that_failed_is_noted_and_not_asked_about_again(vocab):
  parts = prompts.build(vocab, 'compact', enabled=ON)
  asks = []

  def model(given):
    asks.append(len(given))
    failed = [base.Completion(failed='HTTP 500')]
    return failed * (len(asks) == 1) + [base.Completion('Done')] * (
      len(given) - (len(asks) == 1)
    )

  failures = {}
  writer = asked.Asked(
    model, vocab, prefix=parts.prefix, suffix=parts.suffix, failures=failures
  )
  two = [context(0), context(1)]
  ids = [*parts.prefix, *parts.suffix]
  assert writer([ids, ids], two)[0].tokens == ()
  assert failures == {'i0': 'HTTP 500'}
  writer([ids, ids], two)
  assert asks == [2, 1]
