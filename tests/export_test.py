"""What was exported is read back by the libraries it is for."""

import json
import sys

import jax
import numpy as np
import pytest
import xarray as xr

from jaxsynth import export
from jaxsynth.errors import UserError


def test_safetensors(tiny, tmp_path):
  from safetensors import safe_open
  from safetensors.numpy import load_file

  traj = tiny[1].sel(run=[0, 3], steps=[0, 6, 12])
  out = tmp_path / 'deep' / 'out'
  size = export.export(traj, out, 'safetensors', quiet=True)
  files = sorted(p for p in out.rglob('*') if p.is_file())
  assert len(files) == 6
  assert size == sum(p.stat().st_size for p in files)
  run = tiny[1].index['runs'][3]
  path = out / run['run_id'] / '0000000006.safetensors'
  tensors = load_file(path)
  assert sorted(tensors) == traj.leaves
  for name, value in tensors.items():
    np.testing.assert_array_equal(value, tiny[1].leaf(name)[3, 3])
  with safe_open(path, 'numpy') as f:
    meta = f.metadata()
  assert (meta['run_id'], meta['step']) == (run['run_id'], '6')
  assert json.loads(meta['seeds']) == run['seeds']
  assert json.loads(meta['hparams']) == run['hparams'] == {
    'task.num_chains': 4
  }  # fmt: skip


@pytest.mark.filterwarnings('error')
def test_zarr(tiny, tmp_path):
  traj = tiny[1].sel(run=[1, 3], steps=[0, 5, 12])
  out = tmp_path / 'out.zarr'
  export.export(traj, out, 'zarr', quiet=True)
  data = xr.open_zarr(out).load()
  assert data.run.values.tolist() == [1, 3]
  assert data.step.values.tolist() == [0, 5, 12]
  assert data.run_id.values.tolist() == traj.runs.run_id.tolist()
  assert data.task_num_chains.values.tolist() == [2, 4]
  assert data.seed_init.values.tolist() == [1, 1]
  for name in traj.leaves:
    found = data[f'params.{name}']
    assert found.dims[:2] == ('run', 'step')
    assert found.dtype == traj.leaf(name).dtype
    np.testing.assert_array_equal(found, traj.leaf(name)[:])
  np.testing.assert_array_equal(data['loss'], traj.metrics['loss'])
  np.testing.assert_array_equal(data['fresh.loss'], traj.metrics['fresh/loss'])
  assert data['loss'].dims == ('run', 'update')
  assert data['update'].values.tolist() == list(range(1, 13))
  assert json.loads(data.attrs['config']) == traj.index['config']


def test_zeros_whole_numbers_and_bare_leaves(lab, tmp_path):
  """A zero is a zero and not missing; a snapshot may be a single array."""
  program = lab.toy._replace(keep=lambda state: state['count'])
  traj = lab.go(tmp_path / 't', lab.specs(2), program=program)
  export.export(traj, tmp_path / 'z', 'zarr', quiet=True)
  found = xr.open_zarr(tmp_path / 'z')['params']
  assert found.dtype == np.int32
  assert found.values.tolist() == [traj.steps.tolist()] * 2
  export.export(traj, tmp_path / 's', 'safetensors', quiet=True)
  assert len(list((tmp_path / 's').rglob('*.safetensors'))) == 14


def test_half_precision(lab, tmp_path):
  from safetensors.numpy import load_file

  half = lambda state: {'x': state['x'].astype(jax.numpy.bfloat16)}
  traj = lab.go(
    tmp_path / 't', lab.specs(1), program=lab.toy._replace(keep=half)
  )
  export.export(traj, tmp_path / 'z', 'zarr', quiet=True)
  found = xr.open_zarr(tmp_path / 'z')['params.x']
  expected = traj.leaf('x')[:].astype(np.float32)
  np.testing.assert_array_equal(found, expected)
  export.export(traj.sel(steps=[7]), tmp_path / 's', 'safetensors', quiet=True)
  (path,) = (tmp_path / 's').rglob('*.safetensors')
  read = load_file(path)['x'].astype(np.float32)
  np.testing.assert_array_equal(read, expected[0, 3])


def test_what_is_refused(tiny, tmp_path, monkeypatch):
  out = tmp_path / 'out'
  with pytest.raises(UserError, match="did you mean 'zarr'"):
    export.export(tiny[1], out, 'zar')
  monkeypatch.setitem(sys.modules, 'zarr', None)
  with pytest.raises(UserError, match=r"pip install 'jaxsynth\[export\]'"):
    export.export(tiny[1], out, 'zarr')
  out.mkdir()
  with pytest.raises(UserError, match='exists'):
    export.export(tiny[1], out, 'safetensors')
  assert list(tmp_path.rglob('*')) == [out]


def test_a_failed_export_leaves_nothing(tiny, tmp_path, monkeypatch):
  def fail(*args):
    raise OSError('disk full')

  monkeypatch.setattr('safetensors.numpy.save_file', fail)
  with pytest.raises(OSError, match='disk full'):
    export.export(tiny[1], tmp_path / 'out', 'safetensors', quiet=True)
  assert list(tmp_path.iterdir()) == []
