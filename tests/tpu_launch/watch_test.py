"""A fake cloud that fails, preempts and recreates."""

import pytest

from tpu_launch import __main__ as tpu_launch
from tpu_launch import watch

DESCRIBE = ['gcloud', 'queued-resources', 'describe']
CREATE = ['gcloud', 'queued-resources', 'create']
DELETE = ['gcloud', 'queued-resources', 'delete']
ENDED = ['gcloud', '--command=cat /var/lib/jaxsynth/exit']
SCP = ['gcloud', 'scp']


def states(*names):
  return [DESCRIBE, [[0, f'{name}\n', ''] for name in names]]


def codes(*found):
  """What a look for the exit code finds; None is no file yet."""
  missing = [1, '', 'No such file or directory\n']
  return [ENDED, [missing if c is None else [0, f'{c}\n', ''] for c in found]]


@pytest.fixture
def cloud(fakes, arguments, capsys, monkeypatch):
  """Launches a job on spot and watches it: (exit code, verbs sent, words)."""
  looks = iter(range(50))
  monkeypatch.setattr(watch.time, 'sleep', lambda seconds: next(looks))

  def run(*answers, launch=(), more=()):
    fakes.answer(*answers)
    argv = [*arguments['queued_resource'], '--spot', *launch]
    assert tpu_launch.main(argv) == 0
    code = tpu_launch.main(['watch', '--name=sweep', *more])
    sent = [c[4] if c[4] not in ('ssh',) else 'ssh' for c in fakes.calls()]
    return code, sent, capsys.readouterr().err

  return run


def test_preempted_and_recreated(cloud, fakes):
  """Taken away twice, the same request is sent again each time."""
  code, sent, said = cloud(
    states(
      'WAITING_FOR_RESOURCES', 'ACTIVE', 'SUSPENDING', 'SUSPENDED',
      'PROVISIONING', 'ACTIVE', 'SUSPENDED', 'ACTIVE', 'ACTIVE',
    ),
    codes(None, None, None, 0),
  )  # fmt: skip
  assert code == 0
  creates = [c for c in fakes.calls() if 'create' in c]
  assert len(creates) == 3
  assert creates[0] == creates[1] == creates[2]
  assert '--spot' in creates[0]
  changes = [v for v in sent if v in ('create', 'delete', 'scp')]
  again = ['delete', 'create']
  assert changes == ['create', *again, *again, 'scp', 'delete']
  assert 'done' in said


def test_gone_altogether_is_asked_for_again(cloud):
  missing = [1, '', 'ERROR: NOT_FOUND: Resource was not found\n']
  answers = [[0, 'ACTIVE', ''], missing, [0, 'ACTIVE', '']]
  code, sent, _ = cloud([DESCRIBE, answers], codes(None, 0))
  assert code == 0
  assert sent.count('create') == 2


def test_a_job_that_ended_badly_is_not_started_again(cloud):
  code, sent, said = cloud(states('ACTIVE'), codes(2))
  assert code == 2
  assert sent == ['create', 'describe', 'ssh', 'scp', 'delete']
  assert 'a mistake in the config' in said


def test_failures_of_gcloud_are_waited_out(cloud):
  broken = [1, '', 'ERROR: 503 try later\n']
  answers = [*[broken] * (watch.PATIENCE - 1), [0, 'ACTIVE', '']]
  code, sent, said = cloud([DESCRIBE, answers], codes(0))
  assert code == 0
  assert sent.count('create') == 1
  assert said.count('503') == watch.PATIENCE - 1


def test_failures_without_end(cloud):
  code, sent, said = cloud([DESCRIBE, [[1, '', 'ERROR: 503\n']]])
  assert code == 1
  assert sent.count('describe') == watch.PATIENCE
  assert 'no more' in said


def test_a_request_that_cannot_be_granted_is_not_repeated(cloud):
  failed = [[0, 'FAILED\n', ''], [0, '{"state": "no quota"}\n', '']]
  code, sent, said = cloud([DESCRIBE, failed])
  assert code == 1
  assert sent == ['create', 'describe', 'describe']
  assert 'no quota' in said


def test_recreated_so_often(cloud):
  code, sent, said = cloud(states('SUSPENDED'), launch=['--recreations=2'])
  assert code == 1
  assert sent.count('create') == 3
  assert 'no more' in said


def test_results_that_cannot_be_fetched_keep_the_slice(cloud):
  answers = [SCP, [[1, '', 'ERROR: broken pipe\n']]]
  code, sent, said = cloud(states('ACTIVE'), codes(0), answers)
  assert code == 1
  assert sent.count('scp') == 3
  assert 'delete' not in sent
  assert 'the slice is kept' in said


def test_keep(cloud):
  code, sent, _ = cloud(states('ACTIVE'), codes(0), more=['--keep'])
  assert code == 0
  assert sent[-1] == 'scp'


def test_a_job_that_has_ended_is_not_asked_for_again(cloud, fakes, arguments):
  """Watched once more, or launched once more, which is a new beginning."""
  code, _, _ = cloud(states('ACTIVE'), codes(2))
  sent = len(fakes.calls())
  assert tpu_launch.main(['watch', '--name=sweep']) == code == 2
  assert len(fakes.calls()) == sent
  code, again, _ = cloud(states('ACTIVE'), codes(0))
  assert code == 0
  assert again[sent:] == ['create', 'describe', 'ssh', 'scp', 'delete']


def test_watch_needs_what_was_launched(arguments, fakes):
  assert tpu_launch.main(['watch', *arguments['queued_resource']]) == 2
  assert fakes.calls() == []


def test_shards(fakes, arguments, capsys, monkeypatch):
  """A job each, one of them preempted; the last fetches what they share."""
  looks = iter(range(100))
  monkeypatch.setattr(watch.time, 'sleep', lambda seconds: next(looks))
  two = [DESCRIBE[0], DESCRIBE[2], 'sweep-2']
  fakes.answer(
    [two, [[0, 'SUSPENDED\n', ''], [0, 'ACTIVE\n', '']]],
    states('ACTIVE'),
    codes(0),
  )
  flags = [*arguments['queued_resource'], '--shards=4']
  assert tpu_launch.main(flags) == 0
  created = [c[5] for c in fakes.calls()]
  assert created == [f'sweep-{i}' for i in range(4)]
  assert tpu_launch.main(['watch', '--name=sweep']) == 0
  calls = fakes.calls()[4:]
  assert [c[5] for c in calls if 'create' in c] == ['sweep-2']
  assert sum('scp' in c for c in calls) == 1
  deleted = [c[5] for c in calls if 'delete' in c]
  assert sorted(deleted) == [
    'sweep-0',
    'sweep-1',
    'sweep-2',
    'sweep-2',
    'sweep-3',
  ]
  assert {f'sweep-{i}: done' for i in range(4)} <= set(
    capsys.readouterr().err.splitlines()
  )


def test_one_shard_again(fakes, arguments):
  """Under the same record, without touching the others."""
  flags = [*arguments['queued_resource'], '--shards=4']
  assert tpu_launch.main(flags) == 0
  assert tpu_launch.main([*flags, '--shard=3']) == 0
  assert fakes.calls()[4][5] == 'sweep-3'
  assert tpu_launch.main(['teardown', '--name=sweep', '--shard=3']) == 0
  assert tpu_launch.main(['teardown', '--name=sweep']) == 0
  assert [c[5] for c in fakes.calls()[5:]] == [
    'sweep-3', 'sweep-0', 'sweep-1', 'sweep-2', 'sweep-3'
  ]  # fmt: skip
