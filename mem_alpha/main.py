"""python -m mem_alpha.main --config=configs/embedded.py --workdir=runs/x.

--mode=train (default) trains, or continues, and ends with the result table;
evaluate makes that again, or another; compare puts several in one; export makes
a Hugging Face directory; plan says whether a run fits a machine; prepare builds
data sets (configs/data/). Any knob of configs/base.py can be set, as in
--config.grpo.steps=20. --verbosity=1 shows where an error arose.
"""

import os
import pathlib
import sys

# XLA's CPU thread pool can deadlock when virtual devices outnumber cores; one
# device is about a fifth slower with more threads than cores.
if (
  'JAX_NUM_CPU_DEVICES' in os.environ
  or 'host_platform_device_count' in os.environ.get('XLA_FLAGS', '')
):
  os.environ.setdefault('NPROC', '16')

import jax
from absl import app
from absl import flags
from absl import logging
from ml_collections import config_flags

from mem_alpha import build
from mem_alpha import compare
from mem_alpha import evaluate
from mem_alpha import export
from mem_alpha import mesh
from mem_alpha import plan
from mem_alpha import prepare
from mem_alpha import train

_RUN = {
  'train': train.run,
  'evaluate': evaluate.run,
  'compare': compare.run,
  'export': export.run,
  'prepare': prepare.run,
}
_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A file of configs/, such as configs/embedded.py.'
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Everything is written here.')
_MODE = flags.DEFINE_enum('mode', 'train', [*_RUN, 'plan'], 'What to do.')
_DISTRIBUTED = flags.DEFINE_string(
  'distributed', None, 'HOST:PORT,COUNT,INDEX of this process; pods: auto.'
)
_JSON = flags.DEFINE_bool('json', False, 'A plan as one line of JSON.')


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    sys.exit(f'Unknown argument {argv[1]!r}: write --config.name=value.')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax reports every file
  try:
    config = _CONFIG.value
    if _MODE.value == 'plan':
      sys.exit(0 if plan.run(config, as_json=_JSON.value) else 1)
    if not _WORKDIR.value:
      sys.exit('mem_alpha: --workdir is missing: name a directory for the run.')
    mesh.join(_DISTRIBUTED.value)
    with jax.set_mesh(build.device_mesh(config)):
      logging.info('Devices: %s', jax.devices())
      _RUN[_MODE.value](config, pathlib.Path(_WORKDIR.value))
  except (ValueError, OSError) as error:  # bad settings, files or data
    if logging.level_debug():
      raise
    sys.exit(f'mem_alpha: {error}')


def _parse(argv: list[str]) -> list[str]:
  """Reads the flags; what is wrong with them is one sentence."""
  try:
    return flags.FLAGS(argv)
  except (
    flags.Error,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
    OSError,
  ) as error:
    sys.exit(f'mem_alpha: {error}')


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  app.run(main, flags_parser=_parse)
