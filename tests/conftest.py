"""What every test runs under: eight CPU devices, a compile cache, an end.

The settings must come before the first jax computation of the process, hence
before any test module is imported.
"""

import faulthandler
import os

# Eight devices wait for each other in a collective. XLA sizes its thread pool
# by this variable, else by the cores: with two of them that is a deadlock.
os.environ.setdefault('NPROC', '16')

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402
from absl import flags  # noqa: E402

SECONDS_PER_TEST = 300
_STDERR = pytest.StashKey[int]()

jax.config.update('jax_num_cpu_devices', 8)
flags.FLAGS.mark_as_parsed()  # modules of the command line define flags
# The same examples in every run, and no failure because the machine is busy.
hypothesis.settings.register_profile('tests', deadline=None, derandomize=True)
hypothesis.settings.load_profile('tests')


def pytest_configure(config):
  # Tests capture stderr; the real one must be kept for the last words.
  config.stash[_STDERR] = os.dup(2)
  if config.pluginmanager.hasplugin('cacheprovider'):
    folder = config.cache.mkdir('jax')  # .pytest_cache/d/jax
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)


def pytest_unconfigure(config):
  os.close(config.stash[_STDERR])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
  """Ends the process, with all tracebacks, where a test does not end.

  A thread outside Python does it: a test that hangs in XLA sees no signal.
  """
  if not item.config.getoption('usepdb'):
    faulthandler.dump_traceback_later(
      SECONDS_PER_TEST, exit=True, file=item.config.stash[_STDERR]
    )
  try:
    return (yield)
  finally:
    faulthandler.cancel_dump_traceback_later()
