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
  packed = ops.pack([calls], **ROOM)
  return jax.tree.map(lambda x: jax.numpy.asarray(x[0]), packed)


def apply(*turns):
  """A memory that has executed these turns."""
  memory_B = state.empty_batch(1, tokens=32, terms=1, rows=6)
  for chunk, calls in enumerate(turns):
    ops_B = jax.tree.map(lambda x: x[None], calls)
    memory_B, status_BO, _ = ops.apply_turn(
      memory_B, ops_B, chunk, limits=ops.Limits(core=None)
    )
  return jax.tree.map(lambda x: x[0], memory_B)


def holders(memory, calls, live_O):
  """For each call, the rows and the calls that alone make `holds` true."""
  M, O = memory.kind_M.size, calls.kind_O.size  # noqa: E741

  @jax.jit  # a new function each time: a test may have replaced what it calls
  @jax.vmap
  def ask(o, r):
    one_M, one_O = jax.numpy.arange(M) == r, jax.numpy.arange(O) == r - M
    rows_M, calls_O = one_M & state.live(memory), one_O & live_O
    return content.holds(
      memory, calls, content.hashes(calls), o, rows_M, calls_O
    )

  o, r = (x.ravel() for x in np.indices((O, M + O)))
  pairs = np.argwhere(np.asarray(ask(o, r)).reshape(O, M + O))
  return [[o, r] for o, r in pairs.tolist() if r != M + o]


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


def test_live_rows_and_earlier_calls_hold_a_content():
  memory = apply(
    pack((1, 2), (3,), (1, 2), (4,), kinds=[1, 1, 2, 1]),
  )
  calls = pack((1, 2), (3,), (9, 9), (3,), (1,), kinds=[1, 2, 1, 2, 1])
  all_O, without_O = np.ones(5, bool), np.arange(5) != 1
  assert holders(memory, calls, all_O) == [[0, 0], [1, 6 + 3], [3, 6 + 1]]
  assert holders(memory, calls, without_O) == [[0, 0], [1, 6 + 3]]


def test_every_token_of_every_candidate_is_read(monkeypatch):
  def constant(ops_O):
    return jax.numpy.zeros(ops_O.length_O.shape, jax.numpy.uint32)

  memory = apply(pack((1, 2), (1, 3), (2, 2), (1, 3, 5)))
  no_hash_M = jax.numpy.zeros_like(memory.hash_M)
  memory = dataclasses.replace(memory, hash_M=no_hash_M)
  monkeypatch.setattr(content, 'hashes', constant)
  calls = pack((1, 3), (2, 2), (2, 3), (1, 3), (2, 3))
  found = holders(memory, calls, np.ones(5, bool))
  assert found == [
    [0, 1], [0, 6 + 3], [1, 2], [2, 6 + 4], [3, 1], [3, 6 + 0], [4, 6 + 2],
  ]  # fmt: skip
  # All at once: the right one is found behind those with the same hash.
  all_M, no_O = state.live(memory), np.zeros(5, bool)
  for o, wanted in enumerate([True, True, False, True, False]):
    hash_O = content.hashes(calls)
    assert content.holds(memory, calls, hash_O, o, all_M, no_O) == wanted
