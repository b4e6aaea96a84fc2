"""Raw files from the Hugging Face hub, for sources that are not on disk.

`fetch` writes the files that a source reads, in their official format, so that
everything after it is the same with and without a network. It needs the extra
`pip install -e '.[hub]'`. Sources that hub_assets.py does not list are
downloaded by hand (third_party/README.md).
"""

import pathlib
import shutil
from collections.abc import Iterator, Mapping

from mem_alpha import files
from mem_alpha.data import hub_assets


def fetch(source: str, root: pathlib.Path) -> list[pathlib.Path]:
  """Writes those files of a source that are missing; returns their paths."""
  folder = root / hub_assets.FOLDERS.get(source, source)
  downloads = hub_assets.DOWNLOADS.get(source, ())
  assets = hub_assets.ASSETS.get(source, {})
  if not downloads and not assets and not folder.is_dir():
    raise ValueError(
      f'data.hub=True knows no hub repository of {source}: put its files into '
      f'{folder} by hand, third_party/README.md says from where.'
    )
  written = []
  for pattern, name, repository in downloads:
    if not any(root.glob(pattern)):
      _download(repository, root / name)
      written.append(root / name)
  missing = {
    name: asset for name, asset in assets.items() if not (root / name).exists()
  }
  if missing:
    _convert(missing, root)
  return written + [root / name for name in missing]


def _download(repository: str, path: pathlib.Path) -> None:
  """Copies a file of a repository as it is."""
  import huggingface_hub

  try:
    cached = huggingface_hub.hf_hub_download(
      repository, path.name, repo_type='dataset'
    )
  except Exception as error:  # the package raises errors of many libraries
    raise _unreachable(repository, error, path.name, path.parent) from error
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(f'.{path.name}.part')
  try:
    shutil.copyfile(cached, part)
    part.replace(path)
  finally:
    part.unlink(missing_ok=True)


def _convert(
  missing: Mapping[str, hub_assets.Asset], root: pathlib.Path
) -> None:
  """Loads tables and writes them as the files that they were made from."""
  try:
    import datasets
  except ImportError as error:
    raise ValueError(
      'data.hub=True needs the package `datasets`: install mem_alpha[hub], or '
      f'put {", ".join(missing)} into {root} by hand.'
    ) from error
  for name, (place, configuration, splits, convert) in missing.items():
    repository, _, revision = place.partition('@')
    try:
      tables = [
        datasets.load_dataset(
          repository, configuration, split=split, revision=revision or None
        )
        for split in splits
      ]
    except Exception as error:  # the package raises errors of many libraries
      raise _unreachable(repository, error, name, root) from error
    try:
      encoding = 'latin-1' if name.endswith('.label') else 'utf-8'
      data = convert(*map(_named, tables)).encode(encoding)
    except (
      AttributeError,
      KeyError,
      TypeError,
      IndexError,
      UnicodeEncodeError,
    ) as error:
      raise ValueError(
        f'{repository} holds something else than expected '
        f'({type(error).__name__}: {error}): put {name} into {root} by hand.'
      ) from error
    files.write_bytes(root / name, data)


def _unreachable(repository, error, name, folder) -> ValueError:
  return ValueError(
    f'{repository} could not be fetched from the hub '
    f'({type(error).__name__}: {error}): put {name} into {folder} by hand.'
  )


def _named(table) -> Iterator[Mapping]:
  """The rows of a table, numbers of labels replaced by their names."""
  names = {
    column: feature.names
    for column, feature in table.features.items()
    if getattr(feature, 'names', None)
  }
  for row in table:
    yield {
      column: names[column][value] if column in names else value
      for column, value in row.items()
    }
