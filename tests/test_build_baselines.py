"""Baselines by their names, and settings that cannot work."""

import pathlib

import pytest

from configs import base as base_config
from mem_alpha import build_baselines
from mem_alpha import structs
from mem_alpha import text

CHUNKS = tuple(f'Tom saw the {n} cats. Mira saw it.' for n in 'abcdef')
ASK = structs.Question('Who saw the c cats?', ('Tom',), 'k', 'exact')
INSTANCE = structs.Instance('i', 's', CHUNKS, (ASK,))


@pytest.fixture(scope='module')
def vocab():
  return text.train_bpe(CHUNKS, vocab_size=300)


def config(**changes):
  made = base_config.get_config()
  for key, value in changes.items():
    made.baselines[key] = value
  return made


def kept(name, vocab, **changes):
  made = build_baselines.make(
    name, config(**changes), vocab, pathlib.Path(), failures={}
  )
  found = made([INSTANCE])
  return found.entries[0], found.search([[ASK.text]])[0][0]


@pytest.mark.parametrize('name', build_baselines.NAMES)
def test_every_name_is_a_baseline_that_counts_its_tokens(name, vocab):
  entries, shown = kept(name, vocab)
  assert entries and shown
  assert all(e.tokens == len(vocab.encode(e.text)) for e in entries)


def test_each_setting_reaches_its_baseline(vocab):
  assert len(kept('rag_top2', vocab, top_k=5)[1]) == 2
  assert len(kept('rag_topk', vocab, top_k=5)[1]) == 5
  for name, key in (
    ('full_context', 'context_tokens'),
    ('verbatim', 'verbatim_tokens'),
    ('overwrite', 'state_tokens'),
    ('state', 'state_tokens'),
  ):
    entries, _ = kept(name, vocab, **{key: 40})
    assert 0 < sum(e.tokens for e in entries) <= 40
    many, _ = kept(name, vocab, **{key: 4000})
    assert sum(e.tokens for e in many) > 40
  entries, _ = kept('full_context', vocab, context_tokens=30)
  assert ''.join(CHUNKS).endswith(entries[-1].text)


def test_a_model_writes_where_one_is_named(vocab, tmp_path, tiny_model):
  made = config(writer='local', state_tokens=8, temperature=0.0)
  made.reader.weights = str(tiny_model)
  made.reader.prompt_tokens, made.reader.question_tokens = 512, 64
  made.reader.groups = made.reader.questions = 1
  build_baselines.check(made)
  baseline = build_baselines.make(
    'overwrite', made, vocab, tmp_path, failures={}
  )
  (entries,) = baseline([INSTANCE]).entries
  assert all(0 < e.tokens <= 8 for e in entries)


@pytest.mark.parametrize(
  'change, said',
  [
    (dict(writer='me'), "baselines.writer='me' is unknown"),
    (dict(writer='endpoint'), 'needs endpoint.url and endpoint.model'),
    (dict(writer='local'), 'needs reader.weights'),
    (dict(top_k=0), 'baselines.top_k=0 is out of range'),
    (dict(temperature=-1.0), 'baselines.temperature=-1.0 is out of range'),
  ],
)
def test_settings_that_cannot_work_are_refused(change, said):
  with pytest.raises(ValueError, match=said):
    build_baselines.check(config(**change))
