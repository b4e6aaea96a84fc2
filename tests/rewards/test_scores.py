"""Scores against examples by hand and simple properties."""

import json
import os
import pathlib

import hypothesis
import pytest
from hypothesis import strategies

from mem_alpha.rewards import scores


@pytest.mark.parametrize(
  'metric, prediction, golds, expected',
  [
    ('exact', 'The  Eiffel Tower!', ['eiffel tower'], 1),
    ('exact', 'Eiffel Tower in Paris', ['Eiffel Tower'], 0),
    ('exact', 'Paris', ['London', 'paris.'], 1),
    ('exact', 'A', ['A'], 1),  # a label, not an article
    ('exact', 'A', ['The'], 0),
    ('exact', 'theatre', ['atre'], 0),  # articles are whole words
    ('token_f1', 'the red old house', ['red house'], 0.8),
    ('token_f1', 'red red', ['red house red'], 0.8),
    ('token_f1', 'blue', ['red house'], 0),
    ('token_f1', 'red', ['blue', 'red house', 'red'], 1),
    ('substring', 'It was the U.S. Army.', ['US army'], 1),
    ('substring', 'army', ['US army'], 0),
    ('keywords', 'A tale of the sea, and War', ['war, sea,love; tale'], 0.75),
    ('keywords', 'seaside', ['sea'], 0),
    ('keywords', 'anything', [', ;'], 0),
    ('keywords', 'a, b', ['A'], 1),
    ('substring', 'I do not know', ['no'], 0),
    ('contains', 'It was yesterday.', ['yes'], 0),
    ('contains', 'Yes, it was.', ['yes'], 1),
    ('substring', 'in 1945', ['9'], 0),
    ('substring', 'at 3.5 metres', ['5'], 0),
    ('substring', 'an Oslo-based firm, since 1990-95', ['Oslo', '1990'], 1),
    ('substring', "Ann's cat", ['Ann'], 1),
    ('substring', 'a cat', ['The'], 0),
    ('substring', 'C or +', ['+'], 1),
    ('phrases', 'On May 5, 2020 in rome', ['may 5, 2020; Rome; tea'], 2 / 3),
    ('contains', 'It was the U.S. Army.', ['navy', 'US army'], 1),
    ('boxed', 'So it is \\boxed{3}, not \\boxed{4}.', ['3'], 1),
    ('boxed', '\\boxed{\\text{12}}', ['12'], 1),
    ('boxed', "$$\n\\boxed{ '2' }\n$$", ['5', '2'], 1),
    ('boxed', 'tea', ['tea'], 1),  # a reader that quotes boxes nothing
    ('boxed', 'the label is 3', ['3'], 0),
    ('recall', '- Rome\n- Oslo', ['oslo', 'Paris'], 0.5),
    ('recall@1', '1. Rome\n2. Oslo', ['Oslo'], 0),
    ('recall@2', 'Rome, Oslo, Bern', ['Oslo', 'Bern'], 0.5),
    ('recall', 'Rome, Italy\nOslo', ['Rome, Italy'], 1),
    ('recall', '1. Bern, Rome, Italy, Oslo', ['Rome, Italy', 'Oslo'], 1),
    ('recall@2', 'Bern, Rome, Italy', ['Rome, Italy', 'Bern'], 1),
    ('recall@1', 'Rome, Italy', ['Rome', 'Italy'], 0.5),
    ('rouge_l', 'the cats sat', ['the cat sat down'], 6 / 7),
    ('rouge_l', 'nothing', ['the cat sat'], 0),
    ('exact', '<think>Oslo? no</think> Rome', ['rome'], 1),
  ],
)
def test_scores_by_hand(metric, prediction, golds, expected):
  assert scores.score(metric, prediction, golds) == pytest.approx(expected)


@pytest.mark.parametrize('metric', ['exact', 'token_f1', 'substring'])
@pytest.mark.parametrize('empty', ['', '  \n'])
def test_an_empty_prediction_scores_nothing(metric, empty):
  assert scores.score(metric, empty, ['', 'a']) == 0


@hypothesis.settings(deadline=None)
@hypothesis.given(
  strategies.sampled_from(['exact', 'token_f1', 'substring', 'keywords']),
  strategies.text(max_size=20),
  strategies.lists(strategies.text(max_size=20), min_size=1, max_size=3),
)
def test_scores_are_shares_and_the_best_gold_counts(metric, prediction, golds):
  whole = scores.score(metric, prediction, golds)
  assert 0 <= whole <= 1
  assert whole == max(scores.score(metric, prediction, [g]) for g in golds)


@hypothesis.settings(deadline=None)
@hypothesis.given(strategies.text(min_size=1, max_size=20))
def test_the_gold_itself_is_right(gold):
  hypothesis.assume(gold.strip())
  for metric in ('exact', 'token_f1', 'substring'):
    assert scores.score(metric, gold, [gold]) == 1


def test_pasting_more_text_does_not_pay():
  gold = ['Lisbon']
  pasted = 'Lisbon and a whole lot of other text'
  assert scores.score('exact', pasted, gold) == 0
  assert scores.score('token_f1', pasted, gold) < 0.4


def test_bad_arguments_are_named():
  with pytest.raises(ValueError, match="No metric 'f1'.*token_f1"):
    scores.score('f1', 'a', ['a'])
  for golds in ([], 'a text'):
    with pytest.raises(ValueError, match='no list of accepted answers'):
      scores.score('exact', 'a', golds)


def test_the_published_scores_of_the_replay():
  root = os.environ.get('MEM_ALPHA_DATA')
  if not root:
    pytest.skip('MEM_ALPHA_DATA is not set: no replay to score')
  path = pathlib.Path(root) / 'replay' / 'results_first6.json'
  rows = json.loads(path.read_text(encoding='utf-8'))
  for profile in scores.PROFILES:
    found = [
      scores.score('boxed', r['response'], [r['answer']], profile=profile)
      for r in rows
    ]
    assert found == [row['score'] for row in rows]


@pytest.mark.parametrize(
  'source, metric',
  [
    ('squad', 'contains'),
    ('icl_trec_coarse_6600shot_balance', 'boxed'),
    ('infbench_sum_eng_shots2', 'keywords'),
    ('infbench_qa', 'rouge_l'),
    ('longmemeval_s*', 'judge'),
    ('memalpha/icl_nlu', 'boxed'),  # *icl* and *ttl_train*, as published
    ('my_ttl_train_2', 'boxed'),
    ('clinic150', 'boxed'),
    ('ruler_qa1_197K', 'substring'),
    ('a source of your own', 'substring'),
  ],
)
def test_every_source_has_one_metric(source, metric):
  assert scores.metric_of(source) == metric
  if metric != scores.JUDGE:
    scores.check(metric)


def test_a_judge_is_no_rule():
  with pytest.raises(ValueError, match='needs a model: set judge.name'):
    scores.score('judge', 'a', ['a'])


def test_an_unknown_profile_is_named():
  with pytest.raises(ValueError, match="No profile 'old': use one of"):
    scores.score('exact', 'a', ['a'], profile='old')
