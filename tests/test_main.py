"""The command line: each mistake ends with one sentence and no traceback."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = f'--config={ROOT}/configs/embedded.py'


def run(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'mem_alpha.main', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=200,
  )


@pytest.mark.parametrize(
  'arguments, words',
  [
    ([CONFIG], ['workdir']),
    ([f'--config={ROOT}/configs/none.py', '--workdir=w'], ['none.py']),
    ([CONFIG, '--workdir=w', '--config.grpo.step=1'], ['step']),
    ([CONFIG, '--workdir=w', '--config.grpo.steps=many'], ['grpo.steps']),
    ([CONFIG, '--workdir=w', '--config.grpo.steps=-1'], ['grpo.steps=-1']),
    ([CONFIG, '--workdir=w', '--mode=fly'], ['mode']),
    ([CONFIG, '--workdir=w', '--mode=evaluate'], ['no checkpoints']),
    (
      [
        CONFIG,
        '--workdir=w',
        '--config.tokenizer.source=model',
        '--config.model.weights=absent.gguf',
      ],
      ['absent.gguf'],
    ),
  ],
)
def test_a_mistake_is_one_sentence(arguments, words, tmp_path):
  arguments = [a.replace('=w', f'={tmp_path}/w') for a in arguments]
  done = run(*arguments)
  assert done.returncode != 0
  for word in words:
    assert word in done.stderr
  assert 'Traceback' not in done.stderr
