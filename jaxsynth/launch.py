"""From what a user typed to a training or a study: shared by all entry points.

The command line (`jaxsynth ...`), the absl entry for pods and Colab
(`python -m jaxsynth.experiments.train`) and a notebook all come through here.
"""

import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

from ml_collections import ConfigDict

from jaxsynth import build, lookup, peers, stage
from jaxsynth.config import override
from jaxsynth.errors import UserError
from jaxsynth.train import layout
from jaxsynth.train.loop import Event, Stopped
from jaxsynth.trajectory import paths
from jaxsynth.trajectory.trajectory import Trajectory

# Exit codes: 2 a mistake of the user, do not restart; 75 (EX_TEMPFAIL) the
# work was interrupted and saved, restart the same command.
EXIT_FAILED, EXIT_USER, EXIT_RESTART = 1, 2, 75

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


class Stopper:
  """Turns SIGTERM and Ctrl-C into a request to save and stop.

  The first signal is noted, and training stops between two calls; a second
  Ctrl-C leaves at once. Use as a context, pass as `stopping`.
  """

  def __init__(self):
    self._asked = False
    self._before: dict[int, object] = {}

  def __call__(self) -> bool:
    return self._asked

  def _note(self, number: int, frame: FrameType | None) -> None:
    if self._asked and number == signal.SIGINT:
      raise KeyboardInterrupt
    self._asked = True

  def __enter__(self) -> 'Stopper':
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._note)
    return self

  def __exit__(self, *exc) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)


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


def join(cluster: peers.Cluster, cpu_devices: int | None = None) -> None:
  """Sets the devices of this process and joins the others, if there are any.

  To be called before anything touches a device.

  Args:
    cluster: how to find the others.
    cpu_devices: CPU devices of this process; None takes one per core.

  Raises:
    UserError: the others cannot be found.
  """
  if cpu_devices is not None and cpu_devices < 1:
    raise UserError(f'--cpu_devices is a count, got {cpu_devices}')
  layout.configure(cpu_devices)
  peers.start(cluster)


def train(
  config: ConfigDict,
  workdir: Path,
  *,
  stage_name: str = 'train',
  parent: stage.Parent | None = None,
  tensorboard_log: bool = False,
  stopping: Callable[[], bool] = lambda: False,
  allow: Sequence[str] = (),
  say: Callable[[str], None] = print,
  quiet: bool = False,
) -> dict[str, Trajectory]:
  """Trains every static group of a config, resuming what is there.

  Args:
    config: complete.
    workdir: each group goes to workdir/stages/STAGE[/GROUP].
    stage_name: name of the stage.
    parent: where its runs start.
    tensorboard_log: write live curves to workdir/tensorboard.
    stopping: asked between calls.
    allow: what may have changed since ('layout', 'source_digest').
    say: takes one line.
    quiet: no progress bars.

  Returns:
    Trajectories by group label; the only one is called ''.
  """
  paths.local(workdir)
  layout.configure()
  groups = build.groups(config)
  say(f'{stage_name}: {say_groups(groups)}')
  out = {}
  for label, setup in groups.items():
    folder = workdir / 'stages' / stage_name / label
    observers = []
    if tensorboard_log:
      observers.append(
        tensorboard(workdir / 'tensorboard' / stage_name / label)
      )
    out[label] = stage.train(
      setup,
      folder,
      parent=parent,
      title=f'{stage_name} {label}'.strip(),
      observers=observers,
      stopping=stopping,
      allow=tuple(allow),
      quiet=quiet,
    )
  return out


def stopped_text(error: Stopped) -> str:
  return (
    f'stopped after step {error.step}, everything is saved: run the same '
    'command again to continue'
  )
