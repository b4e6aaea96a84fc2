"""An evaluation goes on where it was killed, and mixes nothing."""

import dataclasses
import json

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha import structs
from mem_alpha.baselines import base
from mem_alpha.baselines import plain
from mem_alpha.evals import collect
from mem_alpha.evals import kept
from mem_alpha.readers import lexical
from mem_alpha.rollout import reading

PANEL = reading.Panel(lexical.Lexical())
SETTINGS = {'reader': {'name': 'lexical'}, 'systems': ('a', 'b')}


def count(words):
  return len(words.split())


def instance(number, place='Oslo'):
  ask = structs.Question('Where does Mira live?', ('Oslo',), 'k', 'exact')
  chunks = (f'Mira does live in {place}.', 'Tom sings.')
  return structs.Instance(f'i{number}', f's{number % 2}', chunks, (ask,))


INSTANCES = [instance(n, 'Oslo' if n % 3 else 'Rome') for n in range(5)]


class System:
  """RAG that notes what it ran, and dies at a batch."""

  def __init__(self, dies_at=None):
    self.ran, self.dies_at = [], dies_at

  def __call__(self, part):
    if len(self.ran) == self.dies_at:
      raise KeyboardInterrupt
    self.ran.append([i.instance_id for i in part])
    return base.start(plain.rag(k=2, count=count), part, PANEL, count=count)


def run(folder, system, instances=INSTANCES, settings=SETTINGS, **failures):
  files = kept.Kept(folder, 'x', settings=settings)
  return collect.collect(
    system, instances, batch=2, tokenizer=None, kept=files, **failures
  )


def content(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_evaluation_runs_the_missing_instances_only(tmp_path):
  whole = run(tmp_path / 'whole', System())
  folder = tmp_path / 'killed'
  with pytest.raises(KeyboardInterrupt):
    run(folder, System(dies_at=2))
  for name in ('x', 'x_instances'):  # lines that were being written
    with (folder / f'{name}.jsonl').open('a') as file:
      file.write('{"instance_id": "i9", "data"')
  system = System()
  assert run(folder, system) == whole
  assert system.ran == [['i2', 'i3'], ['i4']]
  assert content(folder) == content(tmp_path / 'whole')
  again = System()
  assert run(folder, again) == whole and not again.ran
  assert content(folder) == content(tmp_path / 'whole')


@hypothesis.settings(
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
  max_examples=40,
)
@hypothesis.given(part=strategies.data())
def test_files_that_end_anywhere_lead_to_the_same_files(tmp_path_factory, part):
  """A kill between any two bytes of what `add` appends loses no more."""
  folder = tmp_path_factory.mktemp('cut')
  whole = run(folder, System())
  want = content(folder)
  # What was appended last is cut first.
  order = [folder / f'x{n}.jsonl' for n in ('', '_memories', '_instances')]
  sizes = [path.stat().st_size for path in order]
  left = part.draw(strategies.integers(0, sum(sizes)))
  for path, size in zip(order, sizes):
    kept_bytes = min(left, size)
    path.write_bytes(want[path.name][:kept_bytes])
    left -= kept_bytes
  assert run(folder, System()) == whole
  assert content(folder) == want


def test_what_does_not_belong_together_is_refused_and_kept(tmp_path):
  run(tmp_path, System())
  before = content(tmp_path)
  other = dict(SETTINGS, reader={'name': 'endpoint'})
  with pytest.raises(ValueError, match='reader.name was "lexical" and is "end'):
    run(tmp_path, System(), settings=other)
  changed = [dataclasses.replace(INSTANCES[0], chunks=('x',)), *INSTANCES[1:]]
  with pytest.raises(ValueError, match='i0 of another version of the data'):
    run(tmp_path, System(), changed)
  assert content(tmp_path) == before
  path = tmp_path / 'x_instances.jsonl'
  (tmp_path / 'x.jsonl').write_text('')
  with pytest.raises(ValueError, match='lacks predictions of i0'):
    run(tmp_path, System())
  path.write_text('{"instance_id": "i0", "answer": "x"}\n')
  with pytest.raises(ValueError, match='another version of mem_alpha'):
    run(tmp_path, System())
  path.write_text(json.dumps({'settings': {}}) + '\nnot json\n{}\n')
  with pytest.raises(ValueError, match='line 2 is damaged'):
    run(tmp_path, System(), settings={})


def test_an_instance_without_questions_or_with_a_taken_id_is_refused(tmp_path):
  empty = dataclasses.replace(INSTANCES[0], questions=())
  with pytest.raises(ValueError, match="'i0' of source 's0' has no question"):
    run(tmp_path / 'x', System(), [empty])
  with pytest.raises(ValueError, match="'i1' of source 's1' occurs twice"):
    run(tmp_path / 'y', System(), [INSTANCES[1]] * 2)


def test_failed_instances_are_left_out_counted_and_tried_again(tmp_path):
  failures = {'i1': 'HTTP 500'}
  found = run(tmp_path, System(), failures=failures, failure_limit=0.2)
  assert found.failed == failures
  assert [r.instance_id for r in found.records] == ['i0', 'i2', 'i3', 'i4']
  system = System()
  assert run(tmp_path, system) == run(tmp_path / 'whole', System())
  assert system.ran == [['i1']]
  assert (
    content(tmp_path / 'whole').items()
    <= {
      path.name: path.read_bytes()
      for path in tmp_path.iterdir()
      if path.is_file()
    }.items()
  )
  with pytest.raises(ValueError, match='failed on 2 of 5 instances, more than'):
    run(
      tmp_path / 'z',
      System(),
      failures=failures | {'i2': 'HTTP 500'},
      failure_limit=0.2,
    )


def test_finished_systems_are_read_back(tmp_path):
  whole = run(tmp_path, System())
  (name,) = found = kept.finished(tmp_path)
  assert name == 'x' and collect.restored(found['x'].lines) == whole
  assert found['x'].settings['reader'] == {'name': 'lexical'}
  files = kept.Kept(tmp_path, 'y', settings={})
  with pytest.raises(ValueError, match='y in .* is not finished'):
    kept.finished(tmp_path)
  files.say([(INSTANCES[0], 0, {'text': 'a'})])
  assert kept.Kept(tmp_path, 'y', settings={}).said(INSTANCES[0], 0)['text']


def test_of_several_processes_only_the_first_writes_and_none_goes_on(
  tmp_path, monkeypatch
):
  """They must take the same steps, whatever each finds on its disk."""
  whole = run(tmp_path / 'a', System())
  monkeypatch.setattr(kept.jax, 'process_count', lambda: 2)
  system = System()
  assert run(tmp_path / 'a', system) == whole and len(system.ran) == 3
  monkeypatch.setattr(kept.jax, 'process_index', lambda: 1)
  assert run(tmp_path / 'b', System()) == whole
  assert not (tmp_path / 'b').exists()
