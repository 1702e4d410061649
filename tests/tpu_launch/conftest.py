"""Fake gcloud, kubectl, sbatch and the like, first on PATH.

Each fake appends its arguments to a log and answers from a script: a list of
[exit code, standard output, standard error], one a call, the last for ever.
"""

import json
import os
import sys
from types import SimpleNamespace

import pytest

from tpu_launch import carry

FAKE = """\
#!{python} -IS
import json, pathlib, sys
here = pathlib.Path({folder!r})
name = pathlib.Path(sys.argv[0]).name
with open(here / 'log', 'a') as log:
  log.write(json.dumps([name, *sys.argv[1:]]) + chr(10))
for key, answers in json.loads((here / 'answers').read_text()):
  if all(word in [name, *sys.argv[1:]] for word in key):
    break
else:
  sys.exit(0)
count = here / ('count-' + '-'.join(key).replace('/', '-'))
seen = int(count.read_text()) if count.exists() else 0
count.write_text(str(seen + 1))
code, out, err = answers[min(seen, len(answers) - 1)]
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
  """Programs that only answer; `calls()` is what they were asked."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(carry, 'PAUSE_S', 0.0)
  folder, programs = tmp_path / 'fakes', tmp_path / 'bin'
  folder.mkdir()
  programs.mkdir()
  monkeypatch.setenv('PATH', f'{programs}{os.pathsep}{os.environ["PATH"]}')

  def answer(*answers):
    """Pairs (words of a call, its answers); no match: 0, and silence."""
    (folder / 'answers').write_text(json.dumps(answers))

  def install(*names):
    for name in names:
      path = programs / name
      path.write_text(FAKE.format(python=sys.executable, folder=str(folder)))
      path.chmod(0o755)

  def calls():
    log = folder / 'log'
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines]

  answer()
  install('gcloud', 'kubectl', 'sbatch', 'squeue', 'scancel')
  return SimpleNamespace(answer=answer, install=install, calls=calls)


@pytest.fixture
def arguments():
  """Flags of a valid job, by backend."""
  cloud = (
    '--project=my-project-1',
    '--slice=v5litepod-16',
    '--nfs=10.0.0.2:/jaxsynth',
    '--image=us-docker.pkg.dev/my-project-1/tpu/jaxsynth:v1',
  )
  common = ('--name=sweep', '--config=markov_mixture:smoke')
  return {
    'queued_resource': [
      '--backend=queued_resource', *common, *cloud, '--zone=us-west4-a',
      '--poll=0',
    ],
    'gke': ['--backend=gke', *common, *cloud, '--context=gke_tpus'],
    'slurm': [
      '--backend=slurm', *common, '--workdir=/shared/sweep',
      '--python=/opt/python',
    ],
    'local': ['--backend=local', *common, '--workdir=runs/sweep', '--pause=0'],
  }  # fmt: skip
