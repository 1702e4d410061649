"""The record every benchmark ends in, and the words it is shown in."""

import json

import pytest

from benchmarks import report


def test_a_target_says_whether_it_was_met():
  met = lambda *a, **k: report.target('x', *a, **k)['met']
  assert met(1.3, at_least=1.3) is True
  assert met(1.29, at_least=1.3) is False
  assert met(0.05, at_most=0.05) is True
  assert met(0.06, at_most=0.05) is False
  assert met(None, at_most=1) is None
  with pytest.raises(ValueError, match='one bound'):
    report.target('x', 1.0)


def test_a_record_is_json_and_names_what_it_ran_on(capsys):
  made = report.record('demo', 'tiny', '2 cpu', figure=1 / 3, bad=float('nan'))
  report.emit(made)
  line = json.loads(capsys.readouterr().out.splitlines()[-1])
  assert line == made
  assert line['figure'] == 0.3333
  assert line['bad'] is None
  assert line['versions']['jax']
  assert line['versions']['python']
  assert line['machine']['cores'] >= 1


def test_tables_are_markdown():
  shown = report.table(('a', 'b'), [(1234.5, True), (0.01234, None)])
  assert shown.splitlines() == [
    '| a | b |',
    '| --- | --- |',
    '| 1,234 | yes |',
    '| 0.0123 | - |',
  ]


def test_busy_tells_what_others_use(monkeypatch):
  """Of 200 ticks of all cores, 150 went by idle or waiting for a disk."""
  reads = iter(['cpu 10 0 10 100 50 0 0 0 7', 'cpu 50 0 20 200 100 0 0 0 7'])
  monkeypatch.setattr(report.Path, 'read_text', lambda self: next(reads))
  assert report.busy(0.0) == pytest.approx(0.25)
