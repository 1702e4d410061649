"""What --dry_run prints, against files that a person has read.

After a change that is meant, read the new ones and commit them:
  TPU_LAUNCH_GOLDEN=write python -m pytest tests/tpu_launch/dry_run_test.py
"""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from tpu_launch import __main__ as tpu_launch
from tpu_launch import slices

GOLDEN = Path(__file__).parent / 'golden'
# An override that no shell, YAML reader or Kubernetes may touch.
NASTY = '--config.measure.note=it\'s "$HOME" $(id) `id`; 100% \\ é\n# - {a: b}'

CASES = {
  'queued_resource-launch': (NASTY,),
  'queued_resource-spot': ('--spot', '--slice=v6e-8', '--zone=us-east5-b'),
  'queued_resource-unlisted': (
    '--slice=tpu9-8', '--zone=mars-north1-a', '--unlisted', '--topology=2x4',
    '--hosts=1', '--runtime=v3-alpha-tpu9',
  ),
  'queued_resource-watch': ('watch', '--poll=30'),
  'queued_resource-shards': ('--shards=2',),
  'queued_resource-status': ('status',),
  'queued_resource-logs': ('logs',),
  'queued_resource-fetch': ('fetch',),
  'queued_resource-teardown': ('teardown',),
  'gke-launch': (NASTY, '--spot', '--queue=research'),
  'gke-unlisted': (
    '--slice=tpu9-8', '--unlisted', '--topology=2x4', '--hosts=1',
    '--accelerator=tpu9-slice',
  ),
  'gke-shard': ('--shards=3', '--shard=1'),
  'gke-auto': ('--shards=auto', '--patience=60', '--heartbeat=30'),
  'gke-status': ('status',),
  'gke-logs': ('logs',),
  'gke-fetch': ('fetch', '--namespace=me'),
  'gke-teardown': ('teardown',),
  'slurm-launch': (
    NASTY, '--nodes=2', '--gpus_per_node=4', '--time=12:00:00',
    '--partition=gpu', '--account=theory', '--seeds=0:8',
  ),
  'slurm-bucket': (
    '--workdir=gs://bucket/sweep', '--nodes=4', '--patience=600',
    '--cpus_per_task=16', '--sbatch=--qos=long', '--sbatch=--mem=0',
  ),
  'slurm-auto': (
    '--shards=auto', '--job=1x0.002', '--config.layout.mode=map',
  ),
  'slurm-status': ('status',),
  'slurm-logs': ('logs',),
  'slurm-teardown': ('teardown',),
  'local-launch': (NASTY, '--processes=2', '--allow=layout'),
  'local-shards': (
    '--workdir=s3://bucket/sweep', '--shards=2', '--processes=2',
    '--heartbeat=30',
  ),
  'local-status': ('status',),
}  # fmt: skip


@pytest.mark.parametrize('case', CASES)
def test_dry_run(case, arguments, fakes, tmp_path, capsys):
  """To the letter; and nothing is run or written."""
  verb = [word for word in CASES[case] if not word.startswith('-')]
  more = [word for word in CASES[case] if word.startswith('-')]
  before = sorted(tmp_path.rglob('*'))
  argv = [*verb, *arguments[case.split('-')[0]], *more, '--dry_run']
  assert tpu_launch.main(argv) == 0
  printed = capsys.readouterr().out.replace(sys.executable, 'PYTHON')
  path = GOLDEN / f'{case}.txt'
  if os.environ.get('TPU_LAUNCH_GOLDEN') == 'write':
    path.write_text(printed, encoding='utf-8')
  assert printed == path.read_text(encoding='utf-8')
  assert sorted(tmp_path.rglob('*')) == before
  assert fakes.calls() == []


def test_every_golden_file_is_compared():
  assert {p.stem for p in GOLDEN.glob('*')} == set(CASES)


def test_help_names_every_flag(capsys):
  assert tpu_launch.main(['--help']) == 0
  printed = capsys.readouterr().out
  for case in CASES.values():
    for word in case:
      if word.startswith('--') and not word.startswith('--config.'):
        assert word.split('=')[0] + ':' in printed


PAGE = Path(__file__).parents[2] / 'docs' / 'launching.md'


def test_the_table_on_the_page_is_the_table():
  """Zones and sizes, kind by kind."""
  rows = [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in PAGE.read_text(encoding='utf-8').splitlines()
    if line.startswith('| `v')
  ]
  assert len(rows) == len(slices.KINDS)
  for row, kind in zip(rows, slices.KINDS):
    assert row[0] == f'`{kind.name.format("N")}`'
    assert row[3].split(', ') == list(kind.zones)
    assert row[4] == f'{kind.gib} GB'
  sizes = lambda i: re.findall(r'\d+', rows[i][1].split('N = ')[1])
  for i in (0, 2):
    name = slices.KINDS[i].name
    made = [n for n in slices.SLICES if n.startswith(name.format(''))]
    assert [name.format(size) for size in sizes(i)] == made


def test_the_commands_on_the_page(fakes, capsys):
  """Every command with --dry_run that the page shows is accepted."""
  text = PAGE.read_text(encoding='utf-8').replace('\\\n', ' ')
  found = re.findall(
    r'^\S*python -m tpu_launch (--backend.*)$', text, re.MULTILINE
  )
  assert len(found) == 4
  for line in found:
    argv = [w for w in shlex.split(line) if w != '--dry_run']
    if '--image=us-west4-docker.pkg.dev/my-project-1/tpu/jaxsynth' in argv:
      argv.append(
        '--image=us-west4-docker.pkg.dev/my-project-1/tpu/jaxsynth:v1'
      )
    assert tpu_launch.main([*argv, '--dry_run']) == 0
  assert fakes.calls() == []
  capsys.readouterr()
