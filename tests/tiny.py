"""The embedded tier as small as it still runs, for tests of whole runs.

One config, so that tests share compiled shapes; each changes what it is about.
"""

import jax

from configs import embedded
from mem_alpha import mesh


class Killed(BaseException):
  """What a SIGKILL looks like from inside: nothing catches it."""


def config():
  """One layer, three chunks, a memory of 256 tokens, no supervised phases."""
  c = embedded.get_config()
  c.data.chunks = 3
  c.data.synthetic.update(changes=1, classes=1, topics=1, small_talk=3)
  c.tokenizer.vocab_size, c.tokenizer.instances = 640, 20
  c.model.num_layers, c.model.width = 1, 16
  c.memory.tokens = c.memory.terms = 256
  c.memory.rows = 32
  c.prompt.tokens, c.sampling.max_new_tokens = 192, 64
  c.warm.copy_steps = c.warm.keep_steps = 0
  c.batch.rows, c.batch.length, c.batch.targets = 4, 256, 64
  c.opt.warmup = 1
  c.eval.batch = c.eval.validation = c.eval.test = 4
  c.log.progress = False
  return c


def one_device():
  """A context in which one device is all there is."""
  return jax.set_mesh(mesh.make(1, 1, devices=jax.devices()[:1]))
