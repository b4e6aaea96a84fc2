"""The config of a run in its workdir: written once, compared ever after."""

import json
import pathlib

from mem_alpha import checkpoint
from mem_alpha import files
from mem_alpha import provenance

# Settings that a resumed run may change, because they change no result.
_MAY_DIFFER = ('log', 'checkpoint', 'guard', 'plan', 'baselines')
_MAY_DIFFER += ('eval.systems', 'eval.name', 'eval.compare')


def keep_config(config: dict, workdir: pathlib.Path) -> None:
  """Writes config.json, or refuses to go on under another config."""
  path = workdir / 'config.json'
  if path.exists():
    check_config(files.read_json(path, what='The config of the run'), config)
    return
  made = dict(provenance=provenance.describe(), config=config)
  try:
    for name, value in made.items():
      text = json.dumps(value, indent=2) + '\n'
      files.write_text(workdir / f'{name}.json', text)
  except OSError as error:
    raise OSError(
      f'nothing can be written to the workdir {workdir} ({error}): make it '
      'writable, or choose another one.'
    ) from error


def check_config(saved: dict, config: dict) -> None:
  """Refuses another config than that of the run, naming what differs."""
  checkpoint.require_same_config(saved, config, may_differ=_MAY_DIFFER)
