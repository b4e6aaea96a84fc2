"""Who answers and judges, from a config: every knob reaches its part."""

import math

import pytest

from configs import base
from mem_alpha import build_panel
from mem_alpha import text
from mem_alpha.readers import asking
from mem_alpha.readers import endpoint
from mem_alpha.readers import lexical
from mem_alpha.readers import local
from mem_alpha.rewards import calls


def config_with(**changes):
  config = base.get_config()
  for key, value in changes.items():
    section, name = key.split('__')
    config[section][name] = value
  return config


ENDPOINT = dict(
  reader__name='endpoint',
  endpoint__url='http://localhost:1/v1',
  endpoint__model='m',
)


@pytest.fixture(scope='module')
def vocab():
  return text.train_bpe(['some words'], vocab_size=300)


@pytest.mark.parametrize(
  'changes, message',
  [
    (dict(reader__name='gpt'), "reader.name='gpt' is unknown: use one of lex"),
    (dict(judge__name='gpt'), "judge.name='gpt' is unknown"),
    (dict(reader__order='date'), "reader.order='date' is unknown"),
    (dict(endpoint__api='x'), "endpoint.api='x' is unknown"),
    (dict(reward__scores='old'), "reward.scores='old' is unknown"),
    (dict(reward__answer_by='turn'), "reward.answer_by='turn' is unknown"),
    (dict(reward__skipped='ok'), "reward.skipped='ok' is unknown"),
    (dict(reward__tokenizer='gpt2'), "reward.tokenizer='gpt2' is unknown"),
    (dict(endpoint__attempts=0), 'endpoint.attempts=0 is out of range'),
    (dict(endpoint__read_seconds=0.0), 'read_seconds=0.0 is out of range'),
    (dict(reader__rounds=-1), 'reader.rounds=-1 is out of range'),
    (dict(reader__rounds=6), 'reader.rounds=6 .*at most 5'),
    (dict(reader__max_words=0), 'reader.max_words=0 is out of range'),
    (dict(reader__query_words=0), 'reader.query_words=0 is out of range'),
    (dict(endpoint__max_requests=0), 'max_requests=0 .*at least 1'),
    (dict(endpoint__max_requests=-5), 'max_requests=-5 is out of range'),
    (dict(endpoint__first_wait=-1.0), 'first_wait=-1.0 is out of range'),
    (dict(endpoint__longest_wait=-1.0), 'longest_wait=-1.0 is out of range'),
    (dict(endpoint__failure_limit=math.nan), 'failure_limit=nan is out of'),
    (dict(endpoint__failure_limit=1.5), 'failure_limit=1.5 .*at most 1'),
    (
      ENDPOINT | dict(endpoint__api='completions', reader__thinking=False),
      "reader.thinking=False does nothing with endpoint.api='completions'",
    ),
    (dict(grpo__at_once=0), 'grpo.at_once=0 is out of range'),
    (dict(reader__name='endpoint'), 'needs endpoint.url and endpoint.model'),
    (dict(judge__name='local'), 'needs reader.weights'),
    (dict(judge__content=True), 'judge.content=True needs judge.name'),
    (ENDPOINT | dict(grpo__evidence=1.0), "needs reader.name='lexical'"),
  ],
)
def test_what_cannot_work_is_named(changes, message):
  with pytest.raises(ValueError, match=message):
    build_panel.check(config_with(**changes))


def test_the_default_is_the_lexical_reader_alone(vocab, tmp_path):
  panel = build_panel.panel(config_with(reader__max_words=3), vocab, tmp_path)
  assert isinstance(panel.reader, lexical.Lexical)
  assert panel.reader.max_words == 3
  assert panel.judge is None and panel.marker.judge is None
  assert not list(tmp_path.iterdir())  # nothing is opened that is not used


def test_endpoint_knobs_reach_their_parts(vocab, tmp_path, monkeypatch):
  monkeypatch.setenv('A_KEY', 'sk-secret')
  config = config_with(
    **ENDPOINT,
    endpoint__key_env='A_KEY',
    endpoint__concurrency=5,
    endpoint__connect_seconds=2.0,
    endpoint__read_seconds=3.0,
    endpoint__attempts=4,
    endpoint__first_wait=0.1,
    endpoint__longest_wait=9.0,
    endpoint__max_requests=6,
    endpoint__failure_limit=0.3,
    endpoint__cache=str(tmp_path / 'shared.sqlite'),
    reader__prompt_tokens=999,
    reader__max_new_tokens=7,
    reader__temperature=0.5,
    reader__thinking=False,
    reader__order='rank',
    reader__rounds=2,
    judge__name='endpoint',
    judge__content=True,
    judge__chunk=False,
    judge__model='other',
    judge__max_new_tokens=8,
    reward__scores='reference',
    reward__published_content=True,
  )
  build_panel.check(config)
  panel = build_panel.panel(config, vocab, tmp_path)
  reader, model = panel.reader, panel.reader.model
  assert isinstance(reader, asking.Asking) and reader.overlaps
  assert isinstance(model, endpoint.Endpoint)
  assert (reader.rounds, reader.layout.tokens) == (2, 999)
  assert reader.layout.order == 'rank'
  assert reader.layout.count('some words') == len(vocab.encode('some words'))
  assert reader.layout.markup == local.markup_tokens(vocab)
  spec = model.spec
  assert (spec.model, spec.max_tokens, spec.temperature) == ('m', 7, 0.5)
  assert (spec.api, spec.thinking) == ('chat', False)
  limits = model.client.limits
  assert (limits.concurrency, limits.attempts, limits.max_requests) == (5, 4, 6)
  assert (limits.connect_seconds, limits.read_seconds) == (2.0, 3.0)
  assert (limits.first_wait, limits.longest_wait) == (0.1, 9.0)
  assert model.client.ledger.limit == 0.3
  # One ledger, one client with one budget, for all.
  ledgers = (reader.ledger, panel.marker.judge.ledger, panel.judge.ledger)
  assert all(ledger is model.client.ledger for ledger in ledgers)
  assert (tmp_path / 'shared.sqlite').exists()
  grade, inspect = panel.marker.judge, panel.judge
  assert grade.model.spec.model == inspect.model.spec.model == 'other'
  assert grade.model.spec.max_tokens == 8
  assert grade.model.client is model.client
  assert panel.marker.profile == 'reference' and grade.yes('Yes')
  assert not inspect.sees_chunk and panel.published_content
  assert 'sk-secret' not in f'{vars(model)} {vars(reader)} {config}'
  panel.close()
  assert [path.name for path in tmp_path.iterdir()] == ['shared.sqlite']


def test_a_model_without_a_chat_template(vocab, tmp_path):
  config = config_with(**ENDPOINT, endpoint__api='completions')
  build_panel.check(config)
  panel = build_panel.panel(config, vocab, tmp_path)
  assert panel.reader.model.spec.path == '/completions'
  panel.close()


def test_rules_reach_the_rewards():
  rules = build_panel.rules(base.get_config())
  assert rules.calls == calls.DEFAULT and rules.answer_by == 'episode'
  assert rules.count is None and not rules.published_content
  rules = build_panel.rules(
    config_with(
      reward__answer_by='evidence',
      reward__skipped='published',
      reward__unknown_delete=True,
      reward__truncated=True,
      reward__done=0.0,
      reward__published_content=True,
    )
  )
  assert rules.calls == calls.PUBLISHED and rules.answer_by == 'evidence'
  assert rules.published_content


def test_a_local_reader_is_built_from_weights(tiny_model, vocab, tmp_path):
  config = config_with(
    reader__name='local',
    reader__weights=str(tiny_model),
    reader__prompt_tokens=640,
    reader__question_tokens=64,
    reader__max_new_tokens=4,
    reader__groups=2,
    reader__questions=3,
  )
  panel = build_panel.panel(config, vocab, tmp_path)
  model = panel.reader.model
  assert isinstance(model, local.Local) and not panel.reader.overlaps
  shape = model.generate.shape
  assert (shape.groups, shape.tails) == (2, 3)
  assert (shape.prefix, shape.tail) == (640, 64)
  assert model.generate.sampling.max_new_tokens == 4
  layout = panel.reader.layout
  assert (model.prefix, model.tail) == (640, 64)
  assert layout.question_tokens == model.question_tokens < 64
  assert layout.markup == local.markup_tokens(model.tokenizer)
  panel.close()
