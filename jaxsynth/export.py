"""Taking a trajectory elsewhere: safetensors, or zarr for xarray.

  safetensors   one file per run and step, RUN_ID/STEP.safetensors; tensors by
                the names of `traj.leaves`; the run as metadata
  zarr          one plain store that `xarray.open_zarr` opens: snapshots with
                dimensions (run, step, ...), metrics with (run, update) and
                (run, eval_step), the table of runs as coordinates of `run`

Both libraries come with the extra `export`. What is written goes to a
temporary folder first and is renamed: an export is whole or absent.
"""

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import xarray as xr

from jaxsynth import progress
from jaxsynth.errors import UserError, unknown
from jaxsynth.trajectory import paths
from jaxsynth.trajectory.trajectory import Trajectory

Update = Callable[[int, str], None]


def _library(name: str) -> ModuleType:
  try:
    return importlib.import_module(name)
  except ImportError:
    raise UserError(
      f"{name.split('.')[0]} is not installed: pip install 'jaxsynth[export]'"
    ) from None


def _safetensors(
  traj: Trajectory, folder: Path, library: ModuleType, update: Update
) -> None:
  leaves = {name: traj.leaf(name) for name in traj.leaves}
  done = 0
  for r, row in enumerate(traj.run_index):
    run = traj.index['runs'][row]
    inside = folder / run['run_id']
    inside.mkdir()
    for k, step in enumerate(traj.steps):
      tensors = {
        name: np.ascontiguousarray(leaf[r, k]) for name, leaf in leaves.items()
      }
      metadata = {
        'run_id': run['run_id'],
        'step': str(step),
        'seeds': json.dumps(run['seeds']),
        'hparams': json.dumps(run['hparams']),
        'config_hash': traj.index.get('config_hash', ''),
      }
      path = inside / f'{step:010d}.safetensors'
      library.save_file(tensors, str(path), metadata)
      done += 1
      update(done, run['run_id'])


def _metrics(traj: Trajectory) -> xr.Dataset:
  """Table of runs and metrics; `step` is that of the snapshots."""
  metrics = traj.metrics.rename(step='update')
  table = {
    c.replace('.', '_'): ('run', traj.runs[c].to_numpy()) for c in traj.runs
  }
  axes = {'run': traj.run_index, 'step': traj.steps}
  data = metrics.assign_coords({**axes, **table})
  return data.rename({n: n.replace('/', '.') for n in data.data_vars})


def _zarr(
  traj: Trajectory, folder: Path, library: ModuleType, update: Update
) -> None:
  data = _metrics(traj)
  data['run_id'] = data['run_id'].astype(str)
  data.attrs = {
    'title': 'jaxsynth trajectory',
    'config': json.dumps(traj.index.get('config')),
    'config_hash': traj.index.get('config_hash', ''),
  }
  # Format 2: strings and names of dimensions as every reader knows them.
  data.to_zarr(folder, mode='a', zarr_format=2, consolidated=False)
  group = library.open_group(str(folder), mode='a', zarr_format=2)
  runs = len(traj.run_index)
  for i, name in enumerate(traj.leaves):
    leaf = traj.leaf(name)
    rest = leaf.shape[2:]
    label = 'params' if name == 'snapshots' else f'params.{name}'
    array = group.create_array(
      label,
      shape=leaf.shape,
      # bfloat16 and the like, which zarr does not know, are exact in float32.
      dtype=leaf.dtype if leaf.dtype.kind in 'biufc' else 'float32',
      fill_value=None,  # else xarray reads zeros as missing
      chunks=(1, leaf.shape[1], *rest),
      compressors=None,
      attributes={
        '_ARRAY_DIMENSIONS': [
          'run', 'step', *(f'{label}_{axis}' for axis in range(len(rest)))
        ]
      },
    )  # fmt: skip
    for r in range(runs):
      array[r] = leaf[r]
      update(i * runs + r + 1, name)
  library.consolidate_metadata(str(folder), zarr_format=2)


# name -> (library, writer, units of work)
FORMATS = {
  'safetensors': (
    'safetensors.numpy',
    _safetensors,
    lambda t: len(t.run_index) * len(t.steps),
  ),
  'zarr': ('zarr', _zarr, lambda t: len(t.run_index) * len(t.leaves)),
}


@contextmanager
def _beside(output: Path) -> Iterator[Path]:
  """A temporary folder that becomes `output` if all goes well."""
  try:
    output.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f'.{output.name}-', dir=output.parent))
  except OSError as e:
    raise UserError(f'cannot write to {output.parent}: {e.strerror}') from None
  try:
    yield part
    part.chmod(0o755)
    part.rename(output)
  finally:
    shutil.rmtree(part, ignore_errors=True)


def export(
  traj: Trajectory, output: Path, to: str, *, quiet: bool = False
) -> int:
  """Writes the runs and snapshots of a view in another format.

  Args:
    traj: what to export, e.g. `traj.sel(run=[0, 3], steps=[0, 100])`.
    output: a folder that does not exist yet.
    to: 'safetensors' or 'zarr'.
    quiet: no progress bar.

  Returns:
    Bytes written.

  Raises:
    UserError: an unknown format, a missing library, or `output` exists.
  """
  if to not in FORMATS:
    raise unknown('format', to, FORMATS)
  output = paths.local(output, 'an export is written').absolute()
  if output.exists():
    raise UserError(f'{output} exists: choose another --output')
  name, write, units = FORMATS[to]
  library = _library(name)
  with (
    _beside(output) as part,
    progress.bar(f'export {to}', units(traj), quiet) as update,
  ):
    write(traj, part, library, update)
    return sum(p.stat().st_size for p in part.rglob('*') if p.is_file())
