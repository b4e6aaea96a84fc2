"""Strings to integers: the run's tokenizer, and the word ids of BM25.

Text from outside (chunks, entries, questions) is *untrusted*: `encode` never
returns the id of a control token, so a chunk that contains `<|im_end|>` cannot
end the user's turn, nor `</think>` a thought. Control tokens are all that were
added to a vocabulary, whether or not it calls them special (Qwen3 does not call
`<think>` so), but for the atoms of `train_bpe`, which are text. Only prompt
templates go through `encode_markup`.

The embedded tier trains its tokenizer inside the run (`train_bpe`); the others
load the files of a pretrained model (`load`). Both are byte-level: where the
vocabulary holds all 256 bytes, as trained ones do, `decode(encode(s)) == s` for
every string. Others change some: Qwen3 composes characters (NFC), SmolLM2 lacks
21 bytes. `encode_exactly` refuses what would not come back.
"""

import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Sequence

import tokenizers
from tokenizers import decoders
from tokenizers import models
from tokenizers import pre_tokenizers
from tokenizers import trainers

PAD = '<|pad|>'
TURN_START = '<|im_start|>'
TURN_END = '<|im_end|>'
SPECIALS = (PAD, TURN_START, TURN_END)
MODEL_FILE = 'tokenizer.json'
CONFIG_FILE = 'tokenizer_config.json'
TEMPLATE_FILE = 'chat_template.jinja'

_WORD = re.compile(r'\b\w+\b')
_LONE_SURROGATE = re.compile('[\ud800-\udfff]')
# Words keep the space in front of them, up to three digits stay together, and
# a run of spaces leaves its last one to the word that follows.
_SPLIT = (
  r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+"
  r'|\s+(?!\S)|\s+'
)


def words(text: str) -> list[str]:
  """The words that BM25 counts: lower case, letters, digits and underscore."""
  return _WORD.findall(text.lower())


class Terms:
  """Word ids for BM25. A dict that grows, so two words never share an id."""

  def __init__(self):
    self._ids: dict[str, int] = {}
    self._words: list[str] = []
    self._lock = threading.Lock()  # readers encode questions in threads

  def __len__(self) -> int:
    return len(self._ids)

  def encode(self, text: str) -> tuple[int, ...]:
    """Ids of the words of a text; a new word gets the next free id."""
    with self._lock:
      return tuple(self._add(word) for word in words(text))

  def find(self, text: str) -> tuple[int, ...]:
    """Ids of the words of a query; -1 for a word that no text had."""
    with self._lock:
      return tuple(self._ids.get(word, -1) for word in words(text))

  def add(self, word: str) -> int:
    """The id of one word as `words` returns it."""
    with self._lock:
      return self._add(word)

  def word(self, term: int) -> str:
    """The word of an id that `encode` or `add` gave out."""
    return self._words[term]

  def _add(self, word: str) -> int:
    if word not in self._ids:
      self._ids[word] = len(self._words)
      self._words.append(word)
    return self._ids[word]


class Tokenizer:
  """A tokenizer that treats text and prompt markup differently.

  Compared and hashed by identity: one object per run.
  """

  def __init__(
    self,
    raw: tokenizers.Tokenizer,
    *,
    end_of_turn: int,
    pad: int,
    name: str,
    chat_template: str | None = None,
  ):
    self._markup = _copy(raw)
    self._plain = _without_controls(self._markup)
    self.end_of_turn = end_of_turn
    self.pad = pad
    self.name = name
    self.chat_template = chat_template  # Jinja, as the model was trained
    self.vocab_size = max(raw.get_vocab(with_added_tokens=True).values()) + 1

  @functools.cached_property
  def fingerprint(self) -> str:
    """SHA-256 of all that decides what ids mean; names may be shared."""
    return hashlib.sha256(self._markup.to_str().encode('utf-8')).hexdigest()

  def encode(self, text: str) -> list[int]:
    """Ids of untrusted text. A lone surrogate becomes U+FFFD."""
    return self._plain.encode(_clean(text), add_special_tokens=False).ids

  def encode_exactly(self, text: str) -> list[int]:
    """`encode`, or ValueError where `decode` would give another text back."""
    ids = self.encode(text)
    if self.decode(ids) != text:
      raise ValueError(
        f'The tokenizer {self.name!r} cannot spell {ascii(text[:40])}: '
        'another text would come back; write it without lone surrogates, and '
        'with composed characters (NFC).'
      )
    return ids

  def encode_markup(self, text: str) -> list[int]:
    """Ids of a prompt template, in which special tokens are recognised."""
    return self._markup.encode(text, add_special_tokens=False).ids

  def decode(self, ids: Iterable[int]) -> str:
    """The text of ids; special tokens stay visible, callers cut at them."""
    ids = [int(i) for i in ids]
    return self._markup.decode(ids, skip_special_tokens=False)

  def token_id(self, token: str) -> int | None:
    return self._markup.token_to_id(token)

  def save(self, directory: str | os.PathLike) -> None:
    """Writes the directory at once; one with the same files is left alone."""
    config = {
      'name': self.name,
      'tokenizer_class': 'PreTrainedTokenizerFast',
      'eos_token': self._markup.id_to_token(self.end_of_turn),
      'pad_token': self._markup.id_to_token(self.pad),
    }
    if self.chat_template is not None:
      config['chat_template'] = self.chat_template
    files = {
      MODEL_FILE: self._markup.to_str(),
      CONFIG_FILE: json.dumps(config, indent=2) + '\n',
    }
    _write_directory(pathlib.Path(directory), files)


def train_bpe(
  texts: Iterable[str],
  *,
  vocab_size: int,
  atoms: Sequence[str] = (),
  name: str = 'embedded',
) -> Tokenizer:
  """Trains a byte-level BPE of at most `vocab_size` tokens, all included.

  Each string of `atoms` is one token wherever it occurs (where atoms overlap,
  the leftmost and then the longest wins), also in untrusted text. Merges are
  learnt from what lies between the atoms. The same input gives the same bytes.
  """
  atoms = list(dict.fromkeys(atoms))
  _check_atoms(atoms, vocab_size)
  raw = _untrained()
  trainer = trainers.BpeTrainer(
    vocab_size=vocab_size - len(atoms),
    min_frequency=2,
    special_tokens=list(SPECIALS),
    initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    show_progress=False,
  )
  raw.train_from_iterator(_between(texts, atoms), trainer)
  raw.add_tokens(
    [
      tokenizers.AddedToken(atom, normalized=False, special=False)
      for atom in atoms
    ]
  )
  _check_decoding(raw, atoms)
  return Tokenizer(
    raw,
    end_of_turn=raw.token_to_id(TURN_END),
    pad=raw.token_to_id(PAD),
    name=name,
  )


def load(directory: str | os.PathLike) -> Tokenizer:
  """Reads the directory of `save`, or the files of a Hugging Face model."""
  directory = pathlib.Path(directory)
  for file in (MODEL_FILE, CONFIG_FILE):
    if not (directory / file).is_file():
      raise FileNotFoundError(
        f'No {file} in {directory}: a tokenizer needs {MODEL_FILE} and '
        f'{CONFIG_FILE}; point to a directory that holds both.'
      )
  try:
    raw = tokenizers.Tokenizer.from_file(str(directory / MODEL_FILE))
  except Exception as error:  # the package raises bare Exception
    raise ValueError(
      f'{directory / MODEL_FILE} cannot be read as a tokenizer ({error}); '
      'fetch or train it again.'
    ) from error
  config = read_config(directory / CONFIG_FILE)
  # Prompts are ChatML: a base model's config names another end of text.
  end = raw.token_to_id(TURN_END)
  if end is None:
    end = _named_id(raw, config, 'eos_token', directory)
  if end is None:
    raise ValueError(
      f'{directory / CONFIG_FILE} names no eos_token and the vocabulary has no '
      f'{TURN_END}; add the token that ends a turn as eos_token.'
    )
  pad = _named_id(raw, config, 'pad_token', directory)
  return Tokenizer(
    raw,
    end_of_turn=end,
    pad=end if pad is None else pad,
    name=str(config.get('name') or directory.resolve().name),
    chat_template=_chat_template(config, directory),
  )


def _copy(raw: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  copy = tokenizers.Tokenizer.from_str(raw.to_str())
  copy.no_truncation()  # released files may carry settings for batching
  copy.no_padding()
  return copy


def _without_controls(raw: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
  """A copy to which control tokens are mere text."""
  state = json.loads(raw.to_str())
  for token in state['added_tokens']:
    token['special'] |= not _is_ours(raw)
  plain = tokenizers.Tokenizer.from_str(json.dumps(state))
  plain.encode_special_tokens = True  # spelt out, not recognised
  return plain


def _is_ours(raw: tokenizers.Tokenizer) -> bool:
  """Whether `train_bpe` made it: what is added and not special is an atom."""
  first = [raw.id_to_token(i) for i in range(len(SPECIALS))]
  return first == list(SPECIALS)


def _clean(text: str) -> str:
  """UTF-8 has no lone surrogates, but JSON escapes can spell them."""
  return text if text.isascii() else _LONE_SURROGATE.sub('\ufffd', text)


def _untrained() -> tokenizers.Tokenizer:
  raw = tokenizers.Tokenizer(models.BPE())
  raw.pre_tokenizer = pre_tokenizers.Sequence(
    [
      pre_tokenizers.Split(tokenizers.Regex(_SPLIT), 'isolated'),
      pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
  )
  raw.decoder = decoders.ByteLevel()
  return raw


def _check_atoms(atoms: Sequence[str], vocab_size: int) -> None:
  needed = len(SPECIALS) + 256 + len(atoms)
  if vocab_size < needed:
    raise ValueError(
      f'vocab_size={vocab_size} is too small: 256 bytes, {len(SPECIALS)} '
      f'special tokens and {len(atoms)} atoms need at least {needed}.'
    )
  for atom in atoms:
    if not atom or any(special in atom for special in SPECIALS):
      raise ValueError(
        f'The atom {atom!r} is empty or holds a special token; atoms are plain '
        'text, since they are recognised in untrusted text too.'
      )


def _check_decoding(raw: tokenizers.Tokenizer, atoms: Sequence[str]) -> None:
  """The byte-level decoder misreads added tokens such as a lone 'é'."""
  for atom in atoms:
    ids = raw.encode(atom, add_special_tokens=False).ids
    if len(ids) != 1 or raw.decode(ids) != atom:
      raise ValueError(
        f'The atom {atom!r} does not survive encoding; use ASCII text.'
      )


def _between(texts: Iterable[str], atoms: Sequence[str]) -> Iterable[str]:
  """The texts without their atoms: no merge is spent on what never occurs."""
  if not atoms:
    yield from map(_clean, texts)
    return
  longest_first = sorted(atoms, key=len, reverse=True)
  pattern = re.compile('|'.join(map(re.escape, longest_first)))
  for text in texts:
    yield from filter(None, pattern.split(_clean(text)))


def read_config(path: pathlib.Path) -> dict:
  """tokenizer_config.json, or one sentence on what is wrong with it."""
  try:
    config = json.loads(path.read_text(encoding='utf-8'))
  except ValueError as error:
    raise ValueError(
      f'{path} is not JSON ({error}); fetch it again.'
    ) from error
  if not isinstance(config, dict):
    raise ValueError(f'{path} must hold a JSON object; fetch it again.')
  return config


def _named_id(
  raw: tokenizers.Tokenizer, config: dict, key: str, directory: pathlib.Path
) -> int | None:
  """Id of a token that the config names as a string or as {'content': …}."""
  token = config.get(key)
  if isinstance(token, dict):
    token = token.get('content')
  if token is None:
    return None
  token_id = raw.token_to_id(token)
  if token_id is None:
    raise ValueError(
      f'{directory / CONFIG_FILE} names {key} {token!r}, which is not in '
      f'{MODEL_FILE}; the two files do not belong together.'
    )
  return token_id


def _chat_template(config: dict, directory: pathlib.Path) -> str | None:
  """From a file of its own, as newer models have it, or from the config."""
  path = directory / TEMPLATE_FILE
  if path.is_file():
    return path.read_text(encoding='utf-8')
  template = config.get('chat_template')
  if isinstance(template, list):  # several, by name
    named = {one['name']: one['template'] for one in template}
    template = named.get('tool_use', named.get('default'))
  return template


def _write_directory(directory: pathlib.Path, files: dict[str, str]) -> None:
  if directory.exists() and not _is_empty(directory):
    if all(_holds(directory / file, data) for file, data in files.items()):
      return
    raise ValueError(
      f'{directory} exists and holds other files than this tokenizer; '
      'remove it or save elsewhere.'
    )
  directory.parent.mkdir(parents=True, exist_ok=True)
  temporary = pathlib.Path(
    tempfile.mkdtemp(prefix=f'{directory.name}.tmp-', dir=directory.parent)
  )
  try:
    temporary.chmod(0o755)  # mkdtemp hides its directories from others
    for file, data in files.items():
      (temporary / file).write_bytes(data.encode('utf-8'))
    temporary.rename(directory)
  finally:
    shutil.rmtree(temporary, ignore_errors=True)


def _is_empty(directory: pathlib.Path) -> bool:
  return directory.is_dir() and not any(directory.iterdir())


def _holds(path: pathlib.Path, data: str) -> bool:
  return path.is_file() and path.read_bytes() == data.encode('utf-8')
