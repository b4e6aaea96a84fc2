"""Tests of text.py: round trips, untrusted text, atoms, files on disk."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import hypothesis
import pytest
import tokenizers
from hypothesis import strategies as st

from mem_alpha import text

TEXTS = [
  'Mira lives in Oslo. Tom moved to Rome in 1998.',
  'Tom likes tea and Mira likes coffee.\n\nThey said: "Hello there!"',
] * 10
ATOMS = ['{"name": "', '"}}', '"}}\n', '", "', 'Done', '\n[', '] ']
TOKENIZER = text.train_bpe(TEXTS, vocab_size=320, atoms=ATOMS)

# Strings rich in what could go wrong: markup, atoms, breaks, long code points.
PIECES = st.sampled_from(
  [*ATOMS, *text.SPECIALS, 'Mira', ' ', '\n', '\r', '😀']
)
STRINGS = st.one_of(st.text(), st.lists(PIECES | st.text()).map(''.join))


@hypothesis.given(STRINGS)
def test_text_survives_and_never_becomes_a_special_token(string):
  ids = TOKENIZER.encode(string)
  assert TOKENIZER.decode(ids) == string
  specials = {TOKENIZER.token_id(token) for token in text.SPECIALS}
  assert not specials & set(ids)
  assert all(0 <= i < TOKENIZER.vocab_size for i in ids)


def test_markup_recognises_special_tokens():
  ids = TOKENIZER.encode_markup('<|im_start|>Mira<|im_end|>')
  assert ids[0] == TOKENIZER.token_id('<|im_start|>')
  assert ids[-1] == TOKENIZER.end_of_turn
  assert TOKENIZER.pad == TOKENIZER.token_id('<|pad|>')
  assert TOKENIZER.decode(ids) == '<|im_start|>Mira<|im_end|>'


@hypothesis.given(STRINGS)
def test_trained_tokenizers_spell_every_text_exactly(string):
  assert TOKENIZER.encode_exactly(string) == TOKENIZER.encode(string)


@functools.cache
def plain_released():
  return released()


def released(*, normalizer=None):
  """As a released model's: controls that the vocabulary calls no special."""
  raw = tokenizers.Tokenizer.from_str(
    _saved(text.train_bpe([], vocab_size=259))
  )
  state = json.loads(raw.to_str())
  state['added_tokens'] = []
  state['model']['vocab'] = {
    token: i - 3 for token, i in state['model']['vocab'].items() if i >= 3
  }
  raw = tokenizers.Tokenizer.from_str(json.dumps(state))
  raw.add_special_tokens(['<|im_start|>', '<|im_end|>'])
  raw.add_tokens(['<think>', '</think>', '<tool_call>'])
  if normalizer is not None:
    raw.normalizer = normalizer
  end = raw.token_to_id('<|im_end|>')
  return text.Tokenizer(raw, end_of_turn=end, pad=end, name='released')


CONTROLS = ('<think>', '</think>', '<tool_call>', '<|im_start|>', '<|im_end|>')


@hypothesis.given(
  st.lists(st.sampled_from([*CONTROLS, '<', 'x']) | st.text()).map(''.join)
)
def test_no_text_becomes_a_control_token_whatever_the_file_calls_it(string):
  tokenizer = plain_released()
  ids = tokenizer.encode(string)
  assert max(ids, default=0) < 256
  assert tokenizer.encode_exactly(string) == ids
  for token in CONTROLS:
    assert tokenizer.encode_markup(token) == [tokenizer.token_id(token)]


def test_what_would_come_back_changed_is_refused():
  composing = released(normalizer=tokenizers.normalizers.NFC())
  for string in ('cafe\u0301', '\u212b', '\u0958', 'a\ud800b'):
    assert composing.decode(composing.encode(string)) != string
    with pytest.raises(ValueError, match="'released' cannot spell"):
      composing.encode_exactly(string)
  assert (
    composing.decode(composing.encode_exactly('café 한 😀')) == 'café 한 😀'
  )


def test_the_fingerprint_is_of_the_content(tmp_path):
  TOKENIZER.save(tmp_path / 't')
  assert text.load(tmp_path / 't').fingerprint == TOKENIZER.fingerprint
  assert len(TOKENIZER.fingerprint) == 64
  twin = text.train_bpe(['other words entirely'] * 9, vocab_size=320)
  assert twin.name == TOKENIZER.name
  assert twin.fingerprint != TOKENIZER.fingerprint
  composing = released(normalizer=tokenizers.normalizers.NFC())
  assert composing.fingerprint != released().fingerprint


def test_lone_surrogate_is_replaced():
  assert TOKENIZER.decode(TOKENIZER.encode('a\ud800b')) == 'a\ufffdb'


@pytest.mark.parametrize('atom', ATOMS)
@pytest.mark.parametrize('around', ['', 'x', ' ', 'Mira', '😀', '7'])
def test_atom_is_one_token_wherever_it_occurs(atom, around):
  atom_id = TOKENIZER.encode(atom)
  assert len(atom_id) == 1
  ids = TOKENIZER.encode(around + atom + around)
  assert atom_id[0] in ids
  assert ids == [*TOKENIZER.encode(around), *atom_id, *TOKENIZER.encode(around)]


def test_of_overlapping_atoms_the_leftmost_then_longest_wins():
  pieces = [TOKENIZER.decode([i]) for i in TOKENIZER.encode('"}}\n[')]
  assert pieces == ['"}}\n', '[']


def test_vocabulary_counts_everything_and_fits():
  assert TOKENIZER.vocab_size <= 320
  small = len(text.SPECIALS) + 256 + len(ATOMS)
  tokenizer = text.train_bpe(TEXTS, vocab_size=small, atoms=ATOMS)
  assert tokenizer.vocab_size == small
  assert tokenizer.decode(tokenizer.encode('Mira é')) == 'Mira é'


def test_merges_come_from_the_text_between_atoms():
  texts = ['{"name": "Mira"}}'] * 50
  tokenizer = text.train_bpe(texts, vocab_size=400, atoms=ATOMS)
  model = json.loads(_saved(tokenizer))['model']
  assert [''.join(merge) for merge in model['merges']][-1] == 'Mira'
  assert not any('n' in ''.join(merge) for merge in model['merges'])


@pytest.mark.parametrize(
  ('atoms', 'size', 'message'),
  [
    ([], 258, 'too small'),
    (['a b'] * 3, 259, 'too small'),
    ([''], 400, 'empty'),
    (['<|im_end|>\n'], 400, 'special token'),
    (['é'], 400, 'ASCII'),
  ],
)
def test_bad_training_arguments(atoms, size, message):
  with pytest.raises(ValueError, match=message):
    text.train_bpe(TEXTS, vocab_size=size, atoms=atoms)


def test_same_input_gives_the_same_bytes_in_every_process(tmp_path):
  script = (
    'import sys\n'
    'from mem_alpha import text\n'
    f'tokenizer = text.train_bpe({TEXTS!r}, vocab_size=320, atoms={ATOMS!r})\n'
    'tokenizer.save(sys.argv[1])\n'
  )
  files = set()
  for seed in ('0', '1'):
    directory = tmp_path / seed
    subprocess.run(
      [sys.executable, '-c', script, directory],
      env={**os.environ, 'PYTHONHASHSEED': seed},
      cwd=pathlib.Path(__file__).parents[1],
      check=True,
    )
    files.add((directory / text.MODEL_FILE).read_bytes())
  files.add(_saved(TOKENIZER).encode())
  assert len(files) == 1


def test_save_then_load_encodes_alike(tmp_path):
  TOKENIZER.save(tmp_path / 'a' / 'tokenizer')
  loaded = text.load(tmp_path / 'a' / 'tokenizer')
  for string in [*TEXTS[:2], *ATOMS, '<|im_end|>😀\x00', '']:
    assert loaded.encode(string) == TOKENIZER.encode(string)
    assert loaded.encode_markup(string) == TOKENIZER.encode_markup(string)
  for name in ('vocab_size', 'end_of_turn', 'pad', 'name'):
    assert getattr(loaded, name) == getattr(TOKENIZER, name)
  loaded.save(tmp_path / 'b')
  for file in (text.MODEL_FILE, text.CONFIG_FILE):
    first = tmp_path / 'a' / 'tokenizer' / file
    assert first.read_bytes() == (tmp_path / 'b' / file).read_bytes()


def test_save_leaves_an_equal_directory_and_refuses_another(tmp_path):
  (tmp_path / 'tokenizer').mkdir()  # an empty one is fine
  TOKENIZER.save(tmp_path / 'tokenizer')
  TOKENIZER.save(tmp_path / 'tokenizer')
  (tmp_path / 'tokenizer' / text.MODEL_FILE).write_text('{}')
  with pytest.raises(ValueError, match='other files'):
    TOKENIZER.save(tmp_path / 'tokenizer')
  assert [path.name for path in tmp_path.iterdir()] == ['tokenizer']


def test_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
  def fail(*_):
    raise OSError('disk full')

  monkeypatch.setattr(pathlib.Path, 'rename', fail)
  with pytest.raises(OSError, match='disk full'):
    TOKENIZER.save(tmp_path / 'tokenizer')
  assert not list(tmp_path.iterdir())


def test_load_says_what_is_missing_or_broken(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'No tokenizer\.json in'):
    text.load(tmp_path / 'nowhere')
  model, config = tmp_path / text.MODEL_FILE, tmp_path / text.CONFIG_FILE
  model.write_text('{"broken": ')
  with pytest.raises(FileNotFoundError, match='No tokenizer_config'):
    text.load(tmp_path)
  config.write_text('{}')
  with pytest.raises(ValueError, match='cannot be read as a tokenizer'):
    text.load(tmp_path)
  model.write_text(_saved(TOKENIZER))
  for broken, message in [
    ('{', 'is not JSON'),
    ('[]', 'JSON object'),
    ('{"pad_token": "<|no|>"}', 'do not belong together'),
  ]:
    config.write_text(broken)
    with pytest.raises(ValueError, match=message):
      text.load(tmp_path)


def test_load_reads_hugging_face_spellings(tmp_path):
  raw = json.loads(_saved(TOKENIZER).replace('<|im_end|>', '</s>'))
  raw['truncation'] = {
    'direction': 'Right',
    'max_length': 2,
    'strategy': 'LongestFirst',
    'stride': 0,
  }
  (tmp_path / text.MODEL_FILE).write_text(json.dumps(raw))
  config = tmp_path / text.CONFIG_FILE
  config.write_text(json.dumps({'eos_token': {'content': '</s>'}}))
  tokenizer = text.load(tmp_path)
  assert tokenizer.end_of_turn == tokenizer.token_id('</s>')
  assert tokenizer.pad == tokenizer.end_of_turn  # none of its own
  assert tokenizer.name == tmp_path.name
  assert len(tokenizer.encode(TEXTS[0])) > 2
  config.write_text('{"eos_token": null}')
  with pytest.raises(ValueError, match='names no eos_token'):
    text.load(tmp_path)


def test_end_of_turn_is_that_of_chatml_where_there_is_one(tmp_path):
  TOKENIZER.save(tmp_path / 't')
  config = {'eos_token': '<|pad|>', 'pad_token': '<|pad|>'}
  (tmp_path / 't' / text.CONFIG_FILE).write_text(json.dumps(config))
  assert text.load(tmp_path / 't').end_of_turn == TOKENIZER.end_of_turn


def test_words_are_those_of_bm25():
  assert text.words("Ada's 2nd café, snake_case — ÉTÉ!") == [
    'ada', 's', '2nd', 'café', 'snake_case', 'été',
  ]  # fmt: skip
  assert text.words('!? …') == []


@hypothesis.given(st.lists(st.text(alphabet='abC 1.', max_size=8)))
def test_terms_name_each_word_by_one_id(strings):
  terms, seen = text.Terms(), {}
  for string in strings:
    for word, i in zip(text.words(string), terms.encode(string), strict=True):
      assert seen.setdefault(word, i) == i
  assert sorted(seen.values()) == list(range(len(terms)))


@hypothesis.given(st.lists(st.text(max_size=9), max_size=9), st.text())
def test_two_words_never_share_an_id(strings, query):
  """The ids are places in a list, so there is nothing that could collide."""
  terms = text.Terms()
  encoded = [terms.encode(string) for string in strings]
  for string, ids in zip(strings, encoded):
    assert [terms.word(i) for i in ids] == text.words(string)
  known = {word for string in strings for word in text.words(string)}
  assert len({terms.add(word) for word in known}) == len(known) == len(terms)
  found = terms.find(query)  # a query adds no word
  assert len(terms) == len(known)
  assert [terms.word(i) if i >= 0 else None for i in found] == [
    word if word in known else None for word in text.words(query)
  ]


def _saved(tokenizer):
  return tokenizer._markup.to_str()
