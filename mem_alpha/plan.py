"""Whether a run fits a machine, and what a step costs there, without it.

`python -m mem_alpha.main --mode=plan --config=configs/qwen3_4b.py
--config.plan.target=v5e:8x8` compiles the programs of a training step at the
config's own shapes, from shapes alone: no weight is read, nothing is allocated,
and a TPU need not be there (`mem_alpha[tpu]`). A target is `cpu`, `gpu`
(the devices of this machine), or a TPU topology by name.

Bytes and exchanges between devices are the compiler's; arithmetic is counted
in the traced program. A step's time is what its arithmetic would take at the
chips' peak, or reading memory where that takes longer: a lower bound, for
prompts and responses as long as they may be. Readers and judges take no part.
"""

import dataclasses
import json
import os
import pathlib
import re
import time
import types
from concurrent import futures

import jax
import numpy as np
from jax.experimental import topologies

from mem_alpha import build
from mem_alpha import build_model
from mem_alpha import cost as cost_lib
from mem_alpha import mesh
from mem_alpha.grpo import update
from mem_alpha.memory import state as memory_state
from mem_alpha.models import cache
from mem_alpha.models import decoder
from mem_alpha.models import hf
from mem_alpha.rollout import batch as batch_lib
from mem_alpha.rollout import sampler

_HERE = ('cpu', 'gpu')
# Ids of tokens change no shape.
_VOCAB = types.SimpleNamespace(end_of_turn=1, pad=0)
_OVER = re.compile(r'(?:Used |temporaries \()([\d.]+)([KMGT]?)')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclasses.dataclass
class Program:
  """One compiled program of a training step."""

  name: str
  traced: object
  held: int  # bytes per device that lie beside its arguments
  runs: int  # per training step
  flops: float = 0.0  # per run and device
  read: float = 0.0  # bytes of memory that a run must read, per device
  cost: cost_lib.Cost | None = None
  needs: float = 0.0  # bytes per device, all together
  arguments: int = 0  # bytes per device that it is given
  error: str = ''
  seconds: float = 0.0  # of compiling


def run(config, *, as_json: bool = False) -> bool:
  """Prints the plan; returns whether the run fits."""
  build.check(config)
  devices = _devices(config.plan.target)
  made = mesh.make(config.mesh.fsdp, config.mesh.tp, devices=devices)
  with jax.set_mesh(made):
    result = plan(config, _chip(devices), len(devices))
  result['target'] = config.plan.target
  result['device'] = devices[0].device_kind
  result['mesh'] = dict(made.shape)
  print(json.dumps(result) if as_json else _text(result))
  return result['fits']


def plan(config, chip: cost_lib.Chip, devices: int) -> dict:
  """Compiles everything under the mesh in use; plain figures, in bytes."""
  cfg, shape_from = shape(config)
  state, programs = _programs(config, cfg)
  cores = os.cpu_count()  # XLA leaves Python meanwhile
  with futures.ThreadPoolExecutor(cores) as pool:
    lowered = [program.traced.lower() for program in programs]
    list(pool.map(_compile, programs, lowered, [devices] * len(programs)))
  worst = max(programs, key=lambda p: p.needs)
  fits = worst.needs <= chip.memory
  return dict(
    shape_from=shape_from,
    parameters=_count(state['parameters']),
    memory=chip.memory,
    held={name: cost_lib.bytes_per_device(x) for name, x in state.items()},
    programs=[_figures(p, chip) for p in programs],
    peak=worst.needs,
    fits=fits,
    because=_because(worst, chip, fits),
    step_seconds=sum(_seconds(p, chip) * p.runs for p in programs),
  )


def shape(config) -> tuple[decoder.Config, str]:
  """The decoder's shape, and where it was found; no weight is read."""
  m = config.model
  weights = pathlib.Path(m.weights) if m.weights else None
  if weights and (weights / hf.CONFIG_FILE).is_file():
    return hf.read_config(weights, dtype=m.dtype), str(weights)
  if weights and m.preset == 'tiny':
    raise ValueError(
      f'{weights} is no Hugging Face directory whose shape could be read: '
      'name the shape of these weights with --config.model.preset.'
    )
  vocabulary = {}
  if config.tokenizer.source == 'train':
    vocabulary['vocab_size'] = config.tokenizer.vocab_size
  return build_model.preset(config, **vocabulary), f'preset {m.preset}'


def _programs(config, cfg) -> tuple[dict, list[Program]]:
  """What is held from step to step, and the programs that work on it."""
  size = cost_lib.bytes_per_device
  _, tx = build.optimizers(config)
  rollouts = config.grpo.instances * config.grpo.rollouts
  weights = _shapes(lambda: build_model.cast(config, decoder.init(cfg, _key())))
  adapters = _shapes(lambda w: build_model.adapters(config, w), weights)
  learnt = weights if adapters is None else adapters
  frozen = {} if adapters is None else {'base': weights}
  if config.grpo.kl:
    frozen['reference'] = weights
  opt = _shapes(tx.init, learnt)
  memories = _shapes(
    lambda: memory_state.empty_batch(
      rollouts,
      tokens=config.memory.tokens,
      terms=config.memory.terms,
      rows=config.memory.rows,
    )
  )
  sampling, slots = _sampling(config, cfg, weights, rollouts)
  for program in sampling:
    program.held += size((learnt, frozen, opt, memories))
  part = _batch(config)
  updates = update.traced(
    learnt,
    opt,
    part,
    cfg=cfg,
    spec=build.policy_update(config),
    tx=tx,
    frozen=frozen,
  )
  rows = part.tokens_RL.shape[0]  # each holds one turn that is full
  learning = [
    Program(
      'update',
      updates['update'],
      held=size((opt, memories)),
      runs=-(-rollouts * config.data.chunks // rows),
      flops=cost_lib.flops(updates['update'].jaxpr.jaxpr),
    ),
    Program(
      'optimizer',
      updates['optimizer'],
      held=size((memories, frozen)),
      runs=config.grpo.updates,
    ),
  ]
  state = dict(parameters=weights, adapters=adapters, optimizer=opt)
  state |= dict(reference=frozen.get('reference'), memories=memories)
  return state | dict(cache=slots.cache), sampling + learning


def _sampling(config, cfg, weights, rollouts) -> tuple[list[Program], object]:
  """Reading a block of prompts, giving it to slots, decoding in all slots.

  Also the slots, as shapes. Prompts count in full and as all different: what a
  prefix or equal prompts save is left out.
  """
  size = cost_lib.bytes_per_device
  T, N = config.prompt.tokens, config.sampling.max_new_tokens
  spec = build.sampling(config, _VOCAB, greedy=False)
  sizes = build.sampling_sizes(config)
  split = mesh.size('fsdp')
  count = -(-sizes.slots // split) * split
  rows = min(max(1, sizes.prefill_tokens // T // split) * split, count)
  ready = _shapes(lambda w: decoder.for_sampling(cfg, w), weights)
  slots = _shapes(
    lambda: sampler.empty(cfg, slots=count, capacity=T + N - 1, sampling=spec)
  )
  prefill = jax.jit(cache.prefill, static_argnums=0).trace(
    cfg, ready, None, _whole((rows, T)), _whole((rows,))
  )
  read = jax.tree.map(mesh.placed, prefill.out_info)
  seed_R2 = _whole((rows, 2), np.uint32)
  insert = sampler.insert.trace(
    slots, read, _whole((rows,)), seed_R2, sampling=spec
  )
  decode = sampler.decode.trace(
    cfg, ready, None, slots, _whole(()), sampling=spec
  )
  blocks = config.data.chunks * -(-rollouts // rows)
  return [
    Program(
      'prefill',
      prefill,
      held=size(slots),
      runs=blocks,
      flops=cost_lib.flops(prefill.jaxpr.jaxpr),
    ),
    Program('insert', insert, held=size(ready), runs=blocks),
    Program(
      'decode',
      decode,
      held=size(read),
      runs=config.data.chunks * -(-rollouts // count),
      flops=cost_lib.flops(decode.jaxpr.jaxpr) * N,
      read=size((ready, slots.cache)) * N,
    ),
  ], slots


def _batch(config) -> batch_lib.Packed:
  """A micro-batch, as shapes."""
  shape = build.batch_shape(config)
  part = batch_lib.pack([[1]], [[1]], shape=shape, pad=_VOCAB.pad)[0]
  return jax.tree.map(lambda x: _rows(x.shape, x.dtype), part)


def _rows(shape, dtype) -> jax.ShapeDtypeStruct:
  """The shape of what `mesh.put_batch` would place."""
  made = jax.sharding.get_mesh()
  if shape[0] % made.shape['fsdp']:
    raise ValueError(
      f'a batch of {shape[0]} rows cannot be split over {made.shape["fsdp"]} '
      'devices (mesh axis fsdp): change batch.rows, or grpo.instances and '
      'grpo.rollouts'
    )
  return jax.ShapeDtypeStruct(
    shape, dtype, sharding=jax.NamedSharding(made, jax.P('fsdp'))
  )


def _whole(shape, dtype=np.int32) -> jax.ShapeDtypeStruct:
  """The shape of a host array that every device gets."""
  return mesh.placed(jax.ShapeDtypeStruct(shape, dtype))


def _compile(program: Program, lowered, devices: int) -> None:
  """Fills in what the compiler says; too much memory is an answer, too."""
  start = time.perf_counter()
  program.flops /= devices
  program.arguments = cost_lib.bytes_per_device(program.traced.jaxpr.in_avals)
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as error:
    over = _OVER.search(str(error))
    if over is None or 'RESOURCE_EXHAUSTED' not in str(error):
      raise
    asked = float(over[1]) * _UNITS[over[2]]
    program.needs = asked + program.arguments + program.held
    program.error = f'the compiler gives up at {over[1]} {over[2]}iB'
  else:
    program.cost = cost_lib.of(compiled)
    program.needs = program.cost.peak + program.held
  program.seconds = time.perf_counter() - start


def _seconds(program: Program, chip: cost_lib.Chip) -> float:
  """A run takes at least this long: arithmetic, or reading memory."""
  return max(program.flops / chip.flops, program.read / chip.bandwidth)


def _figures(program: Program, chip: cost_lib.Chip) -> dict:
  cost = dataclasses.asdict(program.cost) if program.cost else {}
  return dict(
    name=program.name,
    held=program.held,
    needs=program.needs,
    runs=program.runs,
    flops=program.flops,
    seconds=_seconds(program, chip),
    compile_seconds=round(program.seconds, 1),
    error=program.error,
    **cost,
  )


def _because(worst: Program, chip: cost_lib.Chip, fits: bool) -> str:
  need, have = worst.needs / cost_lib.GIB, chip.memory / cost_lib.GIB
  if fits:
    return f'`{worst.name}` needs most, {need:.2f} of {have:.2f} GiB a device'
  more = f' ({worst.error})' if worst.error else ''
  return f'`{worst.name}` needs {need:.2f} of {have:.2f} GiB a device{more}'


def _devices(target: str) -> list:
  """The devices to compile for; those of a topology need not exist."""
  if target in _HERE:
    try:
      return jax.devices(target)
    except RuntimeError as error:
      raise ValueError(
        f'plan.target={target!r}: this machine has no such device ({error}).'
      ) from error
  for name, value in dict(
    TPU_SKIP_MDS_QUERY='1',  # asks no metadata server
    ALLOW_MULTIPLE_LIBTPU_LOAD='1',  # no lock: nothing is run
    TPU_ACCELERATOR_TYPE='v5litepod-64',  # any name, or libtpu complains
    TPU_WORKER_HOSTNAMES='localhost',
    TPU_MIN_LOG_LEVEL='3',
  ).items():
    os.environ.setdefault(name, value)
  try:
    found = topologies.get_topology_desc(platform='tpu', topology_name=target)
  except Exception as error:  # libtpu fails in many ways
    reason = str(error).split('\n')[0][:200]
    raise ValueError(
      f'plan.target={target!r} cannot be planned: use cpu, gpu, or a TPU '
      f'topology such as v5e:8x8, with libtpu installed ({reason}).'
    ) from error
  return list(found.devices)


def _chip(devices) -> cost_lib.Chip:
  kind = devices[0].device_kind
  if kind in cost_lib.CHIPS:
    return cost_lib.CHIPS[kind]
  if devices[0].platform == 'cpu':
    # Virtual devices share the host. No rate is known: times are not shown.
    host = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return cost_lib.Chip(host / len(devices), np.inf, np.inf)
  raise ValueError(
    f'{kind!r} has no entry in CHIPS of mem_alpha/cost.py: add its memory and '
    'its rates.'
  )


def _text(result: dict) -> str:
  """The plan as a table."""
  count, mesh_shape = np.prod(list(result['mesh'].values())), result['mesh']
  gib = cost_lib.GIB
  lines = [
    f'{result["target"]}: {count} x {result["device"]}, '
    f'{result["memory"] / gib:.2f} GiB each, mesh '
    + ' x '.join(f'{axis} {size}' for axis, size in mesh_shape.items()),
    f'model: {result["parameters"] / 1e9:.3f} billion parameters '
    f'({result["shape_from"]})',
    'GiB per device: '
    + ', '.join(f'{k} {v / gib:.3f}' for k, v in result['held'].items()),
    f'{"program":10}{"arguments":>10}{"outputs":>9}{"temporary":>10}'
    f'{"beside":>8}{"needs":>8}  GiB {"TFLOP":>9} x {"runs":5}'
    f'{"seconds":>9}  compiled in  collectives',
  ]
  for p in result['programs']:
    sizes = [p.get(k) for k in ('arguments', 'outputs', 'temporary')]
    shown = [f'{v / gib:.3f}' if v is not None else '?' for v in sizes]
    exchanges = ', '.join(
      f'{v} {k}' for k, v in p.get('collectives', {}).items()
    )
    lines.append(
      f'{p["name"]:10}{shown[0]:>10}{shown[1]:>9}{shown[2]:>10}'
      f'{p["held"] / gib:8.3f}{p["needs"] / gib:8.3f}      '
      f'{p["flops"] / 1e12:9.3f} x {p["runs"]:<5}{p["seconds"]:9.3f}  '
      f'{p["compile_seconds"]:9.1f} s  {exchanges or "none"}'
    )
  if result['step_seconds']:
    lines.append(
      f'a training step takes at least {result["step_seconds"]:.1f} s here, '
      'plus readers, if all turns are full'
    )
  verdict = 'fits' if result['fits'] else 'does not fit'
  return '\n'.join([*lines, f'{verdict}: {result["because"]}'])


def _shapes(make, *args):
  """What a function would return, as shapes with their placement."""
  return jax.tree.map(mesh.placed, jax.eval_shape(make, *args))


def _count(params) -> int:
  return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def _key():
  return jax.random.key(0)
