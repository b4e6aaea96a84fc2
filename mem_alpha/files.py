"""Files: reading that says what is wrong, writing that is all or nothing."""

import json
import os
import pathlib
from collections.abc import Iterator

_LFS_HEAD = b'version https://git-lfs.github.com/spec/'


def check(path: str | os.PathLike, *, what: str) -> pathlib.Path:
  """The path of a file that is there and no Git LFS pointer to it."""
  path = pathlib.Path(path)
  if not path.is_file():
    raise FileNotFoundError(
      f'{what} is not at {path}: download it there, or set another data root.'
    )
  with path.open('rb') as file:
    head = file.read(len(_LFS_HEAD))
  if head == _LFS_HEAD:
    raise ValueError(
      f'{what} at {path} is a Git LFS pointer, not the data: run '
      '`git lfs pull` where it came from, or download the file itself.'
    )
  return path


def read_text(
  path: str | os.PathLike,
  *,
  what: str,
  encoding: str = 'utf-8',
  lines: bool = False,
) -> str:
  """The text of a file, `what` being its name in error messages.

  With `lines` it must end with the end of a line: official files do, and one
  that was cut off in a line does not.
  """
  path = check(path, what=what)
  try:
    text = path.read_text(encoding=encoding)
  except UnicodeDecodeError as error:
    raise ValueError(
      f'{what} at {path} is not UTF-8 text ({error.reason} at byte '
      f'{error.start}): download it again.'
    ) from error
  if not text.strip():
    raise ValueError(f'{what} at {path} is empty: download it again.')
  if lines and not text.endswith('\n'):
    raise ValueError(
      f'{what} at {path} is cut off in line {text.count(chr(10)) + 1}, which '
      'has no end: download it again.'
    )
  return text


def read_json(path: str | os.PathLike, *, what: str) -> object:
  """The value of a JSON file."""
  text = read_text(path, what=what)
  try:
    return json.loads(text)
  except ValueError as error:
    raise ValueError(
      f'{what} at {path} is not complete JSON ({error}): download it again.'
    ) from error


def read_json_lines(
  path: str | os.PathLike, *, what: str
) -> Iterator[tuple[int, object]]:
  """(line number from 1, value) of a file with one JSON value per line."""
  # Not splitlines: JSON strings may hold its other line breaks unescaped.
  for number, line in enumerate(read_text(path, what=what).split('\n'), 1):
    if not line.strip():
      continue
    try:
      value = json.loads(line)
    except ValueError as error:
      raise ValueError(
        f'{what} at {path}: line {number} is not complete JSON ({error}).'
      ) from error
    yield number, value


def write_text(path: str | os.PathLike, text: str) -> None:
  """Replaces a file at once: a reader sees the old text or the new one."""
  write_bytes(path, text.encode('utf-8'))


def write_bytes(path: str | os.PathLike, data: bytes) -> None:
  """Replaces a file at once: a reader sees the old bytes or the new ones."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with temporary.open('wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  finally:
    temporary.unlink(missing_ok=True)
