"""Caps, weights and bounds of length."""

import pytest

from mem_alpha import structs
from mem_alpha.data import mixture


def make(**counts):
  return [
    structs.Instance(f'{source}{n}', source, ('word ' * (n + 1),), ())
    for source, count in counts.items()
    for n in range(count)
  ]


def test_pairs_are_read():
  assert mixture.parse(('squad=2', 'nlu=0.5'), what='w') == {
    'squad': 2.0,
    'nlu': 0.5,
  }


def test_an_unknown_source_is_refused():
  with pytest.raises(ValueError, match='names sqaud, of which the data has no'):
    mixture.parse(('nlu=1', 'sqaud=2'), what='w', known=('nlu', 'squad'))


@pytest.mark.parametrize(
  'pair', ['squad', 'squad=many', '=2', 'squad=-1', 'a=nan']
)
def test_a_bad_pair_is_named(pair):
  with pytest.raises(ValueError, match=r'data\.caps has .*source=number'):
    mixture.parse((pair,), what='data.caps')


def test_caps_draw_from_each_source_and_keep_the_order():
  everything = make(squad=30, nlu=5)
  some = mixture.capped(everything, {'squad': 10}, seed=0)
  assert [i.source for i in some] == ['squad'] * 10 + ['nlu'] * 5
  assert some == [i for i in everything if i in some]
  assert some == mixture.capped(everything, {'squad': 10}, seed=0)
  assert some != mixture.capped(everything, {'squad': 10}, seed=1)


def test_lengths_are_bounded_on_both_sides():
  everything = make(squad=10)
  tokens = mixture.lengths(everything, lambda text: len(text.split()))
  assert tokens == list(range(1, 11))
  some = mixture.of_length(everything, tokens, low=3, high=5)
  assert [i.instance_id for i in some] == ['squad2', 'squad3', 'squad4']
  assert (
    mixture.of_length(everything, tokens, low=None, high=None) == everything
  )
