"""The shape of the code: who may import whom, and how long a file may be."""

import ast
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / 'mem_alpha'

# A module imports only to its right (design, section 4).
ORDER = (
  'main train warm rehearsal plan export evaluate compare prepare learning '
  'build_data build_systems build build_model build_baselines build_panel '
  'api turns baselines evals rollout rewards readers grpo data agent models '
  'memory text workdir checkpoint optimizer metrics guard cost mesh files '
  'provenance structs'
).split()

# These know nothing of language models and are tested in milliseconds.
PURE = {
  'memory': ('state', 'content', 'plan', 'ops', 'retrieval', 'fusion'),
  'grpo': ('advantage', 'loss'),
}

MODULES = sorted(PACKAGE.rglob('*.py'))
SOURCES = sorted(
  path
  for folder in ('mem_alpha', 'configs', 'experiments', 'tests')
  for path in (ROOT / folder).rglob('*.py')
)


def _name(path):
  return '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)


def _imports(path):
  """Dotted names that a file imports; `from a import b` counts as a.b."""
  for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: relative import'
      yield from (f'{node.module}.{alias.name}' for alias in node.names)


def _inner(path):
  """What a file imports of this package, without the package's name."""
  for name in _imports(path):
    if name.startswith('mem_alpha.'):
      yield name.removeprefix('mem_alpha.')


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_imports_point_one_way(path):
  if path == PACKAGE / '__init__.py':
    return  # it exports the public API from everywhere
  unit = _name(path).split('.')[0]
  assert unit in ORDER, f'{unit} has no place in ORDER yet'
  for name in _inner(path):
    target = name.split('.')[0]
    allowed = target == unit or ORDER.index(unit) < ORDER.index(target)
    assert allowed, f'{_name(path)} imports {name}, which is to its left'


@pytest.mark.parametrize('path', MODULES, ids=_name)
def test_only_models_import_flax(path):
  roots = {name.split('.')[0] for name in _imports(path)}
  assert 'flax' not in roots or _name(path).startswith('models.')


@pytest.mark.parametrize(
  'name', [f'{pack}.{unit}' for pack, units in PURE.items() for unit in units]
)
def test_pure_modules_need_only_jax_and_numpy(name):
  pack = name.split('.')[0]
  path = PACKAGE.joinpath(*name.split('.')).with_suffix('.py')
  ours = {'structs'} | {f'{pack}.{unit}' for unit in PURE[pack]}
  for dotted in _imports(path):
    root = dotted.split('.')[0]
    if root == 'mem_alpha':
      assert dotted.removeprefix('mem_alpha.') in ours, dotted
    else:
      assert root in ('jax', 'numpy') or root in sys.stdlib_module_names, dotted


def test_the_lexical_reader_knows_no_data():
  for path in (PACKAGE / 'readers').glob('*.py'):
    assert not any(name.startswith('data') for name in _inner(path)), path


def test_init_files_are_empty_but_the_top_one():
  for path in SOURCES:
    if path.name == '__init__.py' and path != PACKAGE / '__init__.py':
      assert not path.read_text(encoding='utf-8').strip(), path


def test_every_package_has_an_init_file():
  for folder in {path.parent for path in MODULES}:
    assert (folder / '__init__.py').exists(), folder


@pytest.mark.parametrize(
  'path', SOURCES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_are_short(path):
  assert len(path.read_text(encoding='utf-8').splitlines()) <= 400
