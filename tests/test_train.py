"""The whole run, shrunk: end to end, and interrupted at many moments."""

import dataclasses
import json
import os
import re
import signal

import jax
import numpy as np
import pytest

from mem_alpha import build
from mem_alpha import build_data
from mem_alpha import build_model
from mem_alpha import checkpoint
from mem_alpha import evaluate
from mem_alpha import files
from mem_alpha import guard
from mem_alpha import metrics
from mem_alpha import text
from mem_alpha import train
from mem_alpha.data import schema
from mem_alpha.grpo import update
from mem_alpha.readers import lexical
from mem_alpha.rollout import sampler
from tests import tiny

SYSTEMS = {
  'no_memory',
  'scripted',
  'perfect',
  'untrained',
  'warm_start',
  'grpo',
}
STEPS = 8  # 2 copying, 1 keeping all, 3 imitating, 2 of GRPO


def small_config():
  config = tiny.config()
  config.warm.copy_steps, config.warm.keep_steps = 2, 1
  config.warm.steps, config.warm.copies, config.warm.instances = 3, 40, 8
  config.warm.copy_sentences = 1
  config.grpo.steps, config.grpo.instances, config.grpo.rollouts = 2, 2, 2
  config.eval.every = 1
  config.checkpoint.every = config.checkpoint.warm_every = 2
  return config


@pytest.fixture(autouse=True)
def one_device():
  with tiny.one_device():
    yield


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('unbroken')
  with tiny.one_device():
    train.run(small_config(), workdir)
  return workdir


def results(workdir):
  """Everything a run leaves behind that must not depend on time."""
  lines = [
    {k: v for k, v in line.items() if not k.startswith('time/')}
    for line in metrics.read(workdir / 'metrics.jsonl')
  ]
  summary = json.loads((workdir / 'summary.json').read_text())
  summary.pop('seconds')
  others = {
    path.relative_to(workdir).as_posix(): path.read_bytes()
    for folder in ('tokenizer', 'eval', 'turns')
    for path in sorted((workdir / folder).iterdir())
  }
  return lines, summary, others


def test_a_run_leaves_what_the_readme_says(unbroken):
  lines, summary, files = results(unbroken)
  assert [line['step'] for line in lines] == list(range(STEPS + 1))
  assert SYSTEMS < summary.keys()
  for system in SYSTEMS:
    assert {'mean', 'valid_calls', 'fidelity', 'memory_tokens'} < summary[
      system
    ].keys()
  assert summary['no_memory']['mean'] == 0 < summary['perfect']['mean']
  assert summary['seed'] == 0
  for system in SYSTEMS:
    wanted = {f'eval/{system}{x}.jsonl' for x in ('', '_memories', '_turns')}
    assert wanted < files.keys()
  for line in files['eval/perfect_memories.jsonl'].splitlines():
    assert json.loads(line)['versions']
  assert {'turns/step_00000007.jsonl', 'turns/step_00000008.jsonl'} < set(files)
  html = (unbroken / 'report.html').read_text()
  assert 'validity' in html.lower() or 'valid' in html.lower()
  grpo = [line for line in lines if line['phase'] == 'grpo']
  for key in ('reward/total', 'reward/answer', 'gap/mean', 'memory_tokens'):
    assert all(np.isfinite(line[key]) for line in grpo)
  assert all(line['gap/max'] < 1e-3 for line in grpo)


def test_a_run_from_weights_ends_with_its_table(tmp_path, tiny_model):
  """What training starts from is donated, and `untrained` asks for it again."""
  config = small_config()
  config.tokenizer.source, config.model.weights = 'model', str(tiny_model)
  config.warm.copy_steps = config.warm.keep_steps = 0
  config.warm.steps = config.grpo.steps = 1
  train.run(config, tmp_path)
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert SYSTEMS < summary.keys()
  _, first_params = build_model.model(config, None)
  given, again = first_params(), first_params()
  assert given is not again
  assert jax.tree.all(jax.tree.map(np.array_equal, given, again))


def _dies(monkeypatch, where, name, call):
  """Makes the `call`-th call of a function the last thing that happens."""
  real, calls = getattr(where, name), [0]

  def deadly(*args, **kwargs):
    calls[0] += 1
    if calls[0] == call:
      raise tiny.Killed
    return real(*args, **kwargs)

  monkeypatch.setattr(where, name, deadly)


@pytest.mark.parametrize(
  'where, name, call',
  [
    (text, 'train_bpe', 1),  # training the tokenizer
    (update, 'step', 1),  # before any checkpoint
    (update, 'step', 4),  # in the warm start
    (checkpoint.Store, 'snapshot', 2),  # between two snapshots
    (update, 'step', 7),  # in a step of GRPO
    (metrics.Writer, 'write', 9),  # after an update, before its line
    (files, 'write_text', 3),  # among the first files
    (checkpoint.Store, 'snapshot', 1),  # after the warm start
    (checkpoint.Store, 'save', 4),  # at the last checkpoint
    (evaluate.Parts, 'evaluate', 8),  # in the final evaluation
  ],
)
def test_a_killed_run_ends_with_the_same_bits(
  unbroken, tmp_path, monkeypatch, where, name, call
):
  with monkeypatch.context() as patch:
    _dies(patch, where, name, call)
    with pytest.raises(tiny.Killed):
      train.run(small_config(), tmp_path)
  train.run(small_config(), tmp_path)
  assert results(tmp_path) == results(unbroken)


@pytest.mark.parametrize(
  'where, name, call',
  [
    (update, 'step', 3),  # in the warm start: after the step
    (sampler, 'decode', 9),  # in the rollouts of GRPO: at once
    (update, 'step', 8),  # in the last step
  ],
)
def test_sigterm_saves_ends_with_status_0_and_changes_no_bit(
  unbroken, tmp_path, monkeypatch, where, name, call
):
  real, calls = getattr(where, name), [0]

  def asked(*args, **kwargs):
    calls[0] += 1
    if calls[0] == call:
      os.kill(os.getpid(), signal.SIGTERM)
    return real(*args, **kwargs)

  with monkeypatch.context() as patch:
    patch.setattr(where, name, asked)
    with pytest.raises(SystemExit) as stopped:
      train.run(small_config(), tmp_path)
  assert not stopped.value.code
  lines = metrics.read(tmp_path / 'metrics.jsonl')
  with checkpoint.Store(tmp_path / 'checkpoints') as store:
    assert store.latest == lines[-1]['step']  # nothing that was done is lost
  train.run(small_config(), tmp_path)
  assert results(tmp_path) == results(unbroken)


def _plants_nan(monkeypatch, call):
  """From its `call`-th call on, one micro-batch holds a NaN."""
  real, calls = update.step, [0]

  def step(params, opt_state, parts, **kwargs):
    calls[0] += 1
    if calls[0] == call:
      advantage_BN = parts[0].advantage_BN.copy()
      advantage_BN[0] = np.nan
      logp_BN = parts[0].logp_BN.copy()
      logp_BN[0] = np.nan
      changes = dict(advantage_BN=advantage_BN, logp_BN=logp_BN)
      parts[0] = dataclasses.replace(parts[0], **changes)
    return real(params, opt_state, parts, **kwargs)

  monkeypatch.setattr(update, 'step', step)


def test_a_planted_nan_stops_the_run_and_keeps_the_batch(tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    _plants_nan(patch, 7)
    with pytest.raises(guard.NotFiniteError, match='step 7 is not finite'):
      train.run(small_config(), tmp_path)
  (kept,) = (tmp_path / 'not_finite').glob('step_00000007_000.npz')
  with np.load(kept) as file:
    assert np.isnan(file['advantage_BN']).any()
  train.run(small_config(), tmp_path)  # without the NaN it goes on


def test_a_planted_nan_can_be_skipped(tmp_path, monkeypatch):
  config = small_config()
  config.guard.non_finite = 'skip'
  _plants_nan(monkeypatch, 7)
  train.run(config, tmp_path)
  lines = metrics.read(tmp_path / 'metrics.jsonl')
  assert [x.get('skipped', 0) > 0 for x in lines] == [
    line['step'] == 7 for line in lines
  ]
  assert list((tmp_path / 'not_finite').iterdir())


def test_phases_of_a_step_are_timed(unbroken):
  last = metrics.read(unbroken / 'metrics.jsonl')[-1]
  names = 'render sample parse apply search read reward credit update'
  for name in names.split():
    assert last[f'time/{name}'] >= 0, name


def test_every_way_to_learn_is_reachable(tmp_path):
  config = small_config()
  config.grpo.kl, config.grpo.ratio = 0.01, 'sequence'
  config.grpo.aggregation, config.grpo.dual_clip = 'constant', 3.0
  config.grpo.drop_equal = True
  config.lora.rank, config.opt.moments = 2, 'bfloat16'
  config.model.param_dtype = 'bfloat16'
  train.run(config, tmp_path)
  lines = metrics.read(tmp_path / 'metrics.jsonl')
  assert len(lines) == STEPS + 1
  assert any('kl/reference' in line for line in lines)
  assert all('dropped' in x for x in lines if x['phase'] == 'grpo')
  # What is saved are the adapters alone.
  parts = evaluate.Parts(config, tmp_path)
  adapters = parts.first_params()
  with checkpoint.Store(tmp_path / 'checkpoints') as store:
    like = {'params': adapters}
    learnt = store.restore(like, name='warm_start').state['params']
    with pytest.raises(ValueError, match='holds no params/'):
      store.restore({'params': parts.base}, name='warm_start')
  merged = parts.policy(learnt)
  jax.tree.map(lambda a, b: None, merged, parts.base)  # the same tree


def test_a_finished_run_only_makes_its_table_again(unbroken, monkeypatch):
  before = results(unbroken)

  def never(*args, **kwargs):
    raise AssertionError('a finished run must not be trained further')

  monkeypatch.setattr(update, 'step', never)
  train.run(small_config(), unbroken)
  assert results(unbroken) == before
  evaluate.run(small_config(), unbroken)
  assert results(unbroken) == before


def test_what_was_opened_is_closed_where_a_run_fails(tmp_path, monkeypatch):
  closed = []

  class Parts:
    def __init__(self, config, workdir):
      self.close = lambda: closed.append(workdir)

  def fails(*args, **kwargs):
    raise ValueError('too many failures')

  monkeypatch.setattr(evaluate, 'Parts', Parts)
  monkeypatch.setattr(train, '_Trainer', fails)
  monkeypatch.setattr(evaluate, 'finish', fails)
  (tmp_path / 'checkpoints').mkdir()
  for run in (train.run, evaluate.run):
    with pytest.raises(ValueError, match='too many failures'):
      run(small_config(), tmp_path)
  assert closed == [tmp_path] * 2


def test_another_config_is_refused(unbroken):
  config = small_config()
  config.seed = 1
  with pytest.raises(ValueError, match='seed was 0 and is 1'):
    train.run(config, unbroken)


def test_shuffled_advantages_and_groups_are_reachable(tmp_path):
  config = small_config()
  config.grpo.shuffle_advantages = True
  config.grpo.group, config.grpo.std = 'instance', False
  config.grpo.updates = 2
  train.run(config, tmp_path)
  assert len(metrics.read(tmp_path / 'metrics.jsonl')) == STEPS + 1


def test_all_is_compiled_before_the_first_step(
  tmp_path, capsys, monkeypatch, unbroken
):
  """With a reader that reads beside the sampling, and rows used again.

  Neither changes a bit of what comes out.
  """
  monkeypatch.setattr(lexical.Lexical, 'overlaps', True, raising=False)
  jax.clear_caches()  # what the runs before have compiled
  config = small_config()
  config.grpo.at_once = config.grpo.instances * config.grpo.rollouts // 2
  train.run(config, tmp_path)
  said = capsys.readouterr().out.splitlines()[-1]
  before, later = re.findall(
    r'(\d+) programs were compiled .*, (\d+) later', said
  )[0]
  assert int(before) > 20 and int(later) == 0
  assert results(tmp_path) == results(unbroken)


def test_a_run_trains_on_prepared_files(tmp_path):
  config = small_config()
  vocab = build.tokenizer(config, tmp_path / 'tokenizer')
  for split in ('train', 'validation', 'test'):
    some = build_data.instances(config, split, 8, vocab)
    schema.write(tmp_path / f'{split}.parquet', list(some))
    config.data[f'{split}_files'] = (str(tmp_path / f'{split}.parquet'),)
  config.data.sources = ('files',)
  config.warm.copy_steps, config.warm.keep_steps = 0, 0
  config.warm.steps = config.grpo.steps = 1
  train.run(config, tmp_path / 'run')
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert summary['test_instances'] == 4
