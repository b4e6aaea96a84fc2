"""Equal contents: hashes never miss one, and the tokens have the last word."""

import dataclasses

import jax
import numpy as np

from mem_alpha import structs
from mem_alpha.memory import content
from mem_alpha.memory import ops
from mem_alpha.memory import state

CORE, SEMANTIC, EPISODIC = structs.Kind
ROOM = {'O': 5, 'T': 16, 'W': 1}


def pack(*contents, kinds=None):
  kinds = kinds or [SEMANTIC] * len(contents)
  calls = [
    ops.EncodedCall(structs.Action.INSERT, kind, tokens=tokens)
    for kind, tokens in zip(kinds, contents)
  ]
  return jax.tree.map(lambda x: x[0], ops.pack([calls], **ROOM))


def apply(*turns):
  """A memory that has executed these turns."""
  memory_B = state.empty_batch(1, tokens=32, terms=1, rows=6)
  for chunk, calls in enumerate(turns):
    ops_B = jax.tree.map(lambda x: x[None], calls)
    memory_B, status_BO, _ = ops.apply_turn(
      memory_B, ops_B, chunk, limits=ops.Limits(core=None)
    )
  return jax.tree.map(lambda x: x[0], memory_B)


def same(memory, calls, write_O):
  return jax.jit(lambda *args: content.same(*args))(memory, calls, write_O)


def test_inside_marks_each_position_for_its_call():
  start_O, length_O = np.array([0, 2, 2, 4]), np.array([2, 0, 1, 9])
  inside_TO = content.inside(start_O, length_O, size=5)
  assert inside_TO.argmax(-1).tolist() == [0, 0, 2, 0, 3]
  assert inside_TO.any(-1).tolist() == [True, True, True, False, True]


def test_the_hash_does_not_depend_on_the_place():
  tokens = (151_000, 7, 0, 151_935)
  first = jax.jit(content.hashes)(pack(tokens, (5,), tokens, (5,), (5, 5)))
  assert first[0] == first[2] and first[1] == first[3]
  shifted = jax.jit(content.hashes)(
    pack((9,), (8, 8, 8), tokens, (1, 2), tokens)
  )
  assert shifted[2] == shifted[4] == first[0]
  assert first.dtype == np.uint32


def test_hashes_tell_most_contents_apart():
  rng = np.random.default_rng(0)
  seen = {}
  hash_all = jax.jit(content.hashes)
  for _ in range(100):
    contents = [tuple(rng.integers(0, 3, 3).tolist()) for _ in range(5)]
    for tokens, value in zip(contents, hash_all(pack(*contents)).tolist()):
      assert seen.setdefault(tokens, value) == value
  assert len(set(seen.values())) == len(seen) == 27


def test_same_finds_live_rows_and_earlier_calls():
  stored = pack((1, 2), (3,), (1, 2), (4,), kinds=[1, 1, 2, 1])
  memory = apply(stored)
  calls = pack((1, 2), (3,), (9, 9), (3,), (1,), kinds=[1, 2, 1, 2, 1])
  write_O = np.ones(5, bool)
  same_OR = same(memory, calls, write_O)
  assert np.argwhere(same_OR).tolist() == [[0, 0], [3, 6 + 1]]
  write_O[1] = False  # a call that writes nothing is the same as nothing
  same_OR = same(memory, calls, write_O)
  assert np.argwhere(same_OR).tolist() == [[0, 0]]


def test_same_reads_every_token_of_every_candidate(monkeypatch):
  def constant(ops_O):
    return jax.numpy.zeros(ops_O.length_O.shape, jax.numpy.uint32)

  memory = apply(pack((1, 2), (1, 3), (2, 2), (1, 3, 5)))
  no_hash_M = jax.numpy.zeros_like(memory.hash_M)
  memory = dataclasses.replace(memory, hash_M=no_hash_M)
  monkeypatch.setattr(content, 'hashes', constant)
  calls = pack((1, 3), (2, 2), (2, 3), (1, 3), (2, 3))
  same_OR = same(memory, calls, np.ones(5, bool))
  assert np.argwhere(same_OR).tolist() == [
    [0, 1], [1, 2], [3, 1], [3, 6 + 0], [4, 6 + 2],
  ]  # fmt: skip
