"""The two scripts, run: which ends are final, and who is asked again."""

import os
import subprocess

import pytest

from tpu_launch import shell

ARGV = ('python', "--config.a=it's $HOME `id`\n*")


@pytest.fixture
def boot(fakes, tmp_path):
  """Boots a TPU VM: the startup script, in a folder of its own."""
  fakes.install(
    'docker', 'mount', 'mountpoint', 'apt-get', 'gcloud', 'sleep', 'mount.nfs'
  )

  def run(*codes, restarts=3, broken=()):
    home, mount = tmp_path / 'vm', tmp_path / 'shared'
    fakes.answer(
      [['mountpoint'], [[1, '', '']]],
      [['docker', 'run'], [[code, '', 'said'] for code in codes]],
      *([list(words), [[1, '', 'no']]] for words in broken),
      [['docker', 'rm'], [[1, '', 'no such container']]],
    )
    text = shell.startup(
      image='us-docker.pkg.dev/p/r/jaxsynth:v1',
      argv=ARGV,
      nfs='10.0.0.2:/jaxsynth',
      mount=str(mount),
      logs=str(mount / 'logs'),
      restarts=restarts,
    )
    text = text.replace('/var/lib/jaxsynth', str(home))
    done = subprocess.run(
      ['bash', '-c', text], capture_output=True, text=True, check=False
    )
    assert done.returncode == bool(broken), done.stderr
    if ('mount',) in broken:
      return int((home / 'exit').read_text()), ''
    (log,) = (mount / 'logs').iterdir()
    return int((home / 'exit').read_text()), log.read_text()

  return run


@pytest.mark.parametrize(
  ('codes', 'end'),
  [
    ((0,), 0),
    ((75, 75, 0), 0),
    ((137, 134, 2), 2),
    ((1,), 1),
    ((75, 70), 70),
    ((75, 75, 75, 75, 0), 75),
  ],
)
def test_startup(boot, fakes, codes, end):
  """Started again after what is not final, four times at most."""
  code, log = boot(*codes)
  starts = [c for c in fakes.calls() if c[:2] == ['docker', 'run']]
  assert code == end
  assert len(starts) == min(len(codes), 4)
  assert all(tuple(c[-2:]) == ARGV for c in starts)
  assert log.count('said') == len(starts)


@pytest.mark.parametrize(
  'broken',
  [
    [('mount',)],
    [('gcloud', 'configure-docker')],
    [('docker', 'pull'), ('docker', 'inspect')],
  ],
)
def test_what_fails_before_the_training_ends_the_job(boot, fakes, broken):
  """So that `watch` deletes a slice on which nothing would ever run."""
  code, _ = boot(0, broken=broken)
  assert code == 1
  assert not [c for c in fakes.calls() if c[:2] == ['docker', 'run']]


def test_startup_mounts_before_it_runs(boot, fakes):
  boot(0)
  words = [' '.join(c) for c in fakes.calls()]
  order = (
    'mount -t nfs -o hard 10.0.0.2:/jaxsynth',
    'docker pull',
    'docker run',
  )
  places = [next(i for i, w in enumerate(words) if o in w) for o in order]
  assert places == sorted(places)


@pytest.fixture
def batch(fakes):
  """A start of a Slurm job: (its exit code, whether it was queued again)."""
  fakes.install('srun', 'scontrol')

  def run(code, start=0, cancelled=False):
    fakes.answer([['srun'], [[code, '', '']]])
    text = shell.batch(argv=ARGV, restarts=3)
    if cancelled:  # told while the tasks run, as scancel does
      text = text.replace('srun --kill', 'kill -TERM $$\nsrun --kill')
    env = {**os.environ, 'SLURM_JOB_ID': '7', 'SLURM_RESTART_COUNT': str(start)}
    done = subprocess.run(['bash', '-c', text], env=env, check=False)
    calls = fakes.calls()
    assert ['srun', '--kill-on-bad-exit=1', *ARGV] in calls
    return done.returncode, ['scontrol', 'requeue', '7'] in calls

  return run


def test_a_task_has_the_cores_that_sbatch_was_asked_for(
  fakes, tmp_path, monkeypatch
):
  """srun is told in the variable that it reads; nothing where none is set."""
  program = tmp_path / 'bin' / 'srun'
  note = tmp_path / 'cores'
  program.write_text(
    f'#!/bin/sh\necho "${{SRUN_CPUS_PER_TASK-none}}" >> {note}\n'
  )
  program.chmod(0o755)
  script = ['bash', '-c', shell.batch(argv=ARGV, restarts=0)]
  monkeypatch.delenv('SRUN_CPUS_PER_TASK', raising=False)
  for given in ('16', None):
    env = {**os.environ, 'SLURM_JOB_ID': '7'}
    env |= {'SLURM_CPUS_PER_TASK': given} if given else {}
    subprocess.run(script, env=env, check=True)
  assert note.read_text().split() == ['16', 'none']


@pytest.mark.parametrize('code', [0, 1, 2, 70])
def test_batch_ends(batch, code):
  assert batch(code) == (code, False)


@pytest.mark.parametrize('code', [75, 134, 137])
def test_batch_is_queued_again(batch, code):
  assert batch(code) == (0, True)


def test_batch_that_was_cancelled_stays_out_of_the_queue(batch):
  assert batch(75, cancelled=True) == (75, False)


def test_batch_is_queued_again_so_often(batch):
  assert batch(75, start=3) == (75, False)
