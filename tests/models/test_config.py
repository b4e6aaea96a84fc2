"""A shape that cannot work is refused by name."""

import dataclasses

import pytest

from mem_alpha.models import config

GOOD = config.Config(
  vocab_size=8,
  num_layers=1,
  width=4,
  num_heads=2,
  num_kv_heads=1,
  head_width=2,
  ff=4,
)


@pytest.mark.parametrize(
  'change, message',
  [
    ({'num_kv_heads': 3}, 'num_heads=2 must be a multiple of num_kv_heads=3'),
    ({'head_width': 3}, 'head_width=3 must be even'),
    ({'num_layers': 0}, 'num_layers=0 must be at least 1'),
    ({'canon': -1}, 'canon=-1'),
    ({'rope_scaling': (8.0,)}, 'rope_scaling is .factor'),
    ({'dtype': 'int8'}, "dtype='int8' must be"),
  ],
)
def test_bad_shapes(change, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(GOOD, **change)


def test_equal_shapes_are_one_static_argument():
  assert hash(GOOD) == hash(dataclasses.replace(GOOD))
