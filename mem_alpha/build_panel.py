"""From a config to those who answer, score and judge. Read with build.py."""

import contextlib
import pathlib
from collections.abc import Iterator

import jax

from mem_alpha import mesh
from mem_alpha import text
from mem_alpha.evals import score
from mem_alpha.models import gguf
from mem_alpha.models import hf
from mem_alpha.readers import asking
from mem_alpha.readers import base
from mem_alpha.readers import cache
from mem_alpha.readers import client
from mem_alpha.readers import endpoint
from mem_alpha.readers import failures
from mem_alpha.readers import judge
from mem_alpha.readers import lexical
from mem_alpha.readers import local
from mem_alpha.readers import prompt
from mem_alpha.readers import protocol
from mem_alpha.rewards import calls
from mem_alpha.rewards import compression
from mem_alpha.rewards import dense
from mem_alpha.rewards import marks
from mem_alpha.rewards import scores
from mem_alpha.rollout import continuations
from mem_alpha.rollout import reading
from mem_alpha.rollout import sampler

READERS = ('lexical', 'local', 'endpoint')
JUDGES = (None, 'local', 'endpoint')
_CACHE = 'answers.sqlite'


def check(config) -> None:
  """One sentence for each setting, or pair of settings, that cannot work."""
  r, e, g, w = config.reader, config.endpoint, config.grpo, config.reward
  for key, value, allowed in (
    ('reader.name', r.name, READERS),
    ('reader.order', r.order, prompt.ORDERS),
    ('judge.name', config.judge.name, JUDGES),
    ('endpoint.api', e.api, protocol.APIS),
    ('reward.scores', w.scores, scores.PROFILES),
    ('reward.answer_by', w.answer_by, dense.BY),
    ('reward.skipped', w.skipped, calls.SKIPPED),
    ('reward.tokenizer', w.tokenizer, compression.TOKENIZERS),
  ):
    if value not in allowed:
      names = ', '.join(map(str, allowed))
      raise ValueError(f'{key}={value!r} is unknown: use one of {names}.')
  for key, value, least in (
    ('reader.max_words', r.max_words, 1),
    ('reader.top_k', r.top_k, 1),
    ('reader.query_words', r.query_words, 1),
    ('reader.question_tokens', r.question_tokens, 1),
    ('reader.max_new_tokens', r.max_new_tokens, 1),
    ('reader.groups', r.groups, 1),
    ('reader.questions', r.questions, 1),
    ('reader.rounds', r.rounds, 0),
    ('reader.temperature', r.temperature, 0),
    ('judge.max_new_tokens', config.judge.max_new_tokens, 1),
    ('endpoint.concurrency', e.concurrency, 1),
    ('endpoint.attempts', e.attempts, 1),
    ('endpoint.connect_seconds', e.connect_seconds, 0.1),
    ('endpoint.read_seconds', e.read_seconds, 0.1),
    ('endpoint.first_wait', e.first_wait, 0),
    ('endpoint.longest_wait', e.longest_wait, 0),
    ('endpoint.max_requests', e.max_requests, 1),
    ('endpoint.failure_limit', e.failure_limit, 0),
    ('grpo.at_once', g.at_once, 1),
  ):
    if value is not None and not value >= least:  # NaN is out of range, too
      raise ValueError(
        f'{key}={value} is out of range: it must be at least {least}.'
      )
  for key, value, most in (
    ('reader.rounds', r.rounds, 5),
    ('endpoint.failure_limit', e.failure_limit, 1),
  ):
    if value > most:
      raise ValueError(
        f'{key}={value} is out of range: it must be at most {most}.'
      )
  _check_models(config)


def _check_models(config) -> None:
  r, e = config.reader, config.endpoint
  names = {r.name, config.judge.name}
  if 'endpoint' in names and not (e.url and e.model):
    raise ValueError(
      'An endpoint needs endpoint.url and endpoint.model: the address and the '
      'name of the model that answers.'
    )
  if (
    'endpoint' in names
    and 'local' not in names
    and e.api == 'completions'
    and r.thinking is not None
  ):
    raise ValueError(
      f'reader.thinking={r.thinking} does nothing with endpoint.api='
      "'completions', which has no chat template: leave it out, or use 'chat'."
    )
  if 'local' in names and not r.weights:
    raise ValueError(
      'A local reader or judge needs reader.weights: a .gguf file or a Hugging '
      'Face directory.'
    )
  if config.judge.content and config.judge.name is None:
    raise ValueError('judge.content=True needs judge.name: local or endpoint.')
  plain = r.name == 'lexical' and config.reward.scores == 'default'
  if config.grpo.evidence and not plain:
    raise ValueError(
      'grpo.evidence asks the reader again for every entry and scores by the '
      "default rules: it needs reader.name='lexical', reward.scores='default'."
    )


def panel(config, vocab: text.Tokenizer, workdir: pathlib.Path):
  """Everyone that a run asks; connections are opened when they are used."""
  models = _Models(config, vocab, workdir)
  j = config.judge
  correct = contents = None
  if j.name:
    model = models.make(
      j.name, j.model, max_new_tokens=j.max_new_tokens, temperature=0.0
    )
    yes = marks.published_yes(config.reward.scores)
    correct = judge.Correct(model, models.ledger, yes=yes)
    if j.content:
      contents = judge.Content(model, models.ledger, sees_chunk=j.chunk)
  return reading.Panel(
    reader=_reader(config, vocab, models),
    marker=marks.Marker(config.reward.scores, correct),
    judge=contents,
    published_content=config.reward.published_content,
    close=models.close,
  )


@contextlib.contextmanager
def helper(config, workdir: pathlib.Path) -> Iterator[base.Model]:
  """The model at the endpoint, greedy, for what is no reading or judging."""
  with contextlib.closing(_Models(config, None, workdir)) as models:
    most = config.judge.max_new_tokens
    yield models.make('endpoint', None, max_new_tokens=most, temperature=0.0)


def model(config, vocab: text.Tokenizer, workdir: pathlib.Path, name, **limits):
  """A language model that writes: `local`, or `endpoint`, asked by process 0.

  Its connections end with the process.
  """
  made = _Models(config, vocab, workdir).make(name, None, **limits)
  if not base.overlaps(made):
    return made
  return lambda prompts: mesh.from_first(lambda: made(prompts))


def rules(config) -> score.Rules:
  """How the parts of the reward are counted."""
  r = config.reward
  return score.Rules(
    answer_by=r.answer_by,
    calls=calls.Rules(r.skipped, r.unknown_delete, r.truncated, r.done),
    published_content=r.published_content,
    count=compression.counter(r.tokenizer),
  )


def _reader(config, vocab: text.Tokenizer, models) -> base.Reader:
  r = config.reader
  if r.name == 'lexical':
    return lexical.Lexical(max_words=r.max_words)
  model = models.make(
    r.name,
    None,
    max_new_tokens=r.max_new_tokens,
    temperature=r.temperature,
  )
  is_local = r.name == 'local'
  tokenizer = models.vocab if is_local else vocab
  layout = prompt.Layout(
    lambda s: len(tokenizer.encode(s)),
    r.prompt_tokens,
    r.order,
    markup=local.markup_tokens(tokenizer, thinking=r.thinking),
    question_tokens=model.question_tokens if is_local else None,
  )
  return asking.Asking(model, layout, models.ledger, rounds=r.rounds)


class _Models:
  """Models for readers and judges; they share weights, client and ledger."""

  def __init__(self, config, vocab, workdir: pathlib.Path):
    self.config, self.workdir = config, workdir
    self.ledger = failures.Ledger(config.endpoint.failure_limit)
    self.vocab = vocab  # of the local model, once one is made
    self._client = self._weights = None

  def make(self, name: str, served: str | None, *, max_new_tokens, temperature):
    """A model by name; `served` is its name on the server."""
    if name == 'endpoint':
      spec = protocol.Spec(
        served or self.config.endpoint.model,
        max_new_tokens,
        temperature,
        self.config.endpoint.api,
        self.config.reader.thinking,
      )
      return endpoint.Endpoint(self._connect(), spec)
    return self._local(max_new_tokens, temperature)

  def close(self) -> None:
    """Ends the connections, if any was made; one file of answers is left."""
    if self._client is not None:
      self._client.close()
      self._client.cache.close()

  def _connect(self) -> client.Client:
    e = self.config.endpoint
    if self._client is None:
      # Processes of one run must not write one file; each has its own budget.
      name = (
        f'{jax.process_index()}_{_CACHE}' if jax.process_index() else _CACHE
      )
      self._client = client.Client(
        e.url,
        limits=client.Limits(
          e.concurrency,
          e.connect_seconds,
          e.read_seconds,
          e.attempts,
          e.first_wait,
          e.longest_wait,
          e.max_requests,
        ),
        cache=cache.Cache(
          pathlib.Path(e.cache) if e.cache else self.workdir / name,
          run=str(self.workdir.resolve()),
        ),
        ledger=self.ledger,
        key=client.key_from(e.key_env),
      )
    return self._client

  def _local(self, max_new_tokens: int, temperature: float) -> local.Local:
    r = self.config.reader
    if self._weights is None:
      path = pathlib.Path(r.weights)
      is_gguf = path.suffix == '.gguf'
      load = gguf.load if is_gguf else hf.load
      self._weights = load(path, dtype=self.config.model.dtype)[:2]
      self.vocab = gguf.load_tokenizer(path) if is_gguf else text.load(path)
    generate = continuations.Continuer(
      *self._weights,
      shape=continuations.Shape(
        r.groups, r.questions, r.prompt_tokens, r.question_tokens
      ),
      sampling=sampler.Sampling(
        temperature, max_new_tokens, self.vocab.end_of_turn, self.vocab.pad
      ),
    )
    return local.Local(
      generate,
      self.vocab,
      prefix=r.prompt_tokens,
      tail=r.question_tokens,
      thinking=r.thinking,
    )
