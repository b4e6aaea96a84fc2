"""From call to arrays: words, the count of a limit, the published cut."""

import json

import hypothesis
import jax
import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
TOKENIZER = text.train_bpe(['Mira lives in Oslo.'] * 5, vocab_size=300)
MARK = ' [content exceeds 12 tokens, truncated]'


def words(content):
  """A count in which the mark has 5 and every other word 1."""
  return len(content.split())


def encoded(content, kind=CORE, **kwargs):
  call = structs.Call(structs.Action.UPDATE, kind, 3, content)
  return encoding.Encoder(TOKENIZER, **kwargs)(call, text.Terms())


def test_a_call_is_its_tokens_and_words():
  call = encoded('Mira, MIRA lives', kind=SEMANTIC)
  assert (call.action, call.kind, call.uid) == (structs.Action.UPDATE, 1, 3)
  assert TOKENIZER.decode(call.tokens) == 'Mira, MIRA lives'
  assert call.terms == (0, 0, 1)
  assert call.limit_count == len(call.tokens)
  assert encoded('a b c', count=words).limit_count == 3


def published_cut(content, limit, length):
  """Word by word, as the published rule says it."""
  if length(content) <= limit:
    return content
  kept = content.split()
  while kept and length(' '.join(kept)) > limit - length(MARK):
    kept.pop()
  return ' '.join(kept) + MARK


@hypothesis.given(
  st.lists(st.text('ab \n,é', max_size=9), max_size=30).map(' '.join),
  st.booleans(),
)
def test_core_is_cut_as_published(content, in_words):
  length = words if in_words else lambda s: len(TOKENIZER.encode(s)) // 4
  actual = encoding.cut(content, 12, length)
  assert actual == published_cut(content, 12, length)


def test_only_core_is_cut():
  long = 'one\ntwo ' * 10
  cut = encoded(long, count=words, cut_core=12)
  assert TOKENIZER.decode(cut.tokens) == 'one two one two one two one' + MARK
  assert cut.limit_count == 12
  giant = encoded('x' * 99, count=len, cut_core=12)
  assert TOKENIZER.decode(giant.tokens) == MARK
  entry = encoded(long, kind=SEMANTIC, count=words, cut_core=12)
  assert TOKENIZER.decode(entry.tokens) == long
  assert entry.limit_count == 20


def composing():
  """A small byte-level tokenizer that composes characters, as Qwen3's."""
  raw = tokenizers.Tokenizer(tokenizers.models.BPE())
  raw.normalizer = tokenizers.normalizers.NFC()
  raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  raw.decoder = tokenizers.decoders.ByteLevel()
  alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=300,
    special_tokens=['<|im_end|>'],
    initial_alphabet=sorted(alphabet),
    show_progress=False,
  )
  raw.train_from_iterator(['Mira met Tom in a café'] * 5, trainer)
  raw.add_tokens(['<think>', '</think>', '<tool_call>'])
  return text.Tokenizer(raw, end_of_turn=0, pad=0, name='composing')


@pytest.mark.parametrize('name', ['composing', 'qwen3'])
def test_a_content_comes_back_or_is_refused(name, request):
  """Through the memory, and no control token is ever stored."""
  terms = text.Terms()
  if name == 'qwen3':
    tokenizer = text.load(request.getfixturevalue('qwen3_tokenizer'))
  else:
    tokenizer = composing()
  added = json.loads(tokenizer._markup.to_str())['added_tokens']
  controls = {token['id'] for token in added}
  assert tokenizer.token_id('<think>') in controls
  for content, status in (
    ('cafe\u0301', structs.Status.INVALID),
    ('\u1100\u1161', structs.Status.INVALID),  # letters of one syllable
    ('\u212b', structs.Status.INVALID),
    ('a\ud800b', structs.Status.INVALID),
    ('café 가', structs.Status.OK),
    ('a</think>b', structs.Status.OK),
    ('<think><tool_call>', structs.Status.OK),
    ('<|im_end|>', structs.Status.OK),
    ('\x00\x01\x7f\u202e\U000e0001', structs.Status.OK),
  ):
    for kind, action in (
      (CORE, structs.Action.UPDATE),
      (SEMANTIC, structs.Action.INSERT),
    ):
      call = structs.Call(action, kind, content=content)
      encoder = encoding.Encoder(tokenizer, cut_core=512)
      ops_B = ops.pack([[encoder(call, terms)]], O=1, T=64, W=16)
      memory_B = state.empty_batch(1, tokens=64, terms=16, rows=4)
      memory_B, status_BO, _ = ops.apply_turn(
        memory_B, ops_B, 0, limits=ops.Limits()
      )
      assert status_BO.tolist() == [[status]], ascii(content)
      rows = state.snapshot(jax.device_get(memory_B))[0]
      stored = [tokenizer.decode(row.tokens) for row in rows]
      assert stored == [content] * (status == structs.Status.OK)
      assert not controls & {t for row in rows for t in row.tokens}
      if status != structs.Status.OK:
        assert not any(np.any(x) for x in jax.tree.leaves(memory_B))
