"""mem_alpha's side: python ours.py MODEL_DIRECTORY WORK.json"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import worker

from mem_alpha.grpo import update
from mem_alpha.models import hf
from mem_alpha.rollout import batch
from mem_alpha.rollout import engine
from mem_alpha.rollout import sampler


class Ours:
  """Keeps its compiled programs from one command to the next."""

  def __init__(self, directory, work):
    self.cfg, self.params = hf.load(directory)
    self.work = work
    self.tx = optax.adamw(1e-6)
    self.opt_state = None

  def rollout(self, chunk, reuse=True):
    """All responses to the prompts of a chunk, prefix included each time."""
    work = self.work
    began = time.perf_counter()
    respond = engine.Engine(
      self.cfg,
      self.params,
      sampling=sampler.Sampling(
        temperature=1.0,
        max_new_tokens=work['new_tokens'],
        end_of_turn=-1,  # no token: all responses have one length
        pad=0,
      ),
      sizes=engine.Sizes(
        prompt_tokens=work['prompt_tokens'], slots=work['rows']
      ),
      prefix=work['constant'] if reuse else (),
    )
    keys_B = jax.vmap(jax.random.key)(np.arange(work['rows']))
    found = respond(work[chunk], keys_B)
    tokens = sum(len(response.tokens) for response in found)
    return {'seconds': time.perf_counter() - began, 'tokens': tokens}

  def update(self, shared):
    """Loss, gradient and AdamW on some turns."""
    work = self.work
    turns = work['turns_shared' if shared else 'turns']
    prompts, responses = zip(*turns)
    new = work['new_tokens']
    length = work['prompt_tokens'] + new
    shape = batch.Shape(
      rows=work['micro_rows'],
      length=length,
      targets=new,
      turns=work['micro_rows'],
      response=new,
    )
    parts = batch.pack(
      prompts,
      responses,
      shape=shape,
      pad=0,
      logps=[[-1.0] * len(r) for r in responses],
      advantages=[[1.0] * len(r) for r in responses],
    )
    if self.opt_state is None:
      self.opt_state = self.tx.init(self.params)
    self.params, self.opt_state, figures = update.step(
      self.params,
      self.opt_state,
      parts,
      cfg=self.cfg,
      spec=update.UpdateSpec(remat='dots'),
      tx=self.tx,
    )
    jax.block_until_ready(self.params)
    return {'tokens': len(turns) * length, 'loss': float(figures['loss'])}

  def peak(self):
    """Best of five products of 2048 x 2048 matrices, in FLOP/s."""
    x = jax.random.normal(jax.random.key(0), (2048, 2048))
    product = jax.jit(jnp.matmul)
    times = []
    for _ in range(6):
      began = time.perf_counter()
      product(x, x).block_until_ready()
      times.append(time.perf_counter() - began)
    return {'flops': 2 * 2048**3 / min(times)}


if __name__ == '__main__':
  with open(sys.argv[2], encoding='utf-8') as file:
    ours = Ours(sys.argv[1], json.load(file))
  worker.serve(
    {'rollout': ours.rollout, 'update': ours.update, 'peak': ours.peak}
  )
