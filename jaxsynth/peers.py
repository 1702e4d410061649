"""The processes that train one sweep together: start, agree, wait, leave.

A process alone is a team of one, for which everything here does nothing. The
processes of a team run the same program in lockstep and speak through the key
value store and the barriers of JAX's own coordination service: host to host,
past the devices, so that an agreement does not wait for the call under way.

A peer that died is noticed by the service: at once where process 0 died, after
HEARTBEAT_S where another did. The service then ends every process that is left
(SIGABRT); what is committed is whole, and starting all of them again continues.
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
from jaxsynth.spawn import LAUNCHER

# Seconds without a sign of life after which a peer counts as dead: JAX's own
# default, as a machine may stand still for a while and live.
HEARTBEAT_S = 100
# Seconds to wait for peers that are alive: to come, to agree, and to leave.
JOIN_S, WAIT_S, LEAVE_S = 120, 24 * 3600, 30
# How a process of a team ends that an exception ended (EX_SOFTWARE).
CRASHED = 70

_number = itertools.count()


@dataclasses.dataclass(frozen=True)
class Cluster:
  """How this process finds its team.

  Attributes:
    detect: let JAX ask the cluster (Cloud TPU, GKE, Slurm, MPI).
    coordinator: HOST:PORT of process 0, for a start by hand.
    process_id: which process this is, from 0.
    process_count: how many there are.

  Raises:
    UserError: on construction, where these do not fit together.
  """

  detect: bool = False
  coordinator: str | None = None
  process_id: int | None = None
  process_count: int | None = None

  def __post_init__(self):
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
  # Its handler would take SIGTERM from ours, which agrees through `anywhere`.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      cluster.coordinator,
      cluster.process_count,
      cluster.process_id,
      initialization_timeout=JOIN_S,
      heartbeat_timeout_seconds=HEARTBEAT_S,
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


def wait(name: str) -> None:
  """Returns when every process has come here; `name` is used once."""
  if count() > 1:
    distributed.global_state.client.wait_at_barrier(name, WAIT_S * 1000)


def first(fn: Callable[[], Any]) -> Any:
  """What `fn` returns in process 0, in every process.

  Args:
    fn: called in process 0 alone; returns what JSON can hold.

  Raises:
    UserError: `fn` did; then in every process.
  """
  if count() == 1:
    return fn()
  client, key = distributed.global_state.client, f'first/{next(_number)}'
  if index() > 0:
    told = json.loads(client.blocking_key_value_get(key, WAIT_S * 1000))
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


def leave(crashed: bool) -> None:
  """Leaves the team: the last thing a process does.

  Args:
    crashed: the others do not know that this process ends. It then ends here,
      with exit code CRASHED and without waiting for them.
  """
  if count() == 1:
    return
  sys.stdout.flush()
  sys.stderr.flush()
  if crashed:
    os._exit(CRASHED)
  try:
    jax.distributed.shutdown()
  except RuntimeError as e:
    print(f'jaxsynth: leaving without the others: {e}', file=sys.stderr)
