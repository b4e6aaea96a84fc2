"""Launchers of experiments set what exists; published figures are complete."""

import importlib
import json
import pathlib

import pytest

from configs import embedded
from experiments import evaluations
from experiments import published
from experiments.ablations import run as ablations
from mem_alpha import build
from mem_alpha import build_panel
from mem_alpha import build_systems


def check(values):
  config = embedded.get_config()
  config.lock()
  config.update_from_flattened_dict(values)
  build.check(config)
  build_panel.check(config)
  build_systems.check(config)


@pytest.mark.parametrize('name', ['baselines', 'components', 'length'])
def test_every_evaluation_of_a_launcher_can_be_run(name, tmp_path):
  run = importlib.import_module(f'experiments.{name}.run')
  (tmp_path / 'config.json').write_text('{"seed": 3}')
  for label, values in run.settings(128).items():
    check(values | {'eval.name': label})
    command = evaluations.command(tmp_path, label, values, ['--config.x=1'])
    assert '--config.seed=3' in command and command[-1] == '--config.x=1'
    assert f'--config.eval.name={label}' in command


def test_every_ablation_can_be_run(tmp_path):
  for name, values in ablations.RUNS.items():
    check(values)
    assert '--config.seed=2' in ablations.command(tmp_path, name, 2)


def test_an_evaluation_that_is_not_there_is_one_sentence(tmp_path):
  with pytest.raises(SystemExit, match='is not finished'):
    evaluations.load(tmp_path, 'baselines')


def test_published_averages_are_given_as_printed_and_from_the_cells():
  """The two differ where the paper's own arithmetic does not add up."""
  text = published.table('table_1')
  assert '| 0.642 | 0.619 | 7.9K |' in text
  assert '| 0.502 | 0.532 | 207K |' in published.table('table_2')
  path = pathlib.Path(published.__file__).with_name('published.json')
  for table in json.loads(path.read_text()).values():
    if isinstance(table, dict):
      sizes = {len(row['cells']) for row in table['rows'].values()}
      assert sizes == {len(table['columns'])}
