"""From call to arrays: words, the count of a limit, the published cut."""

import hypothesis
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding

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
