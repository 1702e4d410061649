"""Reproducing a study: its config at a preset, its bench, its verdict."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from ml_collections import ConfigDict

from jaxsynth import build, capacity, config, launch, peers, source, stage
from jaxsynth.errors import UserError
from jaxsynth.stopping import Stopper
from jaxsynth.studies import files, stages, verdict
from jaxsynth.studies import study as studies
from jaxsynth.train import layout
from jaxsynth.train.loop import Stopped
from jaxsynth.trajectory import manifest, paths
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import differences


def _claim_workdir(workdir: Path, full: dict[str, Any]) -> None:
  """Makes the workdir of this config, or refuses one of another config."""
  path = workdir / 'config.json'
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if path.exists():
      found = differences(manifest.load_json(path), full)
      if found:
        raise UserError(
          f'{workdir} holds another config, nothing was changed: '
          f'{"; ".join(found[:3])}; choose another --workdir'
        )
    else:
      manifest.write_json(path, full)
  except OSError as e:
    raise UserError(f'cannot write to {workdir}: {e.strerror}') from None


def reproduce(
  name: str,
  preset: str,
  workdir: Path,
  overrides: Sequence[str] = (),
  *,
  stopping: Stopper | None = None,
  allow: Sequence[str] = (),
  say: Callable[[str], None] = print,
  quiet: bool = False,
  shards: int | str = 1,
  shard: int | None = None,
  job: capacity.Job | None = None,
) -> dict | None:
  """Runs a study to its verdict, continuing what is in the workdir.

  Args:
    name: the study.
    preset: its size.
    workdir: where everything goes.
    overrides: config overrides, 'sweep.seeds=8'.
    stopping: asked between calls.
    allow: what may have changed since ('layout', 'source_digest').
    say: takes one line of progress.
    quiet: no progress bars.
    shards: into how many each stage is cut, see `jaxsynth.studies.stages`.
    shard: train only that one of each, and measure nothing.
    job: what a shard's job has, for `shards='auto'`.

  Returns:
    The verdict, as in verdict.json; None from a job of a shard.

  Raises:
    UserError: a mistake in the arguments; nothing was changed.
  """
  workdir = paths.local(workdir, 'a study writes figures, results and a page')
  study = studies.get(name)
  full = launch.load_config(f'{name}:{preset}', overrides)
  first = next(iter(build.groups(full).values()))
  plain = config.plain(full)
  peers.first(lambda: _claim_workdir(workdir, plain))
  layout.configure()

  def train(
    stage_name: str, stage_config: ConfigDict, parent: stage.Parent | None
  ) -> Trajectory:
    made = stages.train(
      stage_name,
      stage_config,
      workdir,
      shards=shards,
      shard=shard,
      job=job,
      parent=parent,
      stopping=stopping,
      allow=allow,
      say=say,
      quiet=quiet,
    )
    if stopping and peers.anywhere(
      stopping.noted
    ):  # in its last call: measuring comes next
      raise Stopped(stage_config.train.steps)
    return made

  command = ['jaxsynth', 'reproduce', name, f'--preset={preset}']
  command += [f'--config.{item}' for item in overrides]
  facts = verdict.Facts(
    config_text=yaml.safe_dump(plain, sort_keys=False),
    config_hash=config.config_hash(full),
    source_digest=source.source_digest(everything=True),
    layout=stage.layout_of(first).record(),
    command=shlex.join(command),
  )
  bench = studies.Bench(
    study,
    config=full,
    preset=preset,
    workdir=workdir,
    train=lambda stage, config, parent: train(stage, config, parent),
    facts=facts,
    say=say,
    before_measuring=stages.before_measuring(shard),
  )
  if shard is not None:
    try:
      study.run(bench)
    except stages.Trained as e:
      say(str(e))
    return None
  with launch.locked(workdir / 'study.lock'):
    peers.first(lambda: files.sweep(workdir))
    return studies.run_study(name, bench)
