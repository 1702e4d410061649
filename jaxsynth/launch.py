"""From what a user typed to a training or a study: shared by all entry points.

The command line (`jaxsynth ...`), the absl entry for pods and Colab
(`python -m jaxsynth.experiments.train`) and a notebook all come through here.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxsynth import build, capacity, lookup, peers, split, stage
from jaxsynth.config import override
from jaxsynth.errors import UserError
from jaxsynth.stopping import AGAIN, Stopper
from jaxsynth.train import layout
from jaxsynth.train.loop import Event, Stopped
from jaxsynth.trajectory import paths
from jaxsynth.trajectory.bucket_lock import BucketLock, take
from jaxsynth.trajectory.lock import Lock
from jaxsynth.trajectory.trajectory import Trajectory

# Exit codes: 1 a claim failed, a disk is full; 2 a mistake of the user; after
# neither would restarting help. See `stopping` for those that mean 'restart'.
EXIT_FAILED, EXIT_USER = 1, 2

PACKAGE = 'jaxsynth.configs'


def load_config(name: str, overrides: Iterable[str] = ()) -> ConfigDict:
  """A complete config by name or path, with overrides applied.

  Args:
    name: 'markov_mixture', 'markov_mixture:paper', 'my/config.py' or
      'my/config.py:small'; what follows the colon goes to `get_config`.
    overrides: 'optimizer.peak_lr=3e-4' and the like.

  Raises:
    UserError: no such config, preset or key.
  """
  base, _, preset = name.partition(':')
  get = lookup.get(PACKAGE, base, 'get_config', 'config')
  config = build.complete(get(preset) if preset else get())
  for item in overrides:
    path, sign, text = item.partition('=')
    if not sign:
      raise UserError(f'an override is PATH=VALUE, got {item!r}')
    override(config, path, text)
  return config


def seed_overrides(seeds: str | None) -> list[str]:
  """`--seeds` as config overrides.

  Args:
    seeds: a count ('8'), a list ('0,5,9') or a range ('1000:1008').

  Raises:
    UserError: none of those.
  """
  if not seeds:
    return []
  try:
    if ':' in seeds:
      first, stop = (int(part) for part in seeds.split(':'))
      return [f'sweep.seeds={stop - first}', f'sweep.first_seed={first}']
    if ',' in seeds:
      listed = tuple(int(part) for part in seeds.split(',') if part)
      return [f'sweep.seeds={listed}']
    return [f'sweep.seeds={int(seeds)}']
  except ValueError:
    raise UserError(
      f'--seeds is a count (8), a list (0,5,9) or a range (0:8), got {seeds!r}'
    ) from None


def tensorboard(folder: Path) -> Callable[[Event], None]:
  """An observer that writes live curves for TensorBoard.

  Each scalar is logged as its median over runs, its extremes, and, for up to
  16 runs, one curve a run.

  Raises:
    UserError: the optional dependency is missing.
  """
  try:
    from tensorboardX import SummaryWriter
  except ImportError:
    raise UserError(
      "--tensorboard needs an extra: pip install 'jaxsynth[tensorboard]'"
    ) from None
  import numpy as np

  log = SummaryWriter(str(folder))

  def write(name: str, values: np.ndarray, step: int) -> None:
    fine = values[np.isfinite(values)]
    if fine.size:
      for label, f in (('median', np.median), ('min', min), ('max', max)):
        log.add_scalar(f'{name}/{label}', float(f(fine)), step)
    if len(values) <= 16:
      for r, value in enumerate(values):
        log.add_scalar(f'{name}/run_{r}', float(value), step)

  def observe(event: Event) -> None:
    for name, rows in event.scalars.items():
      write(f'train/{name}', rows.mean(1), event.step)
    for name, rows in event.evals.items():
      for column, step in enumerate(event.eval_steps):
        if rows.ndim == 2:
          write(f'eval/{name}', rows[:, column], step)
    log.flush()

  return observe


def say_groups(groups: dict[str, build.Setup]) -> str:
  """One line: how many runs, in how many compiled programs."""
  runs = sum(len(s.sweep.runs()) for s in groups.values())
  if len(groups) == 1:
    return f'{runs} runs in one compiled program'
  return (
    f'{runs} runs in {len(groups)} groups, one compiled program each: '
    + '; '.join(groups)
  )


def join(
  cluster: peers.Cluster,
  cpu_devices: int | None = None,
  stopping: Stopper | None = None,
) -> None:
  """Sets the devices of this process and joins the others, if there are any.

  To be called before anything touches a device.

  Args:
    cluster: how to find the others.
    cpu_devices: CPU devices of this process; None takes one per core.
    stopping: armed from here on if there are others, as no process of a team
      leaves without telling them.

  Raises:
    UserError: the others cannot be found.
  """
  if cpu_devices is not None and cpu_devices < 1:
    raise UserError(f'--cpu_devices is a count, got {cpu_devices}')
  layout.configure(cpu_devices)
  peers.start(cluster)
  if stopping and peers.count() > 1:
    stopping()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
  """Holds a lock file; of several processes, process 0 does.

  Raises:
    UserError: another command holds it; raised in every process.
  """
  held: list[Lock | BucketLock] = []
  peers.first(lambda: held.append(take(path)))
  try:
    yield
  finally:
    for lock in held:
      lock.close()


def train(
  config: ConfigDict | Mapping[str, Any] | str,
  workdir: Path | str,
  *,
  stage_name: str = 'train',
  parent: stage.Parent | None = None,
  tensorboard_log: bool = False,
  observers: Sequence[Callable[[Event], None]] = (),
  stopping: Stopper | None = None,
  allow: Sequence[str] = (),
  say: Callable[[str], None] = print,
  quiet: bool = False,
  shards: int | str = 1,
  shard: int = 0,
  job: capacity.Job | None = None,
) -> dict[str, Trajectory]:
  """Trains every static group of a config, resuming what is there.

  Args:
    config: what it changes of the defaults, or its name (`load_config`).
    workdir: each group goes to workdir/stages/STAGE[/GROUP]; a local folder
      or one of a bucket.
    stage_name: name of the stage.
    parent: where its runs start.
    tensorboard_log: write live curves to workdir/tensorboard.
    observers: told after each call of each group.
    stopping: asked between calls; disarmed after each group.
    allow: what may have changed since ('layout', 'source_digest').
    say: takes one line.
    quiet: no progress bars.
    shards: into how many the sweep is cut, see `jaxsynth.split`; 'auto' for as
      many as its size asks for, see `jaxsynth.capacity`.
    shard: which of them to train.
    job: what a shard's job has, for 'auto'; None for what is here.

  Returns:
    Trajectories by group label, the only one is called ''; of a shard, by
    their folder within the stage.
  """
  if tensorboard_log:
    paths.local(workdir, '--tensorboard writes')
  workdir = paths.of(workdir)
  named = isinstance(config, str)
  config = load_config(config) if named else build.complete(config)
  layout.configure()
  whole = groups = build.groups(config)
  folder = workdir / 'stages' / stage_name
  if shards == capacity.AUTO:
    shards = peers.first(lambda: capacity.choose(folder, whole, job))
    say(f'{stage_name}: --shards={shards}')
  if shards != 1 or shard:
    groups = split.setups(whole, shards, shard)
  stopping = stopping or Stopper()
  say(f'{stage_name}: {say_groups(groups)}')

  def train_group(label: str, setup: build.Setup) -> Trajectory:
    # A signal may have come during the last call of the group before.
    if peers.anywhere(stopping.noted):
      raise Stopped(0)
    told = [*observers]
    if tensorboard_log:
      told.append(tensorboard(workdir / 'tensorboard' / stage_name / label))
    try:
      return stage.train(
        setup,
        folder / label,
        parent=parent,
        title=f'{stage_name} {label}'.strip(),
        observers=told,
        stopping=stopping,
        allow=tuple(allow),
        quiet=quiet,
      )
    finally:
      if peers.count() == 1:
        stopping.disarm()

  peers.first(lambda: split.agree(folder, config, whole, shards))
  lock = f'lock-{shard}-of-{shards}' if shards > 1 else 'lock'
  with locked(workdir / lock):
    return {label: train_group(label, s) for label, s in groups.items()}


def stopped_text(error: Stopped) -> str:
  return f'stopped after step {error.step}, everything is saved: {AGAIN}'


def disk_text(trouble: str) -> str:
  return (
    f'{trouble}; what was saved before is intact: once the storage takes '
    'more, run the same command again to continue'
  )
