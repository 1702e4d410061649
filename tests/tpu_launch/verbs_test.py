"""Each backend against fake programs that record, fail and succeed."""

import json
from pathlib import Path

import pytest

from tpu_launch import __main__ as tpu_launch

PROGRAM = {'queued_resource': 'gcloud', 'gke': 'kubectl', 'slurm': 'sbatch'}


@pytest.mark.parametrize('backend', PROGRAM)
def test_what_a_dry_run_prints_is_sent(backend, arguments, fakes, capsys):
  """Launch, then a status that needs nothing but the name, then teardown."""
  for verb in ('launch', 'status', 'teardown'):
    flags = arguments[backend] if verb == 'launch' else ['--name=sweep']
    before = len(fakes.calls())
    assert tpu_launch.main([verb, *flags, '--dry_run']) == 0
    assert len(fakes.calls()) == before
    lines = capsys.readouterr().out.splitlines()
    printed = [
      json.loads(line[line.index('[') :])
      for line in lines
      if line.startswith('run')
    ]
    assert tpu_launch.main([verb, *flags]) == 0
    assert fakes.calls()[before:] == printed != []
    assert Path('runs/launch/sweep/flags.json').exists() == (verb != 'teardown')
    for line in lines:
      if line.startswith('write '):
        content = Path(line.removeprefix('write ')).read_text()
        assert content.splitlines()[-1].strip() in '\n'.join(lines)
    capsys.readouterr()


def test_kubectl_is_tried_again(arguments, fakes):
  broken = [1, '', 'Unable to connect to the server\n']
  fakes.answer([['kubectl', 'apply'], [broken, broken, [0, '', '']]])
  assert tpu_launch.main(arguments['gke']) == 0
  assert len(fakes.calls()) == 3


def test_kubectl_fails_for_good(arguments, fakes, capsys):
  fakes.answer([['kubectl', 'apply'], [[1, '', 'error: no JobSet\n']]])
  assert tpu_launch.main(arguments['gke']) == 1
  assert 'error: no JobSet' in capsys.readouterr().err
  assert len(fakes.calls()) == 3


@pytest.mark.parametrize('backend', ['queued_resource', 'slurm'])
def test_what_must_not_be_sent_twice_is_sent_once(
  backend, arguments, fakes, capsys
):
  fakes.answer([[PROGRAM[backend]], [[1, '', 'timed out\n']]])
  assert tpu_launch.main(arguments[backend]) == 1
  assert 'timed out' in capsys.readouterr().err
  assert len(fakes.calls()) == 1


def test_gke_fetches_through_a_pod_of_its_own(arguments, fakes):
  tpu_launch.main(arguments['gke'])
  assert tpu_launch.main(['fetch', '--name=sweep', '--output=here']) == 0
  verbs = [c[3] for c in fakes.calls()[1:]]
  assert verbs == ['apply', 'wait', 'cp', 'delete']
  assert Path('here').is_dir()


def test_a_name_means_one_job(arguments, fakes, capsys):
  """The same again is fine, another job needs another name."""
  assert tpu_launch.main(arguments['gke']) == 0
  assert tpu_launch.main(arguments['gke']) == 0
  sent = len(fakes.calls())
  assert tpu_launch.main([*arguments['gke'], '--seeds=3']) == 2
  assert '--seeds=3' in capsys.readouterr().err
  assert len(fakes.calls()) == sent


def test_a_missing_program(arguments, fakes, monkeypatch, tmp_path, capsys):
  monkeypatch.setenv('PATH', str(tmp_path))
  assert tpu_launch.main(arguments['gke']) == 2
  assert 'kubectl is not on PATH' in capsys.readouterr().err
  assert not Path('runs').exists()
