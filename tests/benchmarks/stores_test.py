"""All ways to keep snapshots that are compared keep the same numbers."""

import numpy as np
import pytest

from benchmarks import stores, trajectory
from jaxsynth.errors import UserError

RUNS, COUNT = 4, 20


@pytest.fixture(scope='module')
def shots():
  return [stores.snapshot(RUNS, 8, seed) for seed in range(stores.CALL)]


READERS = {
  'ours': (stores.write_ours, lambda f, one: stores.read_ours(f)),
  'orbax': (
    lambda *args: stores.write_orbax(*args, wait=False),
    stores.read_orbax,
  ),
  'tensorstore': (stores.write_tensorstore, stores.read_tensorstore),
}


@pytest.mark.parametrize('name', READERS)
def test_a_matrix_over_all_steps_is_what_was_written(name, shots, tmp_path):
  write, read = READERS[name]
  write(tmp_path / 'kept', shots, COUNT)
  got = read(tmp_path / 'kept', shots[0])['matrix']()
  expected = [shots[i % stores.CALL][stores.LEAF][3] for i in range(COUNT)]
  np.testing.assert_array_equal(got, expected)


def test_the_floor_is_nothing_but_the_bytes(shots, tmp_path):
  stores.write_file(tmp_path / 'kept', shots, COUNT)
  assert trajectory.on_disk(tmp_path / 'kept') == COUNT * stores.bytes_of(
    shots[0]
  )


def test_nowhere_to_write_is_refused(monkeypatch):
  monkeypatch.setattr('sys.argv', ['trajectory', '--tmpfs=', '--disk='])
  with pytest.raises(UserError, match='nowhere to write'):
    trajectory.main()
