"""The systems of a table by their names: writers, models and baselines.

Read with evaluate.py, whose `Parts` every function here is given.
"""

import re
from collections.abc import Sequence

from mem_alpha import build
from mem_alpha import build_baselines
from mem_alpha import build_panel
from mem_alpha import checkpoint
from mem_alpha.agent import writer as script
from mem_alpha.baselines import base as baselines
from mem_alpha.evals import collect
from mem_alpha.evals import kept as kept_lib
from mem_alpha.evals import replay
from mem_alpha.rollout import asked
from mem_alpha.rollout import writers

# The rows of a run's table, in its order; more: build_baselines.NAMES, and
# `endpoint`, the model at endpoint.url as a writer.
SYSTEMS = (
  'no_memory',
  'scripted',
  'perfect',
  'untrained',
  'warm_start',
  'grpo',
)
SNAPSHOTS = {'warm_start': 'warm_start', 'grpo': 'best'}
_ENDPOINT = 'endpoint'


def check(config) -> None:
  """One sentence for each setting of the table that cannot work."""
  build_baselines.check(config)
  systems, e, name = config.eval.systems, config.endpoint, config.eval.name
  names = (*SYSTEMS, _ENDPOINT, *build_baselines.NAMES)
  for system in systems:
    if system not in names:
      raise ValueError(
        f'eval.systems names {system!r}, which is unknown: use some of '
        f'{", ".join(names)}.'
      )
  if len(set(systems)) < len(systems):
    raise ValueError('eval.systems names a system twice.')
  if _ENDPOINT in systems and not (e.url and e.model):
    raise ValueError(
      "eval.systems names 'endpoint', which needs endpoint.url and "
      'endpoint.model: the address and the name of the model that writes.'
    )
  if name is not None and not re.fullmatch(r'\w[\w.-]*', name):
    raise ValueError(
      f'eval.name={name!r} becomes a folder: use letters, digits, _ . and -.'
    )


def names(config, test) -> Sequence[str]:
  """The rows of the table; a writer over notes needs notes."""
  noted = all(instance.notes for instance in test)
  if not config.eval.systems:
    return [name for name in SYSTEMS if noted or name != 'perfect']
  if 'perfect' in config.eval.systems and not noted:
    raise ValueError(
      "eval.systems names 'perfect', which writes from the generator's notes, "
      f'and the data has none: leave it out for {config.data.sources}.'
    )
  return config.eval.systems


def params_of(parts, store: checkpoint.Store, system: str):
  """The weights of a system that is a model of this process, else None."""
  if system == 'untrained':
    return parts.first_params()
  if system not in SNAPSHOTS:
    return None
  like = {'params': parts.first_params()}
  return store.restore(like, name=SNAPSHOTS[system]).state['params']


def start(
  parts, system: str, params, kept: kept_lib.Kept, failures: dict
) -> collect.Start:
  """How a system turns instances into memories and answers."""
  config, vocab = parts.config, parts.tokenizer
  if system in build_baselines.NAMES:
    made = build_baselines.make(
      system, config, vocab, parts.workdir, failures=failures, kept=kept
    )
    count = build_baselines.counter(vocab)
    return lambda part: baselines.start(made, part, parts.panel, count=count)
  if params is not None:
    writer = parts.agent(params, greedy=True)
    return parts.written(replay.Replayed(writer, kept, failures))
  if system == _ENDPOINT:
    writer = asked.Asked(
      build_panel.model(
        config,
        vocab,
        parts.workdir,
        'endpoint',
        max_new_tokens=config.sampling.max_new_tokens,
        temperature=0.0,
      ),
      vocab,
      prefix=parts.spec.parts.prefix,
      suffix=parts.spec.parts.suffix,
      failures=failures,
    )
    return parts.written(replay.Replayed(writer, kept, failures))
  scripts = {
    'no_memory': lambda *_: [],
    'scripted': build.teacher(config),
    'perfect': writers.annotated(script.PERFECT, show=None),
  }
  return parts.written(parts.script(scripts[system], system))


def settings(parts, params) -> dict:
  """All that the answers of a system depend on, as far as config says it."""
  values = parts.config.to_dict()
  sections = ('seed', 'data', 'memory', 'prompt', 'sampling', 'reader')
  sections += ('judge', 'reward', 'warm', 'baselines')
  result = {name: values[name] for name in sections}
  # Where a model is served changes no answer.
  result['endpoint'] = {'model': values['endpoint']['model']}
  result['eval'] = {'test': values['eval']['test']}
  result['tokenizer'] = parts.tokenizer.fingerprint
  if params is not None:
    result['weights'] = checkpoint.fingerprint(params)
  return result
