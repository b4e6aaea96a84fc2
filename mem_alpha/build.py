"""From a config to the parts of a run. Nothing below this module sees config.

Each function reads one section and returns plain objects; `check` refuses
combinations that cannot work before anything is loaded.
"""

import os
import pathlib

from mem_alpha import mesh
from mem_alpha import optimizer
from mem_alpha import text
from mem_alpha.agent import encoding
from mem_alpha.agent import prompts
from mem_alpha.agent import tools
from mem_alpha.agent import writer as script
from mem_alpha.data import catalog
from mem_alpha.data import mixture
from mem_alpha.data import schema
from mem_alpha.data import synthetic
from mem_alpha.grpo import update
from mem_alpha.memory import ops
from mem_alpha.memory import retrieval
from mem_alpha.models import decoder
from mem_alpha.models import gguf
from mem_alpha.rewards import compression
from mem_alpha.rewards import scores
from mem_alpha.rewards import total
from mem_alpha.rollout import batch
from mem_alpha.rollout import engine
from mem_alpha.rollout import episode
from mem_alpha.rollout import sampler
from mem_alpha.rollout import writers

SOURCES = ('synthetic', 'files', *catalog.SOURCES)


def check(config) -> None:
  """One sentence for each setting, or pair of settings, that cannot work."""
  for key in (
    'grpo.instances',
    'grpo.rollouts',
    'grpo.updates',
    'eval.batch',
    'eval.test',
    'eval.validation',
    'eval.every',
    'checkpoint.every',
    'batch.rows',
    'data.chunks',
    'sampling.max_calls',
    'sampling.slots',
    'sampling.buckets',
    'sampling.prefill_tokens',
    'data.train_instances',
  ):
    _require(_get(config, key) >= 1, key, _get(config, key), 'at least 1')
  for key in (
    'grpo.steps',
    'warm.steps',
    'warm.copy_steps',
    'warm.keep_steps',
    'grpo.evidence',
    'grpo.fault',
    'grpo.kl',
    'lora.rank',
    'reward.token_price',
    'log.turns',
    'data.curriculum',
  ):
    _require(_get(config, key) >= 0, key, _get(config, key), '0 or more')
  for key in (
    'warm.leave_out_fact',
    'warm.store_small_talk',
    'warm.insert_for_update',
    'warm.store_sentence',
  ):
    _require(0 <= _get(config, key) <= 1, key, _get(config, key), '0 to 1')
  _one_of('model.remat', config.model.remat, tuple(decoder.REMAT))
  for key, allowed in (
    ('prompt.profile', prompts.PROFILES),
    ('memory.core_overflow', ('refuse', 'truncate')),
    ('memory.limit_tokenizer', compression.TOKENIZERS),
    ('reader.idf', retrieval.IDF),
  ):
    _one_of(key, _get(config, key), allowed)
  _one_of('tokenizer.source', config.tokenizer.source, ('train', 'model'))
  if config.data.metric not in (None, scores.JUDGE):
    scores.check(config.data.metric)
  for name in ('train_files', 'validation_files', 'test_files'):
    for path in config.data[name]:
      _one_of(f'data.{name}', pathlib.Path(path).suffix, schema.SUFFIXES)
  _one_of('grpo.group', config.grpo.group, ('chunk', 'instance', 'rollout'))
  _one_of('guard.non_finite', config.guard.non_finite, ('stop', 'skip'))
  for key in ('model.dtype', 'model.param_dtype', 'opt.moments'):
    _one_of(key, _get(config, key), ('float32', 'bfloat16'))
  for source in config.data.sources:
    _one_of('data.sources', source, SOURCES)
  if not config.data.sources:
    raise ValueError(f'data.sources is empty: name one of {SOURCES}.')
  _require(
    0 < config.data.question_share <= 1,
    'data.question_share',
    config.data.question_share,
    'more than 0 and at most 1',
  )
  for key in ('data.caps', 'data.weights'):
    # What files hold is known when they are read.
    known = None if 'files' in config.data.sources else config.data.sources
    mixture.parse(_get(config, key), what=key, known=known)
  if config.tokenizer.source == 'model' and not config.model.weights:
    raise ValueError(
      "tokenizer.source='model' needs model.weights: a .gguf file or a "
      'Hugging Face directory.'
    )
  if config.tokenizer.source == 'train' and config.model.weights:
    raise ValueError(
      'model.weights come with their own tokenizer: set '
      "tokenizer.source='model'."
    )


def tokenizer(config, directory: pathlib.Path) -> text.Tokenizer:
  """The saved tokenizer of the run; the first time, trained or taken over."""
  if (directory / text.MODEL_FILE).exists():
    return text.load(directory)
  if config.tokenizer.source == 'model':
    weights = pathlib.Path(config.model.weights)
    result = (
      gguf.load_tokenizer(weights)
      if weights.suffix == '.gguf'
      else text.load(weights)
    )
  else:
    on = enabled(config)
    result = text.train_bpe(
      _training_texts(config),
      vocab_size=config.tokenizer.vocab_size,
      atoms=[*tools.atoms(on), *prompts.atoms(on)],
    )
  result.save(directory)
  return result


def _training_texts(config):
  """Chunks of training conversations, which hold every word of the frames."""
  spec = synthetic_spec(config)
  for i in range(config.tokenizer.instances):
    conversation = synthetic.instance(spec, 'train', config.seed, i)
    yield from conversation.chunks
    # Contents begin without the space that stands between words of a chunk.
    yield from (note.sentence for notes in conversation.notes for note in notes)


def enabled(config) -> tuple[bool, bool, bool]:
  m = config.memory
  return (m.core, m.semantic, m.episodic)


def synthetic_spec(config) -> synthetic.Spec:
  s = config.data.synthetic
  spec = synthetic.Spec(
    chunks=config.data.chunks,
    facts=s.facts,
    changes=s.changes,
    events=s.events,
    classes=s.classes,
    examples=s.examples,
    topics=s.topics,
    small_talk=s.small_talk,
  )
  return spec if s.tokens is None else synthetic.scaled(spec, s.tokens)


def data_root(config) -> pathlib.Path:
  """Where raw files are: data.root, or raw/ under $MEM_ALPHA_DATA."""
  if config.data.root:
    return pathlib.Path(config.data.root)
  if 'MEM_ALPHA_DATA' in os.environ:
    return pathlib.Path(os.environ['MEM_ALPHA_DATA']) / 'raw'
  raise FileNotFoundError(
    'Raw data files are not configured: set --config.data.root, or the '
    'environment variable MEM_ALPHA_DATA to the folder that holds raw/.'
  )


def episode_spec(config, vocab: text.Tokenizer) -> episode.Spec:
  on, m = enabled(config), config.memory
  limits = ops.Limits(
    core=m.core_limit,
    entry=m.entry_limit,
    enabled=on,
    keep_history=m.keep_history,
    allow_empty=m.allow_empty,
    delete_unknown=m.delete_unknown,
  )
  cut_core = m.core_limit if m.core_overflow == 'truncate' else None
  return episode.Spec(
    parts=prompts.build(vocab, config.prompt.profile, enabled=on),
    encoder=encoding.Encoder(
      vocab, compression.counter(m.limit_tokenizer), cut_core
    ),
    limits=limits,
    pool_tokens=config.memory.tokens,
    pool_terms=config.memory.terms,
    rows=config.memory.rows,
    prompt_tokens=config.prompt.tokens,
    max_calls=config.sampling.max_calls,
    # A response cannot hold more content tokens, nor more words, than this.
    turn_tokens=2 * config.sampling.max_new_tokens,
    show=config.prompt.show,
    top_k=config.reader.top_k,
    max_queries=16,
    query_words=config.reader.query_words,
    idf=config.reader.idf,
  )


def sampling(config, vocab: text.Tokenizer, *, greedy: bool):
  """How responses are drawn: as configured in training, else greedily."""
  s = config.sampling
  return sampler.Sampling(
    temperature=0.0 if greedy else s.temperature,
    max_new_tokens=s.max_new_tokens,
    end_of_turn=vocab.end_of_turn,
    pad=vocab.pad,
    top_k=s.top_k,
    top_p=s.top_p,
    # The model writes `</tool_call>` as one token, where it has it.
    stops=tuple(tuple(vocab.encode_markup(string)) for string in s.stop),
  )


def sampling_sizes(config) -> engine.Sizes:
  s = config.sampling
  return engine.Sizes(
    prompt_tokens=config.prompt.tokens,
    slots=s.slots,
    buckets=s.buckets,
    prefill_tokens=s.prefill_tokens,
  )


def episodes_at_once(config) -> int:
  """Rollouts of a training step that are in progress at a time."""
  rollouts = config.grpo.instances * config.grpo.rollouts
  return min(config.grpo.at_once or rollouts, rollouts)


def teacher(config) -> writers.Script:
  """The imperfect writer; on text without notes, one that picks sentences."""
  w = config.warm
  if not _has_notes(config):
    return writers.verbatim(w.store_sentence)
  habits = script.Habits(
    leave_out_fact=w.leave_out_fact,
    store_small_talk=w.store_small_talk,
    insert_for_update=w.insert_for_update,
  )
  return writers.annotated(habits, show=config.prompt.show)


def keeper(config) -> writers.Script:
  """A writer without choices: it shows how calls are made, not which."""
  if not _has_notes(config):
    return writers.verbatim(1.0)
  habits = script.Habits(store_small_talk=1.0)
  return writers.annotated(habits, show=config.prompt.show)


def _has_notes(config) -> bool:
  return tuple(config.data.sources) == ('synthetic',)


def weights(config) -> total.Weights:
  r = config.reward
  return total.Weights(
    calls=r.calls,
    compression=r.compression,
    content=r.content,
  )


def batch_shape(config) -> batch.Shape:
  """Micro-batches of every update: one shape, hence one compilation."""
  new = config.sampling.max_new_tokens
  return batch.Shape(
    rows=config.batch.rows,
    length=max(config.prompt.tokens + new, config.batch.length or 0),
    targets=max(new, config.batch.targets),
    turns=4 * config.batch.rows,
    response=new,
  )


def warm_update(config) -> update.UpdateSpec:
  return update.UpdateSpec(kind='sft', remat=config.model.remat)


def policy_update(config) -> update.UpdateSpec:
  g = config.grpo
  return update.UpdateSpec(
    kind='policy',
    temperature=config.sampling.temperature,
    clip_low=g.clip_low,
    clip_high=g.clip_high,
    dual_clip=g.dual_clip,
    ratio=g.ratio,
    aggregation=g.aggregation,
    limit=config.sampling.max_new_tokens,
    kl=g.kl,
    remat=config.model.remat,
  )


def warm_steps(config) -> int:
  """Optimiser steps of the warm start, all phases together."""
  w = config.warm
  return w.copy_steps + w.keep_steps + w.steps


def optimizers(config):
  """(warm start's, GRPO's), of one structure: a state fits both."""
  shared = dict(
    schedule=config.opt.schedule,
    weight_decay=config.opt.weight_decay,
    clip_norm=config.opt.clip_norm,
    b1=config.opt.b1,
    b2=config.opt.b2,
    moments=config.opt.moments,
  )

  def make(lr, total):
    warmup = min(config.opt.warmup, total // 2)
    return optimizer.make(lr=lr, warmup=warmup, total=max(total, 1), **shared)

  return (
    make(config.warm.lr, warm_steps(config)),
    make(config.grpo.lr, config.grpo.steps * config.grpo.updates),
  )


def device_mesh(config):
  return mesh.make(config.mesh.fsdp, config.mesh.tp)


def _get(config, key: str):
  for part in key.split('.'):
    config = config[part]
  return config


def _require(ok: bool, key: str, value, wanted: str) -> None:
  if not ok:
    raise ValueError(f'{key}={value} is out of range: it must be {wanted}.')


def _one_of(key: str, value, allowed) -> None:
  if value not in allowed:
    raise ValueError(
      f'{key}={value!r} is unknown: use one of {", ".join(allowed)}.'
    )
