"""JSON out and in: text, ids, order and provenance come back."""

import json
import pathlib

import hypothesis
import jax
import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st

from mem_alpha import structs
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.memory import content
from mem_alpha.memory import export
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
_, INSERT, UPDATE, DELETE = structs.Action
TOKENIZER = text.train_bpe(['Mira lives in Oslo.'] * 5, vocab_size=300)
OTHER = text.train_bpe(['Tom likes tea.'] * 5, vocab_size=280, name='other')
SIZES = {'tokens': 2048, 'terms': 512, 'rows': 24}
LIMITS = ops.Limits(core=None, allow_empty=True)


encode = encoding.Encoder(TOKENIZER)


def apply(turns, terms, memory_B=None, first=0):
  if memory_B is None:
    memory_B = state.empty_batch(1, **SIZES)
  for chunk, calls in enumerate(turns, first):
    encoded = [encode(structs.Call(*call), terms) for call in calls]
    ops_B = ops.pack([encoded], O=3, T=512, W=128)
    memory_B, *_ = ops.apply_turn(memory_B, ops_B, chunk, limits=LIMITS)
  return jax.device_get(memory_B)


CALLS = st.tuples(
  st.sampled_from([INSERT, INSERT, UPDATE, DELETE]),
  st.sampled_from(structs.Kind),
  st.integers(-1, 4),
  st.text(st.characters(exclude_categories=['Cs']), max_size=8),
)


def rows(memory, tokenizer):
  """What must come back: every version as text, and who closed it."""
  return [
    (row.kind, row.uid, tokenizer.decode(row.tokens), *row[3:], closed)
    for row, closed in state.versions(memory)
  ]


@hypothesis.given(st.lists(st.lists(CALLS, max_size=3), max_size=5))
@hypothesis.settings(max_examples=150)
def test_what_is_exported_comes_back(turns):
  terms = text.Terms()
  memory = jax.tree.map(lambda x: x[0], apply(turns, terms))
  source = export.to_json(memory, tokenizer=TOKENIZER)
  for tokenizer in (TOKENIZER, OTHER):
    made = export.from_json(
      source, tokenizer=tokenizer, terms=terms, sizes=SIZES
    )
    assert rows(made, tokenizer) == rows(memory, TOKENIZER)
    assert export.to_json(made, tokenizer=tokenizer) == source
    assert int(made.next_entry) == int(memory.next_entry)
  for chunk in range(len(turns)):
    assert snapshot(made, chunk, OTHER) == snapshot(memory, chunk, TOKENIZER)


def snapshot(memory, chunk, tokenizer):
  memory_B = jax.tree.map(lambda x: np.asarray(x)[None], memory)
  return [
    row._replace(tokens=tokenizer.decode(row.tokens))
    for row in state.snapshot(memory_B, chunk)[0]
  ]


def test_entries_of_no_memory_can_be_imported_too():
  """What baselines hold is written in the same format."""
  entries = [
    structs.Entry(SEMANTIC, uid, f'Mira lives in Oslo {uid}.', 0, 2, uid)
    for uid in (0, 3)
  ]
  for some in (entries, []):
    source = json.dumps(export.of_entries(some))
    memory = export.from_json(
      source, tokenizer=TOKENIZER, terms=text.Terms(), sizes=SIZES
    )
    assert json.loads(export.to_json(memory, tokenizer=TOKENIZER)) == (
      json.loads(source)
    )


def test_an_imported_memory_goes_on_as_the_exported_one():
  terms = text.Terms()
  first = [
    [(INSERT, SEMANTIC, -1, 'Mira lives in Oslo.'), (UPDATE, CORE, -1, 'M.')],
    [(UPDATE, SEMANTIC, 0, 'Mira moved.'), (INSERT, EPISODIC, -1, 'b a b')],
  ]
  then = [
    [(INSERT, SEMANTIC, -1, 'Mira moved.'), (DELETE, EPISODIC, 1, '')],
    [(INSERT, EPISODIC, -1, 'b a b'), (UPDATE, SEMANTIC, 0, 'x')],
  ]
  memory_B = apply(first, terms)
  one = jax.tree.map(lambda x: x[0], memory_B)
  source = export.to_json(one, tokenizer=TOKENIZER)
  made = export.from_json(source, tokenizer=TOKENIZER, terms=terms, sizes=SIZES)
  jax.tree.map(np.testing.assert_array_equal, made, one)
  made_B = jax.tree.map(lambda x: jax.numpy.asarray(x)[None], made)
  wanted = apply(then, terms, jax.tree.map(jax.numpy.array, memory_B), 2)
  actual = apply(then, terms, made_B, 2)
  jax.tree.map(np.testing.assert_array_equal, actual, wanted)


@hypothesis.given(st.lists(st.integers(0, 2**31 - 1), max_size=9))
def test_the_hash_of_the_host_is_that_of_the_device(tokens):
  calls = [ops.EncodedCall(INSERT, SEMANTIC, tokens=(5,))]
  calls.append(ops.EncodedCall(INSERT, SEMANTIC, tokens=tuple(tokens)))
  packed = ops.pack([calls], O=2, T=10, W=1)
  hashes = jax.jit(content.hashes)(jax.tree.map(lambda x: x[0], packed))
  assert hashes.tolist() == [content.hash_of([5]), content.hash_of(tokens)]


def document(**changes):
  version = {
    'kind': 'semantic', 'id': 'a0', 'text': 'Mira', 'created': 0,
    'updated': 1, 'closed': None,
  }  # fmt: skip
  return {
    'format': export.FORMAT,
    'format_version': 2,
    'next_id': 'a1',
    'complete_from': 0,
    'versions': [version | changes],
  }


def two(first, second):
  """Two versions of one id."""
  versions = [document(**x)['versions'][0] for x in (first, second)]
  return document() | {'versions': versions}


def test_versions_that_follow_each_other_are_taken():
  value = two({'closed': 3}, {'updated': 3}) | {'complete_from': 1}
  made = load(value)
  assert int(made.complete_from) == 1
  assert made.closed_M[:2].tolist() == [3, state.NEVER]


def test_what_a_tokenizer_would_change_is_refused():
  raw = tokenizers.Tokenizer.from_str(TOKENIZER._markup.to_str())
  raw.normalizer = tokenizers.normalizers.NFC()
  composing = text.Tokenizer(raw, end_of_turn=2, pad=0, name='composing')
  source = json.dumps(document(text='cafe\u0301'))
  load(source)
  with pytest.raises(ValueError, match='Version 0 .* cannot spell'):
    export.from_json(
      source, tokenizer=composing, terms=text.Terms(), sizes=SIZES
    )


def load(value):
  source = value if isinstance(value, str) else json.dumps(value)
  return export.from_json(
    source, tokenizer=TOKENIZER, terms=text.Terms(), sizes=SIZES
  )


@pytest.mark.parametrize(
  ('value', 'error'),
  [
    ('', 'no memory as JSON'),
    ('[]', 'no memory as JSON'),
    ({'format': 'x'}, 'no memory as JSON'),
    ('[' * 10**5, 'no memory as JSON'),
    (document() | {'format': 'x'}, 'another format'),
    (document() | {'format_version': 1}, 'has format 1'),
    (document() | {'format_version': 1e999}, 'has format inf'),
    (document() | {'complete_from': -1}, 'complete_from is no chunk'),
    (document() | {'complete_from': True}, 'complete_from is no chunk'),
    (document(text='a\ud800'), 'Version 0 .* cannot spell'),
    (two({'closed': 9}, {'updated': 3}), 'Version 1 .* before the one of its'),
    (two({'closed': 9}, {'updated': 5, 'closed': 7}), 'Version 1 .* before'),
    (two({'closed': 3}, {'updated': 3, 'kind': 'episodic'}), 'another kind'),
    (document() | {'next_id': '?'}, 'not the name'),
    (document(extra=1), 'Version 0 .* keys'),
    (document(kind='x'), 'Version 0'),
    (document(id='a1'), 'not below next_id'),
    (document(id=None), 'Version 0'),
    (document(id=3), 'Version 0'),
    (document(kind='core'), 'core has no id'),
    (document(text=3), 'no string'),
    (document(created=2), 'not in order'),
    (document(closed=0), 'not in order'),
    (document(closed=2**31 - 1), 'not in order'),
    (document(created=True), 'not in order'),
    (document(created=-1), 'not in order'),
    (document(text='x' * 2999), 'needs .* tokens .* room for 2048'),
    (
      document() | {'versions': document()['versions'] * 2},
      'Version 1 .* before the one of its id before it is closed',
    ),
  ],
)
def test_what_is_wrong_is_named(value, error):
  with pytest.raises(ValueError, match=error):
    load(value)


def test_the_readme_shows_a_memory_without_a_model(
  tmp_path, monkeypatch, capsys
):
  readme = pathlib.Path(__file__).parents[2] / 'README.md'
  block = readme.read_text(encoding='utf-8').split('<!-- own-memory -->')[1]
  monkeypatch.chdir(tmp_path)
  exec(block.split('```python\n')[1].split('```')[0], {})
  said = capsys.readouterr().out
  assert 'Mira lives in Oslo.\n' in said
  (version,) = json.loads(said[said.index('{') :])['versions']
  assert (version['id'], version['text']) == ('a0', 'Mira lives in Oslo.')
