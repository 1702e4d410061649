"""The page of results is a function of the records beside it."""

import json

import pytest

from benchmarks import page, report

SPREAD = {'median': 4.2, 'min': 4.0, 'max': 4.4, 'n': 7}
RACE = {
  'layout': 'auto', 'runs': 8, 'run_steps_per_s': 49.5,
  'tokens_per_s': 203000.0, 'flops_per_s': 1.6e11,
  'matmul_flops_per_s': 3.2e11, 'share_of_peak': 0.5, 'floor': 99.0,
  'of_floor': 2.0, 'compile_seconds': 6.0, 'peak_memory_bytes': 2**29,
  'peers': {
    'torch-best': {
      'mode': 'compile-mb4', 'processes': 2, 'run_steps_per_s': 43.0,
      'ratio': SPREAD, 'modes': {'compile-mb4': 44.0, 'full': None},
    }
  },
  'by_runs': [{'runs': 2, 'run_steps_per_s': 48.0, 'peak_memory_bytes': 2**29}],
  'targets': [
    report.target('share of the peak', 0.5, at_least=0.45),
    report.target('seconds to the first step, cold', 13.0, at_most=10.0),
  ],
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
  """Records as the benchmarks leave them, one of a benchmark without a
  section of its own."""
  for name, config, fields in (
    ('throughput', 'small', RACE),
    ('throughput', 'tiny', RACE | {'run_steps_per_s': 1900.0}),
    ('unheard_of', 'small', {'snapshots_per_s': 1234.5}),
  ):
    made = report.record(name, config, '2 cpu', **fields)
    (tmp_path / f'{name}-{config}.json').write_text(json.dumps(made))
  return tmp_path


def test_page_shows_the_records(folder):
  text = page.render(folder)
  row = next(x for x in text.splitlines() if x.startswith('| small | 8'))
  assert '| 49.5 |' in row
  assert '| 512 MiB |' in row
  assert text.index('| tiny | 8') < text.index('| small | 8')
  assert '| compile-mb4 | 2 | 43 | 4.2 (4 to 4.4) |' in text
  assert '| small | full | - |' in text
  assert '| small | snapshots_per_s | 1,234 |' in text
  cold = next(x for x in text.splitlines() if 'first step, cold' in x)
  assert cold.endswith('| 13 | ≤ 10.0 | **no** |')


def test_targets_met_or_missed_among_others_are_noisy(folder, monkeypatch):
  monkeypatch.setattr(report, '_before', [0.4])
  made = report.record('throughput', 'small', '2 cpu', **RACE)
  (folder / 'throughput-small.json').write_text(json.dumps(made))
  rows = [x for x in page.render(folder).splitlines() if 'of the peak' in x]
  assert [row.endswith('| yes (noisy) |') for row in rows] == [False, True]


def test_page_is_written_from_nothing_else(folder):
  first = page.write(folder).read_text(encoding='utf-8')
  assert first == page.render(folder)
  assert page.write(folder).read_text(encoding='utf-8') == first


def test_committed_page_is_that_of_its_records():
  if not page.records():
    pytest.skip('no records are committed')
  committed = (page.FOLDER / 'README.md').read_text(encoding='utf-8')
  assert committed == page.render()
