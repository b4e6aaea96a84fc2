"""What made a run: command, commit, versions and machine.

Written once, when a run begins, so that a figure can be traced to the code that
produced it even when it is collected much later.
"""

import os
import pathlib
import platform
import subprocess
import sys

import jax

import mem_alpha


def describe() -> dict[str, object]:
  """Plain JSON; `commit` is None where the code is not in a git checkout."""
  devices = jax.devices()
  return {
    'command': ' '.join(['python -m mem_alpha.main', *sys.argv[1:]]),
    'commit': _commit(pathlib.Path(mem_alpha.__file__).parent),
    'machine': f'{platform.machine()}, {os.cpu_count()} cores',
    'devices': f'{len(devices)} {devices[0].device_kind}',
    'jax': jax.__version__,
    'python': platform.python_version(),
  }


def _commit(folder: pathlib.Path) -> str | None:
  """Short hash of HEAD, with `+` where tracked files were changed since."""
  head = _git(folder, 'rev-parse', '--short', 'HEAD')
  if head is None:
    return None
  changed = _git(folder, 'status', '--porcelain', '--untracked-files=no')
  return head + '+' * bool(changed)


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
  try:
    done = subprocess.run(
      ['git', *arguments], cwd=folder, capture_output=True, text=True
    )
  except FileNotFoundError:  # no git on this machine
    return None
  return done.stdout.strip() if done.returncode == 0 else None
