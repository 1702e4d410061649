"""The processes that train one sweep together: start, agree, wait, leave.

A process alone is a team of one, for which everything here does nothing. The
processes of a team run the same program in lockstep and speak through the key
value store and the barriers of JAX's own coordination service: host to host,
past the devices, so that an agreement does not wait for the call under way.

A peer that died is noticed by the service: at once where process 0 died, after
`Cluster.heartbeat` seconds where another did. The service then ends every
process that is left (SIGABRT). A peer that lives but does not come is waited
for `Cluster.patience` seconds, and then the others leave (`HungError`). What is
committed is whole, and starting all of them again continues.
"""

import dataclasses
import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import jax
from jax._src import distributed  # the coordination client has no public name

from jaxsynth.errors import UserError
from jaxsynth.spawn import HEARTBEAT_S, HUNG, LAUNCHER, PATIENCE_S

# Seconds to wait for them to come, and to leave.
JOIN_S, LEAVE_S = 120, 30
# How a process of a team ends that an exception ended (EX_SOFTWARE).
CRASHED = 70

_number = itertools.count()
_waits = {'seconds': PATIENCE_S}


class HungError(RuntimeError):
  """A process of the team lives, but did not come in time."""


@dataclasses.dataclass(frozen=True)
class Cluster:
  """How this process finds its team.

  Attributes:
    detect: let JAX ask the cluster (Cloud TPU, GKE, Slurm, MPI).
    coordinator: HOST:PORT of process 0, for a start by hand.
    process_id: which process this is, from 0.
    process_count: how many there are.
    heartbeat: seconds without a sign of life after which one counts as dead.
    patience: seconds to wait for one that lives.

  Raises:
    UserError: on construction, where these do not fit together.
  """

  detect: bool = False
  coordinator: str | None = None
  process_id: int | None = None
  process_count: int | None = None
  heartbeat: int = HEARTBEAT_S
  patience: int = PATIENCE_S

  def __post_init__(self):
    for name in ('heartbeat', 'patience'):
      if getattr(self, name) < 1:
        raise UserError(
          f'--{name} is a number of seconds, got {getattr(self, name)}'
        )
    by_hand = (self.coordinator, self.process_id, self.process_count)
    given = [x is not None for x in by_hand]
    if any(given) and not all(given):
      raise UserError(
        '--coordinator, --process_id and --process_count go together'
      )
    if all(given) and self.detect:
      raise UserError(
        '--distributed finds the other processes by itself: leave out '
        '--coordinator, --process_id and --process_count'
      )
    if all(given) and not 0 <= self.process_id < self.process_count:
      raise UserError(
        f'--process_id counts from 0 to {self.process_count - 1}, got '
        f'{self.process_id}'
      )
    if self.coordinator and not self.coordinator.rpartition(':')[2].isdigit():
      raise UserError(f'--coordinator is HOST:PORT, got {self.coordinator!r}')


def start(cluster: Cluster) -> None:
  """Joins the team; to be called before anything touches a device.

  Raises:
    UserError: the others cannot be found.
  """
  if not (cluster.detect or cluster.coordinator):
    return
  _waits['seconds'] = cluster.patience
  # Its handler would take SIGTERM from ours, which agrees through `anywhere`.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      cluster.coordinator,
      cluster.process_count,
      cluster.process_id,
      initialization_timeout=JOIN_S,
      heartbeat_timeout_seconds=cluster.heartbeat,
      shutdown_timeout_seconds=LEAVE_S,
    )
  except ValueError as e:
    raise UserError(
      f'no cluster was found ({e}): start each process with --coordinator, '
      '--process_id and --process_count, or use --processes=N on one machine'
    ) from None


def count() -> int:
  """How many processes train together; 1 for a process alone."""
  return distributed.global_state.num_processes


def index() -> int:
  """Which of them this is, from 0."""
  return distributed.global_state.process_id


def _late(error: jax.errors.JaxRuntimeError) -> bool:
  """Whether an error of the service is that somebody did not come in time."""
  return 'DEADLINE_EXCEEDED' in str(error)


def _hung(at: str) -> HungError:
  return HungError(
    f'process {index()} of {count()} waited {_waits["seconds"]} s at {at!r} '
    'for another that lives but does not answer; what is committed is whole, '
    'start all of them again'
  )


def wait(name: str) -> None:
  """Returns when every process has come here; `name` is used once.

  Raises:
    HungError: one did not come.
  """
  if count() == 1:
    return
  client = distributed.global_state.client
  try:
    client.wait_at_barrier(name, _waits['seconds'] * 1000)
  except jax.errors.JaxRuntimeError as e:
    if _late(e):
      raise _hung(name) from e
    raise


def _told(key: str, long: bool) -> str:
  """What process 0 sets a key to."""
  client = distributed.global_state.client
  while True:
    try:
      return client.blocking_key_value_get(key, _waits['seconds'] * 1000)
    except jax.errors.JaxRuntimeError as e:
      if not _late(e):
        raise
      if not long:
        raise _hung(key) from e


def first(fn: Callable[[], Any], long: bool = False) -> Any:
  """What `fn` returns in process 0, in every process.

  Args:
    fn: called in process 0 alone; returns what JSON can hold.
    long: it may take as long as it takes, as measuring does: the others wait
      for as long as process 0 lives.

  Raises:
    UserError: `fn` did; then in every process.
    HungError: it took too long.
  """
  if count() == 1:
    return fn()
  client, key = distributed.global_state.client, f'first/{next(_number)}'
  if index() > 0:
    told = json.loads(_told(key, long))
    if 'refused' in told:
      raise UserError(told['refused'])
    return told['value']
  try:
    value = fn()
  except UserError as e:
    client.key_value_set(key, json.dumps({'refused': str(e)}))
    raise
  client.key_value_set(key, json.dumps({'value': value}))
  return value


def anywhere(flag: bool) -> bool:
  """Whether `flag` is true in any process: the same answer in all of them."""
  if count() == 1:
    return flag
  client, key = distributed.global_state.client, f'anywhere/{next(_number)}'
  if flag or _orphaned():
    client.key_value_set(f'{key}/{index()}', '')
  wait(key)
  return bool(client.key_value_dir_get(f'{key}/'))


def _orphaned() -> bool:
  """Whether the launcher that started this process is no more."""
  launcher = os.environ.get(LAUNCHER)
  return launcher is not None and os.getppid() != int(launcher)


def leave(crashed: bool, code: int | None = None) -> None:
  """Leaves the team: the last thing a process does.

  Args:
    crashed: the others do not know that this process ends. It then ends here
      and without waiting for them.
    code: its exit code: HUNG ends here as well, a crash with CRASHED.
  """
  if count() == 1:
    return
  sys.stdout.flush()
  sys.stderr.flush()
  if crashed or code == HUNG:
    os._exit(CRASHED if crashed else HUNG)
  try:
    jax.distributed.shutdown()
  except RuntimeError as e:
    print(f'jaxsynth: leaving without the others: {e}', file=sys.stderr)
