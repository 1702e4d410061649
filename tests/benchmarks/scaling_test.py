"""Weak scaling: the arithmetic of the table, and a team that can be timed."""

import pytest

from benchmarks import page, report, scaling, windows
from jaxsynth.errors import UserError

RATES = {
  'devices-1': [100.0, 80.0],
  'apart-2': [150.0, 160.0],
  'devices-2': [150.0, 144.0],
  'processes-4': [140.0, 128.0],
}


def test_ratios_are_taken_within_rounds():
  rows = {(r['how'], r['count']): r for r in scaling.rows_of(RATES, cores=2)}
  one = rows['devices', 1]
  assert one['efficiency']['median'] == one['of_ideal']['median'] == 1
  two = rows['devices', 2]
  assert two['run_steps_per_s'] == 147
  assert (two['efficiency']['min'], two['efficiency']['max']) == (0.75, 0.9)
  assert (two['of_ideal']['min'], two['of_ideal']['max']) == (0.9, 1.0)
  four = rows['processes', 4]
  assert four['efficiency']['min'] == pytest.approx(0.35)
  assert four['of_ideal']['min'] == pytest.approx(0.8)
  assert rows['apart', 2]['of_ideal']['median'] == 1


def test_the_ideal_is_that_of_the_cores_there_are():
  """Devices beyond them take turns; on one core nothing can be gained."""
  assert [scaling.ideal(n, 2) for n in (1, 2, 4)] == [
    'devices-1', 'apart-2', 'apart-2'
  ]  # fmt: skip
  assert scaling.ideal(2, 8) == 'apart-2'
  assert scaling.ideal(4, 1) == 'devices-1'


def test_the_page_has_a_row_for_each():
  made = report.record(
    'scaling', 'tiny', '2 cpu', runs_per_device=4,
    rows=scaling.rows_of(RATES, cores=2), run_steps_per_s=155.0,
  )  # fmt: skip
  text = page._scaling([made])
  row = '| tiny | 4 | processes | 4 | 134 | 0.375 (0.35 to 0.4) |'
  assert f'{row} 0.867 (0.8 to 0.933) |' in text
  assert text.count('\n') == 5


def test_what_is_started():
  """Twice the devices, twice the runs, or twice the batch of each; a team's
  processes find each other."""
  found = scaling.entrants('tiny', 3, [1, 2], cores=2)
  assert list(found) == [
    'devices-1', 'apart-2', 'devices-2', 'processes-2', 'group-2'
  ]  # fmt: skip
  payloads = {name: c._payloads for name, c in found.items()}
  total = lambda p: (p['runs'], p['devices'], p['data'])
  assert [total(p) for p in payloads['apart-2']] == [(3, 1, 1)] * 2
  assert [total(p) for p in payloads['devices-2']] == [(6, 2, 1)]
  assert [total(p) for p in payloads['group-2']] == [(3, 2, 2)]
  team = payloads['processes-2']
  assert [total(p) for p in team] == [(6, 1, 1)] * 2
  assert [p['team']['process_id'] for p in team] == [0, 1]
  assert len({p['team']['coordinator'] for p in team}) == 1
  more = scaling.entrants('tiny', 1, [1, 2, 4], cores=4)
  assert [n for n in more if 'apart' in n] == ['apart-2', 'apart-4']
  assert 'apart' not in str(list(scaling.entrants('tiny', 1, [1, 2], 1)))


@pytest.mark.parametrize('text', ['2,4', '1,4,2', '1,1', 'one', ''])
def test_counts_grow_from_one(text):
  assert scaling._counts('1,2,4') == [1, 2, 4]
  with pytest.raises(UserError, match='--counts grow from 1, as in 1,2,4'):
    scaling._counts(text)


@pytest.mark.slow
def test_a_team_and_a_group_are_timed():
  """Each process counts its own runs, a group its larger batches; the rates of
  a team add up."""
  found = scaling.entrants('tiny', 1, [1, 2], cores=1)
  wanted = {n: found[n] for n in ('processes-2', 'group-2')}
  rates, facts = windows.race(wanted, rounds=1, seconds=0.2)
  assert [f['held'] for f in facts['processes-2']] == [1, 1]
  assert [f['held'] for f in facts['group-2']] == [2]
  assert [f['runs'] for f in facts['group-2']] == [1]
  assert all(rate > 0 for each in rates.values() for rate in each)
