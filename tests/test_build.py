import pytest

from configs import base
from configs import embedded
from configs import smollm2
from mem_alpha import build
from mem_alpha import build_panel
from mem_alpha import text


@pytest.mark.parametrize('module', [base, embedded, smollm2])
def test_every_config_passes_its_checks(module):
  build.check(module.get_config())
  build_panel.check(module.get_config())


def test_configs_name_only_knobs_of_base():
  known = base.get_config()
  for config in (embedded.get_config(), smollm2.get_config('short')):
    assert set(_keys(config)) == set(_keys(known))


def test_every_knob_has_a_one_line_comment():
  with open(base.__file__, encoding='utf-8') as file:
    for line in file:
      if line.startswith('  c.') and 'ConfigDict()' not in line:
        assert '  # ' in line, line


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('grpo.instances', 0, 'grpo.instances=0 is out of range'),
    ('warm.leave_out_fact', 1.5, 'warm.leave_out_fact=1.5 is out of range'),
    ('grpo.fault', -1.0, 'grpo.fault=-1.0 is out of range'),
    ('grpo.group', 'turn', "grpo.group='turn' is unknown"),
    ('data.sources', ('wiki',), "data.sources='wiki' is unknown"),
    ('data.sources', (), 'data.sources is empty'),
    ('sampling.slots', 0, 'sampling.slots=0 is out of range'),
    ('model.remat', 'all', "model.remat='all' is unknown"),
    ('tokenizer.source', 'model', 'needs model.weights'),
    ('model.weights', 'x.gguf', 'come with their own tokenizer'),
  ],
)
def test_what_cannot_work_is_named(key, value, message):
  config = base.get_config()
  section, name = key.split('.')
  config[section][name] = value
  with pytest.raises(ValueError, match=message):
    build.check(config)


def test_missing_data_root_is_named(monkeypatch):
  monkeypatch.delenv('MEM_ALPHA_DATA', raising=False)
  with pytest.raises(FileNotFoundError, match='data.root'):
    build.data_root(base.get_config())
  monkeypatch.setenv('MEM_ALPHA_DATA', 'somewhere')
  assert str(build.data_root(base.get_config())) == 'somewhere/raw'


def test_memory_is_worth_more_than_its_price():
  """Both optimisers share one state, so a checkpoint fits either."""
  import jax
  import jax.numpy as jnp

  params = {'blocks': {'gate': jnp.ones((2, 3, 3))}}
  first, second = build.optimizers(embedded.get_config())
  assert jax.tree.structure(first.init(params)) == jax.tree.structure(
    second.init(params)
  )


def _keys(config, prefix=''):
  for key, value in config.items():
    if hasattr(value, 'items'):
      yield from _keys(value, f'{prefix}{key}.')
    else:
      yield prefix + key


def test_stop_strings_become_token_sequences():
  config = base.get_config()
  config.sampling.stop = ('\n\n', 'END')
  vocab = text.train_bpe(['one two'] * 3, vocab_size=262)
  sampling = build.sampling(config, vocab, greedy=True)
  assert [vocab.decode(ids) for ids in sampling.stops] == ['\n\n', 'END']
  a, b = sampling.stops
  assert sampling.ending((1, *b)) == len(b)
  assert sampling.ending((1, vocab.end_of_turn)) == 1
