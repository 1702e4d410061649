"""Judging: truth tables, invariances, and every way a claim must fail."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxsynth.errors import UserError
from jaxsynth.studies.claim import PRESETS, Claim, Gate, gated, judge
from jaxsynth.studies.measured import measured

NAN, INF = math.nan, math.inf
OPS = ('<', '<=', '>', '>=')
finite = st.floats(-100, 100)
numbers = st.lists(finite, min_size=1, max_size=6)


def claim(op='>=', threshold=0.5, rule='all', preset='quick'):
  gate = Gate(op, threshold, rule, preset)
  return Claim('c', 'a statement', '0.9', 'fig. 1', gate, 'step 0')


def verdict(values, null, preset='quick', **gate):
  return judge(claim(**gate), values, null, preset)['verdict']


@pytest.mark.parametrize(
  ('op', 'below', 'at', 'above'),
  [
    ('<', True, False, False),
    ('<=', True, True, False),
    ('>', False, False, True),
    ('>=', False, True, True),
  ],
)
def test_each_op_below_at_and_above_the_threshold(op, below, at, above):
  # The null sits on the failing side, so the seed alone decides.
  null = 10.0 if op[0] == '<' else -10.0
  for value, expected in ((0.4, below), (0.5, at), (0.6, above)):
    assert (verdict([value], null, op=op) == 'passed') == expected


@pytest.mark.parametrize('rule', ['all', 1, 2, 3, 4])
def test_truth_table_of_three_seeds_and_three_nulls(rule):
  need = 3 if rule == 'all' else rule
  for seeds in itertools.product((0.0, 1.0), repeat=3):
    for null in itertools.product((0.0, 1.0), repeat=3):
      expected = sum(seeds) >= need and not sum(null) >= need
      got = verdict(list(seeds), list(null), rule=rule)
      assert got == ('passed' if expected else 'failed'), (seeds, null)


def test_one_null_number_stands_for_all_seeds():
  assert verdict([1, 1, 0], 1.0, rule=2) == 'failed'
  assert verdict([1, 1, 0], 0.0, rule=2) == 'passed'


def test_passing_null_is_the_reason_given():
  assert judge(claim(), [1, 1], [1, 1], 'quick')['reason'] == (
    'the null passes too'
  )


def test_a_null_that_excludes_nothing_fails_the_claim():
  assert verdict([1, 1], None) == 'failed'
  undefined = judge(claim(), [1, 1], [NAN, NAN], 'quick')
  assert undefined['verdict'] == 'failed'
  assert 'null is not finite' in undefined['reason']
  # A diverged null run does not hide that the other one passes.
  assert verdict([1, 1], [NAN, 1.0]) == 'failed'
  assert verdict([1, 1], [NAN, 0.0]) == 'passed'


@pytest.mark.parametrize('op', OPS)
@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_a_seed_that_is_not_finite_fails_and_stays(op, value):
  good, null = (-1.0, 9.0) if op[0] == '<' else (9.0, -1.0)
  entry = judge(claim(op, 0.5, 2), [good, good, value], null, 'quick')
  assert entry['verdict'] == 'passed'
  assert entry['seeds_passed'] == 2
  assert entry['measured']['n'] == 3
  assert entry['measured']['diverged'] == 1
  assert [r['passed'] for r in entry['measured']['per_seed']] == [
    True,
    True,
    False,
  ]
  assert 'seed 2 not finite' in entry['reason']
  assert verdict([good, good, value], null, op=op) == 'failed'


@pytest.mark.parametrize(
  ('op', 'threshold', 'expected'),
  [
    ('<=', 1000, 'failed'),
    ('<', 9000, 'failed'),
    ('>', 500, 'passed'),
    ('>', 2000, 'passed'),
    ('>=', 2000, 'passed'),
    ('>', 2001, 'failed'),
  ],
)
def test_a_censored_onset_is_a_lower_bound(op, threshold, expected):
  onset = measured([INF], last_step=2000)
  null = 1e9 if op[0] == '<' else 0.0
  assert verdict(onset, null, op=op, threshold=threshold) == expected


@given(numbers, numbers, st.sampled_from(OPS), finite, finite)
def test_a_looser_threshold_never_passes_fewer_seeds(
  values, null, op, one, other
):
  loose, strict = sorted((one, other), reverse=op[0] == '<')
  passed = [
    judge(claim(op, t), values, null, 'quick')['seeds_passed']
    for t in (loose, strict)
  ]
  assert passed[0] >= passed[1]


@given(
  st.lists(st.floats(width=32), min_size=1, max_size=6),
  numbers,
  st.sampled_from(OPS),
  st.randoms(use_true_random=False),
)
def test_the_order_of_seeds_changes_nothing(values, null, op, random):
  pairs = list(enumerate(values))
  shuffled = random.sample(pairs, len(pairs))
  a = judge(claim(op, rule=2), dict(pairs), null, 'quick')
  b = judge(claim(op, rule=2), dict(shuffled), null, 'quick')
  assert a['verdict'] == b['verdict']
  assert a['seeds_passed'] == b['seeds_passed']
  for key in ('median', 'min', 'max', 'std', 'diverged', 'n'):
    # repr, because NaN equals NaN here; bitwise, because the order of a sum
    # would show.
    assert repr(a['measured'][key]) == repr(b['measured'][key])


@given(numbers, numbers, st.sampled_from(OPS), finite, st.integers(1, 6))
def test_more_seeds_needed_never_helps(values, null, op, threshold, rule):
  assume(rule + 1 <= len(values))
  passes = [
    judge(claim(op, threshold, k), values, null, 'quick')['reason'].split(
      'seeds pass'
    )[0]
    for k in (rule, rule + 1)
  ]
  fewer = judge(claim(op, threshold, rule), values, null, 'quick')
  more = judge(claim(op, threshold, rule + 1), values, null, 'quick')
  assert fewer['seeds_passed'] == more['seeds_passed'], passes
  # Only a null that passes the easier rule can make the harder one pass.
  if more['verdict'] == 'passed' and fewer['verdict'] == 'failed':
    assert fewer['reason'] == 'the null passes too'


@pytest.mark.parametrize('at', PRESETS)
@pytest.mark.parametrize('gate_at', PRESETS[1:])
def test_gated_only_from_the_gates_preset_on(at, gate_at):
  expected = PRESETS.index(at) >= PRESETS.index(gate_at)
  assert gated(Gate('>', 0, preset=gate_at), at) == expected
  got = verdict([0.0], 0.0, preset=at) if gate_at == 'quick' else None
  if got is not None:
    assert got == ('failed' if expected else 'reported')


def test_smoke_gates_nothing_and_ungated_is_reported():
  assert verdict([0.0], 1.0, preset='smoke') == 'reported'
  free = Claim('c', 's', 'p', 'w', note='tried, too noisy')
  entry = judge(free, [1.0, 2.0], None, 'paper')
  assert entry['verdict'] == 'reported'
  assert entry['seeds_passed'] is None
  assert not gated(None, 'paper')


def test_unmeasured_fails_where_gated():
  assert verdict(None, None) == 'failed'
  entry = judge(claim(preset='paper'), None, None, 'quick')
  assert entry['verdict'] == 'reported'
  assert entry['reason'].endswith('not measured')


def test_the_rule_cannot_ask_for_more_seeds_than_there_are():
  entry = judge(claim(rule=5), [1, 1], 0.0, 'quick')
  assert entry['verdict'] == 'failed'
  assert 'needs 5 seeds, 2 measured' in entry['reason']


@pytest.mark.parametrize(
  'bad',
  [
    {'op': '=='},
    {'threshold': NAN},
    {'threshold': INF},
    {'threshold': True},
    {'threshold': '0.5'},
    {'rule': 'most'},
    {'rule': 0},
    {'rule': True},
    {'rule': 2.0},
    {'preset': 'smoke'},
    {'preset': 'quik'},
    {'tests': 'sign'},
  ],
)
def test_bad_gates_are_refused(bad):
  with pytest.raises(UserError):
    Gate(**({'op': '>', 'threshold': 0.5} | bad))


@pytest.mark.parametrize(
  'bad',
  [
    {'name': 'Two Words'},
    {'name': ''},
    {'statement': ' '},
    {'published': ''},
    {'published': 0.9},
    {'where': ''},
    {'gate': 0.5},
    {'gate': None},
    {'null': ''},
  ],
)
def test_bad_claims_are_refused(bad):
  with pytest.raises(UserError):
    dataclasses.replace(claim(), **bad)


def test_unknown_preset_names_the_nearest():
  with pytest.raises(UserError, match="'standard'"):
    judge(claim(), [1], 0, 'standart')
