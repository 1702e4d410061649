"""The verdict: strict JSON, whole files, one table in two forms."""

import io
import json
import math

import numpy as np
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st

from jaxsynth.studies import files, verdict
from jaxsynth.studies.claim import Claim, Gate, judge
from jaxsynth.studies.measured import measured

CLAIM = Claim('c', 'a [bold] claim', '0.9', 'fig. 1', Gate('>=', 0.8), 'init')
FREE = Claim('d', 's', 'p', 'w', note='too noisy')
FACTS = verdict.Facts('a: 1', 'h', 's', {'backend': 'cpu'}, 'run me')


def make(entries, date='2025-01-01T00:00:00+00:00'):
  return verdict.assemble(
    'n', 'T', 'S', 'quick', entries, FACTS, wall_time_s=1.0, date=date
  )


@given(
  st.lists(st.floats(), min_size=1, max_size=5),
  st.lists(st.floats(), min_size=1, max_size=5),
)
def test_json_is_strict_and_reads_back(values, null):
  found = make([judge(CLAIM, values, null, 'quick')])

  def refuse(word):
    raise AssertionError(f'{word} is not JSON')

  back = json.loads(verdict.encode(found), parse_constant=refuse)
  rows = back['claims'][0]['measured']['per_seed']
  np.testing.assert_array_equal([float(r['value']) for r in rows], values)
  assert back['passed'] is found['passed']
  assert back['versions']['numpy'] == np.__version__


def test_passed_means_no_gated_claim_failed():
  good = judge(CLAIM, [1.0], 0.0, 'quick')
  bad = judge(CLAIM, [0.0], 0.0, 'quick')
  free = judge(FREE, None, None, 'quick')
  assert make([good, free])['passed'] is True
  assert make([good, bad, free])['passed'] is False
  counted = verdict.counts(make([good, bad, free, free]))
  assert counted == {'passed': 1, 'failed': 1, 'reported': 2}


def test_all_but_time_is_deterministic():
  one, two = (
    make([judge(CLAIM, [1.0, 0.9], 0.0, 'quick')], date=d) for d in ('a', 'b')
  )
  assert one.pop('date') != two.pop('date')
  assert verdict.encode(one) == verdict.encode(two)


def test_numpy_values_are_written_as_numbers():
  text = verdict.encode({'a': np.float32(2), 'b': np.arange(2), 'c': -math.inf})
  assert json.loads(text) == {'a': 2.0, 'b': [0, 1], 'c': '-inf'}


def test_a_failed_write_leaves_the_old_file(tmp_path):
  path = tmp_path / 'verdict.json'
  verdict.write({'a': 1}, path)

  def fail():
    with files.replacing(path) as beside:
      beside.write_text('half')
      raise RuntimeError

  with pytest.raises(RuntimeError):
    fail()
  assert verdict.read(path) == {'a': 1}
  assert [p.name for p in tmp_path.iterdir()] == ['verdict.json']


@pytest.mark.parametrize(
  ('values', 'last', 'text'),
  [
    ([0.5], None, '0.5'),
    ([1, 1], None, '1, 2 seeds'),
    ([1, 2, 4], None, '2 [1, 4], 3 seeds'),
    ([1, 2, math.nan], None, '1.5 [1, 2], 3 seeds, 1 not finite'),
    (
      [10, 20, math.inf],
      500,
      '20 [10, not by step 500], 3 seeds, 1 never there',
    ),
    ([math.inf] * 2, 500, 'not by step 500, 2 seeds'),
  ],
)
def test_spread_in_words(values, last, text):
  numbers = measured(values, last_step=last)
  entry = judge(CLAIM, numbers, None, 'quick')
  assert verdict.spread(entry['measured']) == text
  # The same from the file, where inf is a string.
  back = json.loads(verdict.encode(entry))
  assert verdict.spread(back['measured']) == text


def test_gate_in_words():
  def words(gate):
    claim = Claim('c', 's', 'p', 'w', gate, 'null', note='n')
    return verdict.gate_text(judge(claim, None, None, 'smoke'))

  assert words(Gate('>=', 0.8)) == '>= 0.8 on all seeds'
  assert words(Gate('<', 2, 1)) == '< 2 on at least 1 seed'
  assert words(Gate('<', 2, 3, tests='direction')) == (
    '< 2 on at least 3 seeds (direction only)'
  )
  assert words(None) == 'none'


@pytest.mark.parametrize('terminal', [True, False])
def test_printed_whole_in_a_terminal_and_in_a_pipe(terminal):
  out = io.StringIO()
  console = rich.console.Console(
    file=out, force_terminal=terminal, width=200, color_system='standard'
  )
  claim = Claim('odd', 's', '[red]0.9[/]', 'w', Gate('>', 0), 'null')
  entries = [
    judge(claim, [0.0], 0.0, 'quick'),
    judge(FREE, [1.0, 3.0], None, 'quick'),
  ]
  verdict.show(make(entries), 'some/folder', console)
  text = out.getvalue()
  for part in (
    'odd',
    '[red]0.9[/]',
    '> 0 on all seeds',
    'failed: 0 of 1 seeds pass, 1 needed',
    '2 [1, 3], 2 seeds',
    '1 failed, 1 reported',
    'some/folder',
  ):
    assert part in text
  assert ('\x1b[' in text) == terminal
