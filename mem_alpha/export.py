"""`--mode=export`: a run's model as a Hugging Face directory.

    python -m mem_alpha.main --mode=export --config=... --workdir=runs/x

writes `runs/x/hf`, which transformers, vLLM and --config.model.weights load.
Adapters are merged into the weights that they were trained on, so the result
is the whole policy. It runs in one process, whatever the run was trained on.
"""

import contextlib
import pathlib

import jax

from mem_alpha import build
from mem_alpha import build_systems
from mem_alpha import checkpoint
from mem_alpha import evaluate
from mem_alpha.models import export


def run(config, workdir: pathlib.Path) -> None:
  """Writes the snapshot that `config.export` names, and says where."""
  build.check(config)
  name = config.export.system
  if name not in build_systems.SNAPSHOTS:
    raise ValueError(
      f'export.system={name!r} is no model of a run: use one of '
      f'{", ".join(build_systems.SNAPSHOTS)}.'
    )
  if jax.process_count() > 1:
    raise ValueError('--mode=export runs in one process: leave out the others.')
  if not (workdir / 'checkpoints').is_dir():
    raise FileNotFoundError(
      f'{workdir} has no checkpoints to export: train there first, or name the '
      '--workdir of a run.'
    )
  directory = pathlib.Path(config.export.directory or workdir / 'hf')
  with (
    contextlib.closing(evaluate.Parts(config, workdir)) as parts,
    checkpoint.Store(workdir / 'checkpoints') as store,
  ):
    params = build_systems.params_of(parts, store, name)
    export.save(
      directory,
      parts.cfg,
      parts.policy(params),
      parts.tokenizer,
      dtype=config.export.dtype,
    )
  print(f'{name} is in {directory}.')
