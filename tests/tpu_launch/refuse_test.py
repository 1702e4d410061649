"""A typo in anything is refused before anything is sent or written."""

import pytest

from tpu_launch import __main__ as tpu_launch
from tpu_launch import slurm

EVERY = ('queued_resource', 'gke', 'slurm', 'local')
CLOUD = ('queued_resource', 'gke')

TYPOS = [
  (EVERY, '--sedes=3', 'seeds'),
  (EVERY, '--config=markov_mixtur', "did you mean 'markov_mixture'"),
  (EVERY, '--config=markov_mixture:qick', "did you mean 'quick'"),
  (EVERY, '--config=no/such/file.py', 'no file'),
  (EVERY, '--config.optimizer.peek_lr=1', "did you mean 'optimizer.peak_lr'"),
  (EVERY, '--config.train.steps=many', 'train.steps'),
  (EVERY, '--config.task.name=markov_mixtures', "'markov_mixture'"),
  (EVERY, '--config.train.steps', 'needs a value'),
  (EVERY, '--seeds=0-8', 'a count (8)'),
  (EVERY, '--seeds=0', 'sweep.seeds'),
  (EVERY, '--name=My_Job', "got 'My_Job'"),
  (EVERY, '--restarts=-1', '--restarts'),
  (EVERY, '--restarts=x', 'restarts'),
  (EVERY, '--shards=0', '--shards is a count or auto, got 0'),
  (EVERY, '--shards=aut', '--shards is a count or auto, got aut'),
  (EVERY, '--job=8x16', '--job is for --shards=auto'),
  (EVERY, '--jobs=8x16', 'job'),
  (EVERY, '--patience=0', '--patience is a number of seconds, got 0'),
  (EVERY, '--heartbeat=-5', '--heartbeat is a number of seconds, got -5'),
  (EVERY, '--patience=soon', 'patience'),
  (('slurm', 'local'), '--patience=60', 'this job has one'),
  (('slurm', 'local'), '--heartbeat=60', 'this job has one'),
  (('slurm', 'local'), '--shards=auto', 'needs --job=DEVICESxGIB'),
  (EVERY, '--allow=layuot', "did you mean 'layout'"),
  (('queued_resource',), '--poll=-1', '--poll'),
  (EVERY, '--shards=99', '1 to 4 shards'),
  (EVERY, '--shard=1', '--shard counts'),
  (EVERY, 'lunch', 'not a flag: lunch'),
  (('queued_resource',), '--backend=queue', 'queued_resource'),
  (CLOUD, '--slice=v5litepod-17', "did you mean 'v5litepod-1"),
  (CLOUD, '--slice=v6-16', "did you mean 'v6e-16'"),
  (CLOUD, '--project=My Project', 'my-project-1'),
  (CLOUD, '--nfs=10.0.0.2', '10.0.0.2:/jaxsynth'),
  (CLOUD, '--image=$(id)', '--image'),
  (CLOUD, '--hosts=2', '--unlisted'),
  (CLOUD, '--workdir=x', '--workdir is no flag of'),
  (('queued_resource',), '--zone=us-wst4-a', "did you mean 'us-west4-a'"),
  (('queued_resource',), '--zone=us-east1-d', 'but in us-central1-a'),
  (('gke',), '--context=a b', '--context'),
  (('gke',), '--zone=us-west4-a', '--zone is no flag of --backend=gke'),
  (('gke',), '--accelerator=tpu-v6e-slice', '--unlisted'),
  (('slurm',), '--time=tomorrow', '12:00:00'),
  (('slurm',), '--time=6', '--time=6 is 360 s'),
  (('slurm',), '--time=05:30', '--time=05:30 is 330 s'),
  (('slurm',), '--sbatch=qos=long', '--sbatch is as in --qos=long'),
  (('slurm',), '--sbatch=--requeue', 'is set by the launcher itself'),
  (('slurm',), '--sbatch=--output=x', 'is set by the launcher itself'),
  (('local',), '--sbatch=--qos=long', '--sbatch is no flag of'),
  (('slurm',), '--nodes=0', '--nodes'),
  (('slurm',), '--partition=a b', '--partition'),
  (('slurm', 'local'), '--workdir=gcs://bucket/x', "did you mean 'gs://'"),
  (('slurm', 'local'), '--workdir=gs://', 'gs:// needs a bucket'),
  (('slurm', 'local'), '--workdir=', '--workdir is empty'),
  (('local',), '--processes=0', '--processes'),
]


@pytest.mark.parametrize(
  ('backend', 'typo', 'says'),
  [(b, typo, says) for backends, typo, says in TYPOS for b in backends],
)
def test_typo(backend, typo, says, arguments, fakes, tmp_path, capsys):
  before = sorted(tmp_path.rglob('*'))
  assert tpu_launch.main([*arguments[backend], typo]) == 2
  said = capsys.readouterr().err
  assert says in said
  assert said.startswith('tpu_launch: ')
  assert said.count('\n') == 1
  assert fakes.calls() == []
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(
  ('backend', 'flags', 'says'),
  [
    ('slurm', ['--shards=auto', '--job=8'], '--job is DEVICESxGIB'),
    ('slurm', ['--shards=auto', '--job=1x1e'], '--job is DEVICESxGIB'),
    ('slurm', ['--shards=auto', '--job=1x0.00001'], 'a block of 16 runs needs'),
    ('gke', ['--shards=auto', '--shard=1'], '--shard counts from 0 to 0'),
    ('gke', ['--slice=v5litepod-8', '--patience=60'], 'this job has one'),
    (
      'local',
      ['--workdir=s3://bucket/x', '--tensorboard'],
      '--tensorboard writes only in a local folder',
    ),
  ],
)
def test_what_does_not_go_together(
  backend, flags, says, arguments, fakes, tmp_path, capsys
):
  before = sorted(tmp_path.rglob('*'))
  assert tpu_launch.main([*arguments[backend], *flags]) == 2
  said = capsys.readouterr().err
  assert says in said
  assert said.count('\n') == 1
  assert fakes.calls() == []
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize(
  ('time', 'seconds'),
  [
    ('90', 5400),
    ('90:30', 5430),
    ('12:00:00', 43200),
    ('1-6', 108000),
    ('1-06:30', 109800),
    ('2-00:00:01', 172801),
  ],
)
def test_times_are_read_as_sbatch_reads_them(time, seconds):
  """The forms of --time in sbatch(1)."""
  assert slurm._seconds(time) == seconds


@pytest.mark.parametrize('backend', EVERY)
def test_each_required_flag_is_named(backend, arguments, fakes, capsys):
  for flag in arguments[backend]:
    name = flag.split('=')[0]
    if name in ('--poll', '--pause', '--python'):
      continue
    left = [item for item in arguments[backend] if item != flag]
    assert tpu_launch.main(left) == 2
    assert f'{name} is required' in capsys.readouterr().err
  assert fakes.calls() == []


@pytest.mark.parametrize(
  ('argv', 'says'),
  [
    (['lunch', '--name=sweep'], "did you mean 'launch'"),
    (['status', '--name=sweep'], "unknown job 'sweep'"),
    (['status', '--name=../x'], '--name'),
    ([], '--backend is required'),
  ],
)
def test_verbs(argv, says, fakes, capsys):
  assert tpu_launch.main(argv) == 2
  assert says in capsys.readouterr().err


@pytest.mark.parametrize(
  ('flags', 'says'),
  [
    (['--slice=tpu9-8', '--unlisted'], 'needs --topology'),
    (['--topology=2-4', '--hosts=1'], '--topology is as in'),
    (['--topology=2x4', '--hosts=3'], 'do not divide'),
    (['--topology=2x4', '--hosts=1'], '--runtime'),
    (['--topology=2x4', '--hosts=1', '--runtime=a', '--zone=here'], '--zone'),
  ],
)
def test_beyond_the_table_it_still_has_a_form(
  flags, says, arguments, fakes, capsys
):
  argv = [*arguments['queued_resource'], '--unlisted', *flags]
  assert tpu_launch.main(argv) == 2
  assert says in capsys.readouterr().err
  assert fakes.calls() == []
