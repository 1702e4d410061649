"""The race: alternating windows between processes that stay alive."""

import json
import time

import pytest

from benchmarks import report, windows


@pytest.fixture
def stub(tmp_path, monkeypatch):
  """A contestant of a given speed that notes when it worked."""
  code = """
import json, sys, time
given = json.loads(sys.argv[1])
print(json.dumps({'ready': given['name']}), flush=True)
for line in sys.stdin:
  began = time.time()
  time.sleep(float(line))
  with open(given['log'], 'a') as f:
    f.write(json.dumps([given['name'], began, time.time()]) + '\\n')
  answer = {'run_steps': given['speed'] * float(line), 'seconds': float(line)}
  print(json.dumps(answer), flush=True)
"""
  (tmp_path / 'stub.py').write_text(code)
  monkeypatch.setattr(report, 'ROOT', tmp_path)
  log = tmp_path / 'log'

  def make(name, speed, processes=1):
    payload = {'name': name, 'speed': speed, 'log': str(log)}
    return windows.Contestant('stub', [payload] * processes)

  make.log = log
  return make


def test_contestants_work_in_turn_and_rates_add_up(stub):
  entrants = {'a': stub('a', 10), 'b': stub('b', 4, processes=2)}
  rates, facts = windows.race(entrants, rounds=3, seconds=0.05)
  assert rates['a'] == pytest.approx([10] * 3)
  assert rates['b'] == pytest.approx([8] * 3)
  assert facts['b'] == [{'ready': 'b'}] * 2
  worked = [json.loads(x) for x in stub.log.read_text().splitlines()]
  spans = {}
  for name, began, ended in worked:
    spans.setdefault(name, []).append((began, ended))
  for began, ended in spans['a']:
    assert all(e <= began or b >= ended for b, e in spans['b'])
  order = [name for name, *_ in worked]
  # one warm-up each, then rounds in alternating order
  assert order == ['a', *'bb', 'a', *'bb', *'bb', 'a', 'a', *'bb']


def test_a_contestant_that_dies_says_why(tmp_path, monkeypatch):
  (tmp_path / 'stub.py').write_text("raise SystemExit('no such thing')")
  monkeypatch.setattr(report, 'ROOT', tmp_path)
  with pytest.raises(report.LostError, match='no such thing'):
    windows.Contestant('stub', [{}]).__enter__()


def test_a_contestant_that_hangs_is_ended(tmp_path, monkeypatch):
  """All its processes are, with what they said last, and nobody waits."""
  code = """
import sys, time
if 'slow' in sys.argv[1]:
  print('am I late?', file=sys.stderr, flush=True)
  time.sleep(60)
print('{}', flush=True)
sys.stdin.read()
"""
  (tmp_path / 'stub.py').write_text(code)
  monkeypatch.setattr(report, 'ROOT', tmp_path)
  payloads = [{'name': 'quick'}, {'name': 'slow'}]
  entrant = windows.Contestant('stub', payloads, silence=1.0)
  began = time.monotonic()
  with pytest.raises(report.LostError) as caught:
    entrant.__enter__()
  assert time.monotonic() - began < 10
  said = str(caught.value)
  assert 'did not answer for 1 s and was ended' in said
  assert 'process 1 said: am I late?' in said
  assert all(p.returncode is not None for p in entrant._processes)


def test_a_contestant_that_dies_between_windows(tmp_path, monkeypatch):
  (tmp_path / 'stub.py').write_text("print('{}'); exit('enough')")
  monkeypatch.setattr(report, 'ROOT', tmp_path)
  with windows.Contestant('stub', [{}]) as entrant:
    entrant._processes[0].wait()
    with pytest.raises(report.LostError, match=r'ended\nprocess 0 .* enough'):
      entrant.rate(0.1)


def test_until_works_on_whole_units_and_at_least_one():
  assert windows.until(0.0, lambda: 7) == 7
