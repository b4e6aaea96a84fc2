"""--mode=evaluate end to end: every system, killed anywhere, resumed."""

import json

import pytest

from mem_alpha import build_baselines
from mem_alpha import build_systems
from mem_alpha import checkpoint
from mem_alpha import compare
from mem_alpha import evaluate
from mem_alpha import structs
from mem_alpha.agent import tools
from mem_alpha.rollout import asked
from mem_alpha.rollout import writers
from tests import tiny

INSTANCES, CHUNKS = 5, 3
EVERY = (*build_systems.SYSTEMS, *build_baselines.NAMES)


INSERT = tools.render_call(
  structs.Call(
    structs.Action.INSERT, structs.Kind.SEMANTIC, content='It rains.'
  )
)


def small_config(*systems, name='t'):
  config = tiny.config()
  config.data.chunks = CHUNKS
  config.sampling.max_new_tokens = 32
  config.eval.batch, config.eval.test = 2, INSTANCES
  config.eval.systems, config.eval.name = systems, name
  config.baselines.context_tokens = config.baselines.verbatim_tokens = 64
  config.baselines.state_tokens, config.baselines.top_k = 48, 3
  return config


@pytest.fixture(autouse=True)
def one_device():
  with tiny.one_device():
    yield


def snapshots(workdir):
  """A run directory as training leaves it, as far as evaluation looks."""
  parts = evaluate.Parts(small_config(), workdir)
  with checkpoint.Store(workdir / 'checkpoints') as store:
    for name in ('warm_start', 'best'):
      store.snapshot(name, 1, {'params': parts.first_params()}, {})


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run directory that every system was evaluated in."""
  workdir = tmp_path_factory.mktemp('whole')
  with tiny.one_device():
    snapshots(workdir)
    evaluate.run(small_config(*EVERY), workdir)
  return workdir


def left(workdir, name='t'):
  """Everything that an evaluation leaves and that does not depend on time."""
  folder = workdir / 'eval' / name
  names = {'timing.json', 'provenance.json', 'report.html'}
  found = {p.name: p.read_bytes() for p in folder.iterdir()}
  return {k: v for k, v in found.items() if k not in names}


def test_every_system_leaves_all_that_the_readme_says(whole):
  folder = whole / 'eval' / 't'
  summary = json.loads((folder / 'summary.json').read_text())
  assert set(EVERY) < summary.keys()
  assert summary['no_memory']['mean'] == 0 < summary['perfect']['mean']
  assert summary['test_instances'] == INSTANCES and summary['tokenizer']
  timing = json.loads((folder / 'timing.json').read_text())
  page = (folder / 'report.html').read_text()
  for system in EVERY:
    for suffix in ('', '_memories', '_turns', '_instances'):
      assert (folder / f'{system}{suffix}.jsonl').is_file()
    assert not (folder / f'{system}_responses.jsonl').exists()
    figures = summary['intervals'][system]
    for key in ('mean', 'source/synthetic', 'mean_of_sources'):
      assert figures[key]['low'] <= figures[key]['value']
    assert figures['mean']['value'] == pytest.approx(summary[system]['mean'])
    assert figures['mean_of_instances'] and 'valid_calls' in figures
    costs = summary['costs'][system]
    assert costs['reader_calls'] == summary['test_questions'] > 0
    assert timing[system] > 0 and system.replace('_', ' ') in page
    if system != 'grpo':
      assert f'grpo_minus_{system}' in summary['comparisons']
  assert summary['costs']['grpo']['response_tokens'] > 0
  assert summary['costs']['rag_top2']['response_tokens'] == 0


def test_the_budgets_bind_and_memories_can_be_read(whole):
  folder, budget = whole / 'eval' / 't', 64
  for system, most in (
    ('full_context', budget),
    ('verbatim', budget),
    ('overwrite', 48),
    ('state', 48),
  ):
    lines = (folder / f'{system}_instances.jsonl').read_text().splitlines()
    tokens = [json.loads(line)['record']['memory_tokens'] for line in lines[1:]]
    assert len(tokens) == INSTANCES and 0 < max(tokens) <= most
    memories = (folder / f'{system}_memories.jsonl').read_text().splitlines()
    assert all(json.loads(line)['versions'] for line in memories)


def test_every_wrong_answer_has_a_class(whole):
  summary = json.loads((whole / 'eval/t/summary.json').read_text())
  for system in EVERY:
    lines = (whole / f'eval/t/{system}.jsonl').read_text().splitlines()
    scores = [json.loads(line)['score'] for line in lines]
    lost = summary['losses'][system].values()
    assert sum(own['answers'] for own in lost) == sum(s < 1 for s in scores)
    points = sum(own['points'] for own in lost)
    assert points + sum(scores) / len(scores) == pytest.approx(1)


@pytest.mark.parametrize('call', [1, 2, 5, 9])
def test_killed_at_any_chunk_it_ends_with_the_same_bits(
  whole, tmp_path, monkeypatch, call
):
  """Batches of 2, 2 and 1 instances, of 3 chunks: 9 calls of the sampler."""
  systems = ('no_memory', 'grpo')
  snapshots(tmp_path)
  made, calls = writers.Sampled.__call__, []

  def counted(self, prompts, contexts):
    calls.append([c.instance.instance_id for c in contexts if c])
    if len(calls) == dies:
      raise tiny.Killed
    return made(self, prompts, contexts)

  monkeypatch.setattr(writers.Sampled, '__call__', counted)
  dies = call
  with pytest.raises(tiny.Killed):
    evaluate.run(small_config(*systems), tmp_path)
  before, dies = len(calls) - 1, 0
  evaluate.run(small_config(*systems), tmp_path)
  shown = CHUNKS  # the interaction of the report is sampled anew
  assert len(calls) - before - 1 == 9 - before + shown
  want, found = left(whole), left(tmp_path)
  for name in found.keys() - {'summary.json', 'config.json'}:
    assert found[name] == want[name], name
  summaries = [json.loads(x['summary.json']) for x in (want, found)]
  for system in systems:
    assert summaries[0][system] == summaries[1][system]
  calls.clear()
  evaluate.run(small_config(*systems), tmp_path)
  assert len(calls) == shown and left(tmp_path) == found


def test_a_hugging_face_directory_needs_no_run(tmp_path, tiny_model):
  config = small_config('untrained', 'rag_top2')
  config.tokenizer.source, config.model.weights = 'model', str(tiny_model)
  config.prompt.tokens = 512
  evaluate.run(config, tmp_path)
  summary = json.loads((tmp_path / 'eval/t/summary.json').read_text())
  assert summary['rag_top2']['mean'] > 0
  assert summary['costs']['untrained']['response_tokens'] > 0


def endpoint_config(*systems, name='t'):
  config = small_config(*systems, name=name)
  config.endpoint.url, config.endpoint.model = 'http://localhost:1/v1', 'm'
  return config


class Model:
  """Stands for a server: stores the chunk, and fails on some."""

  overlaps = True

  def __init__(self, fails):
    self.fails, self.prompts = fails, []

  def __call__(self, prompts):
    self.prompts += prompts
    return [
      asked.base.Completion(failed='HTTP 500')
      if self.fails(prompt.user)
      else asked.base.Completion(INSERT)
      for prompt in prompts
    ]


def test_a_model_behind_an_endpoint_writes_the_same_memory(
  tmp_path, monkeypatch
):
  model = Model(lambda user: False)
  monkeypatch.setattr(build_systems.build_panel, 'model', lambda *a, **k: model)
  evaluate.run(endpoint_config('endpoint'), tmp_path)
  assert len(model.prompts) == INSTANCES * CHUNKS
  first = model.prompts[0]
  assert first.system.startswith('Keep the memory right')
  assert '<|' not in first.system + first.user and 'chunk:' in first.user
  assert 'It rains.' in model.prompts[-1].user  # the view of the memory
  summary = json.loads((tmp_path / 'eval/t/summary.json').read_text())
  # The same text again is a duplicate.
  assert summary['endpoint']['valid_calls'] == pytest.approx(1 / CHUNKS)
  assert summary['costs']['endpoint']['failed_instances'] == 0


def test_failures_are_excluded_counted_and_stop_above_a_share(
  tmp_path, monkeypatch, capsys
):
  config = endpoint_config('endpoint', 'overwrite', 'no_memory')
  config.baselines.writer = 'endpoint'
  test = evaluate.Parts(config, tmp_path).instances('test', INSTANCES)
  bad = test[1].chunks[1]
  model = Model(lambda user: bad[:40] in user)
  monkeypatch.setattr(build_systems.build_panel, 'model', lambda *a, **k: model)

  class Sections(Model):
    def __call__(self, prompts):
      return [
        asked.base.Completion(failed='HTTP 500')
        if bad in prompt.system
        else asked.base.Completion('It rains.')
        for prompt in prompts
      ]

  monkeypatch.setattr(
    build_baselines.build_panel,
    'model',
    lambda c, v, w, name, **k: (
      model if k['temperature'] == 0.0 else Sections(None)
    ),
  )
  with pytest.raises(ValueError, match='failed on 1 of 5 instances, more than'):
    evaluate.run(config, tmp_path)
  config.endpoint.failure_limit = 0.2
  evaluate.run(config, tmp_path)
  summary = json.loads((tmp_path / 'eval/t/summary.json').read_text())
  for system, lost in (('endpoint', 1), ('overwrite', 1), ('no_memory', 0)):
    assert summary['costs'][system]['failed_instances'] == lost
    lines = (tmp_path / f'eval/t/{system}_memories.jsonl').read_text()
    assert len(lines.splitlines()) == INSTANCES - lost
  assert 'endpoint: 1 of 5 instances are left out' in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_one_sentence(whole, tmp_path):
  for systems, said in (
    (('rag',), "names 'rag', which is unknown"),
    (('rag_top2', 'rag_top2'), 'names a system twice'),
    (('endpoint',), "'endpoint', which needs endpoint.url"),
  ):
    with pytest.raises(ValueError, match=said):
      evaluate.run(small_config(*systems), tmp_path)
  with pytest.raises(ValueError, match='becomes a folder'):
    evaluate.run(small_config('grpo', name='../x'), tmp_path)
  with pytest.raises(FileNotFoundError, match='no checkpoints to eval.* grpo'):
    evaluate.run(small_config('grpo', 'rag_top2'), tmp_path)
  assert not list(tmp_path.iterdir())
  (tmp_path / 'checkpoints').mkdir()
  with pytest.raises(FileNotFoundError, match="no snapshot called 'best'"):
    evaluate.run(small_config('grpo'), tmp_path)
  config = small_config('rag_top2')
  config.data.test_files, config.data.sources = (), ('files',)
  with pytest.raises(ValueError, match='data.test_files names no file'):
    evaluate.run(config, tmp_path)
  before, config = left(whole), small_config(*EVERY)
  config.memory.core = False
  with pytest.raises(ValueError, match='memory.core was true and is false'):
    evaluate.run(config, whole)
  assert left(whole) == before


def test_evaluations_are_compared_in_pairs(whole, tmp_path):
  """Another reader of the same memories: paired, and nothing is lost."""
  config = small_config('rag_top2', 'perfect', name='short')
  config.reader.max_words = 1
  evaluate.run(config, whole)
  config = small_config(name='x')
  config.eval.compare = (str(whole / 'eval/t'), str(whole / 'eval/short'))
  compare.run(config, tmp_path)
  summary = json.loads((tmp_path / 'summary.json').read_text())
  assert {f't/{system}' for system in EVERY} < summary.keys()
  gain = summary['comparisons']['short_minus_t/perfect']
  assert gain['value'] == pytest.approx(
    summary['short/perfect']['mean'] - summary['t/perfect']['mean']
  )
  assert gain['low'] <= gain['value'] <= gain['high']
  page = (tmp_path / 'report.html').read_text()
  assert 'short minus t/perfect' in page and 'Training, by step' not in page
  assert 'By length' not in page


def test_what_cannot_stand_in_one_table_is_one_sentence(whole, tmp_path):
  def refused(*folders):
    config = small_config()
    config.eval.compare = tuple(map(str, folders))
    with pytest.raises((ValueError, OSError)) as error:
      compare.run(config, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    return str(error.value)

  one = whole / 'eval/t'
  assert 'at least two' in refused(one)
  assert 'names two folders' in refused(one, one)
  assert 'holds no evaluation' in refused(one, tmp_path)
  path = tmp_path / 'b' / 'perfect_instances.jsonl'
  path.parent.mkdir()
  lines = (one / path.name).read_text().splitlines(keepends=True)
  predictions = (one / 'perfect.jsonl').read_text()
  (tmp_path / 'b' / 'perfect.jsonl').write_text(predictions)
  head, first, *rest = lines
  path.write_text(head + ''.join(rest) + first.replace('"data": ', '"data": 1'))
  assert 'another version of the data' in refused(one, tmp_path / 'b')
  value = json.loads(head)
  value['settings']['tokenizer'] += 'x'
  path.write_text(json.dumps(value) + '\n' + ''.join(lines[1:]))
  assert 'different tokenizers' in refused(one, tmp_path / 'b')
  path.write_text(head)
  assert 'is not finished' in refused(one, tmp_path / 'b')
