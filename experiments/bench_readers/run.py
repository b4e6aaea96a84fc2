"""What readers cost: a server's answers, a training step, a local model.

python -m experiments.bench_readers.run endpoint step
python -m experiments.bench_readers.run local \
  --gguf=models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

`local` needs torch, `pip install accelerate` and $MEM_ALPHA_DATA. Lines go to
results.jsonl beside this file; --dry prints them only, --small is a trial.
"""

import argparse

from experiments.bench_readers import bench_endpoint
from experiments.bench_readers import bench_local
from experiments.bench_readers import bench_step

_BENCHES = {
  'endpoint': bench_endpoint.run,
  'step': bench_step.run,
  'local': bench_local.run,
}


def main():
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('names', nargs='+', choices=_BENCHES)
  parser.add_argument('--gguf', help='SmolLM2 as a GGUF file, for local')
  parser.add_argument('--at_once', type=int, help='only this step')
  parser.add_argument('--runs', type=int, default=3)
  parser.add_argument('--small', action='store_true')
  parser.add_argument('--dry', action='store_true')
  args = parser.parse_args()
  for name in args.names:
    _BENCHES[name](args)


if __name__ == '__main__':
  main()
