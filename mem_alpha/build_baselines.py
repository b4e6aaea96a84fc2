"""From a config to the baselines of a table. Read with build.py."""

import pathlib

from mem_alpha import build_panel
from mem_alpha import text
from mem_alpha.baselines import base
from mem_alpha.baselines import plain
from mem_alpha.baselines import recurrent
from mem_alpha.evals import kept as kept_lib

NAMES = (
  'full_context',
  'rag_top2',
  'rag_topk',
  'verbatim',
  'overwrite',
  'state',
)
_WRITERS = ('extract', 'local', 'endpoint')


def check(config) -> None:
  """One sentence for each setting that cannot work."""
  b = config.baselines
  for key in ('context_tokens', 'top_k', 'verbatim_tokens', 'state_tokens'):
    if b[key] < 1:
      raise ValueError(
        f'baselines.{key}={b[key]} is out of range: it must be at least 1.'
      )
  if b.temperature < 0:
    raise ValueError(
      f'baselines.temperature={b.temperature} is out of range: it must be 0 or '
      'more.'
    )
  if b.writer not in _WRITERS:
    raise ValueError(
      f'baselines.writer={b.writer!r} is unknown: use one of '
      f'{", ".join(_WRITERS)}.'
    )
  needed = {
    'endpoint': config.endpoint.url and config.endpoint.model,
    'local': config.reader.weights,
  }
  if not needed.get(b.writer, True):
    raise ValueError(
      f'baselines.writer={b.writer!r} needs '
      + ('endpoint.url and endpoint.model.', 'reader.weights.')[
        b.writer == 'local'
      ]
    )


def make(
  name: str,
  config,
  vocab: text.Tokenizer,
  workdir: pathlib.Path,
  *,
  failures: dict[str, str],
  kept: kept_lib.Kept | None = None,
) -> base.Baseline:
  """A baseline by its name in eval.systems.

  A model that writes fills `failures`, and its work is kept chunk by chunk.
  """
  b, count = config.baselines, counter(vocab)
  if name == 'full_context':
    return plain.full_context(
      tokens=b.context_tokens, count=count, cut=_last(vocab)
    )
  if name in ('rag_top2', 'rag_topk'):
    return plain.rag(k=2 if name == 'rag_top2' else b.top_k, count=count)
  if name == 'verbatim':
    return plain.verbatim(
      tokens=b.verbatim_tokens, k=config.reader.top_k, count=count
    )
  if b.writer == 'extract':  # faster than to look it up
    kept = None
    update = recurrent.extracting(tokens=b.state_tokens, count=count)
  else:
    model = build_panel.model(
      config,
      vocab,
      workdir,
      b.writer,
      max_new_tokens=b.state_tokens,
      temperature=b.temperature,
    )
    update = recurrent.asking(model, name, tokens=b.state_tokens)
  return recurrent.recurrent(
    update,
    tokens=b.state_tokens,
    count=count,
    cut=_first(vocab),
    failures=failures,
    kept=kept,
  )


def counter(vocab: text.Tokenizer) -> base.Count:
  """Tokens of a text."""
  return lambda s: len(vocab.encode(s))


def _last(vocab: text.Tokenizer):
  """The end of a text, in at most n tokens."""
  return lambda s, n: _cut(vocab, s, n, lambda ids, size: ids[-size:])


def _first(vocab: text.Tokenizer):
  """The beginning of a text, in at most n tokens."""
  return lambda s, n: _cut(vocab, s, n, lambda ids, size: ids[:size])


def _cut(vocab: text.Tokenizer, s: str, n: int, part) -> str:
  """A part of a text is not always encoded as in the whole of it."""
  ids = vocab.encode(s)
  for size in range(n, 0, -1):
    found = vocab.decode(part(ids, size))
    if len(vocab.encode(found)) <= n:
      return found
  return ''
