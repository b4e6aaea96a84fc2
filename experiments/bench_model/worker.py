"""One side of a benchmark: a process that answers commands on its stdin.

Each system runs in a process (and, for tunix, an environment) of its own that
stays alive, so that runs of both sides can take turns on one machine. A
command is a JSON line {"do": name, ...arguments}; the answer is a JSON line of
what the function returned, with the seconds it took and the peak memory.
Nothing but the standard library is imported here.
"""

import json
import os
import resource
import subprocess
import sys
import time


def serve(functions):
  """Answers commands until stdin ends. Prints of libraries go to stderr."""
  answers = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)
  for line in sys.stdin:
    command = json.loads(line)
    function = functions[command.pop('do')]
    began = time.perf_counter()
    result = function(**command) or {}
    result.setdefault('seconds', time.perf_counter() - began)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers.write(json.dumps({**result, 'peak_gb': peak_kb / 2**20}) + '\n')
    answers.flush()


class Worker:
  """The other end: starts a process and asks it."""

  def __init__(self, python, script, *args):
    self.process = subprocess.Popen(
      [python, script, *args],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def ask(self, do, **arguments):
    self.process.stdin.write(json.dumps({'do': do, **arguments}) + '\n')
    self.process.stdin.flush()
    line = self.process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self.process.args} ended; see its messages above')
    return json.loads(line)

  def close(self):
    self.process.stdin.close()
    self.process.wait()
