"""Reading a damaged trajectory: named, refused, and the rest still readable."""

import shutil

import numpy as np
import pytest

from jaxsynth import stage
from jaxsynth.errors import UserError
from jaxsynth.trajectory import check, manifest, saves
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer


@pytest.fixture(scope='module')
def whole(lab, tmp_path_factory):
  """Segments 0..6, 6..12, 12..18, 18..20; snapshots 7, 10, 11 in the second."""
  folder = tmp_path_factory.mktemp('damaged') / 'whole'
  return lab.go(folder, lab.specs(2), checkpoint_calls=1)


@pytest.fixture
def copy(whole, tmp_path):
  shutil.copytree(whole.folder, tmp_path / 'traj')
  return tmp_path / 'traj'


def lose_folder(segment):
  shutil.rmtree(segment)


def lose_manifest(segment):
  manifest.path_of(segment).unlink()


def lose_both(segment):
  lose_folder(segment)
  lose_manifest(segment)


def break_manifest(segment):
  path = manifest.path_of(segment)
  before = path.read_text()
  path.write_text(before.replace('"stop":12', '"stop":11'))
  assert path.read_text() != before


def truncate(segment):
  files = [p for p in segment.rglob('*') if p.is_file()]
  path = max(files, key=lambda p: p.stat().st_size)
  path.write_bytes(path.read_bytes()[:-1])


@pytest.fixture
def large(tmp_path):
  """Two segments, large enough for values to lie in files as they are."""
  runs = {'runs': [{'run_id': i, 'seeds': {}, 'hparams': {}} for i in 'ab']}
  values = np.random.default_rng(3).normal(size=(2, 4, 2000))
  with Writer(tmp_path / 'large', runs) as out:
    for i, steps in enumerate(([0, 4], [7, 10])):
      part = values[:, 2 * i : 2 * i + 2]
      loss = np.ones((2, 5))
      arrays = {'snapshots.w': part, 'scalars.loss': loss}
      out.segment(5 * i, 5 * i + 5, steps, [], arrays)
  return tmp_path / 'large', values


def flip_value(segment, value):
  """Flips a bit of an array, where its bytes lie."""
  for path in segment.rglob('*'):
    if path.is_file() and value.tobytes() in (data := path.read_bytes()):
      at = data.index(value.tobytes()) + 6
      path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
      return path
  raise AssertionError('the value lies in no file as it is')


@pytest.mark.parametrize(
  'harm', [lose_folder, lose_manifest, lose_both, break_manifest, truncate]
)
def test_a_damaged_segment_is_named_and_may_be_skipped(whole, copy, harm):
  harm(copy / 'segments' / '0000000006')
  with pytest.raises(manifest.DamagedError, match="damaged='skip'") as e:
    Trajectory(copy)
  place = str(copy) if harm is lose_both else str(copy / 'segments')
  assert str(e.value).startswith(place)
  assert '6' in str(e.value)
  assert '\n' not in str(e.value)
  rest = Trajectory(copy, damaged='skip')
  assert rest.steps.tolist() == [0, 1, 2, 20]
  rows = [0, 1, 2, 6]
  np.testing.assert_array_equal(rest.leaf('x')[:], whole.leaf('x')[:, rows])
  np.testing.assert_array_equal(
    rest.params(20, 1)['x'], whole.params(20, 1)['x']
  )
  steps = [*range(1, 7), *range(13, 21)]
  assert rest.metrics.step.values.tolist() == steps
  np.testing.assert_array_equal(
    rest.metrics['loss'], whole.metrics['loss'].sel(step=steps)
  )
  assert rest.sel(run=0).steps.tolist() == [0, 1, 2, 20]


def test_a_flipped_bit_is_noticed_when_read(large):
  """Not on opening: nobody reads everything then. Never passed on."""
  folder, values = large
  path = flip_value(folder / 'segments' / '0000000005', values[1, 2])
  traj = Trajectory(folder)
  for ask in (
    lambda: traj.leaf('w')[:],
    lambda: traj.leaf('w')[1, 2],
    lambda: traj.leaf('w')[1, 2, 1000],
    lambda: traj.leaf('w')[:, [2], ::2],
    lambda: traj.sel(run=1).params(7),
  ):
    with pytest.raises(manifest.DamagedError, match='not what was') as e:
      ask()
    assert '0000000005: snapshots.w of run b at step 7' in str(e.value)
  leaf = traj.leaf('w')
  np.testing.assert_array_equal(leaf[0], values[0])
  np.testing.assert_array_equal(leaf[1, [0, 1, 3]], values[1, [0, 1, 3]])
  rest = Trajectory(folder, damaged='skip')
  assert rest.steps.tolist() == [0, 4]
  np.testing.assert_array_equal(rest.leaf('w')[:], values[:, :2])
  faults = check.check(folder).faults
  assert [(f.leaf, f.run, f.step) for f in faults] == [
    ('', '', None),
    ('snapshots.w', 'b', 7),
  ]
  assert faults[0].file == str(path)


def test_a_flipped_metric_is_noticed_when_read(whole, copy):
  """Scalars are small: they lie in a compressed file, which fails as one."""
  segment = copy / 'segments' / '0000000006'
  body = manifest.read(segment)
  wrong = {**body['crc32'], 'scalars.loss': body['crc32']['scalars.noise']}
  manifest.write_json(
    manifest.path_of(segment), manifest.signed({**body, 'crc32': wrong})
  )
  with pytest.raises(manifest.DamagedError, match=r'scalars\.loss .* step 7'):
    _ = Trajectory(copy).metrics


def test_an_unfinished_last_segment_is_no_damage(copy):
  """What a killed or a running process leaves."""
  last = saves.committed(copy / 'segments')[-1]
  manifest.path_of(last).unlink()
  assert Trajectory(copy).steps.tolist() == [0, 1, 2, 7, 10, 11]


def test_skip_is_spelled_right(copy):
  with pytest.raises(UserError, match="did you mean 'skip'"):
    Trajectory(copy, damaged='skipp')


def harms(path):
  text = path.read_text()
  return {
    'edited': lambda: path.write_text(text.replace('"runs"', '"rums"')),
    'truncated': lambda: path.write_text(text[: len(text) // 2]),
    'empty': lambda: path.write_text(''),
    'lost': path.unlink,
  }


@pytest.mark.parametrize('harm', ['edited', 'truncated', 'empty', 'lost'])
def test_a_damaged_index_is_rebuilt(whole, copy, harm):
  path = copy / 'index.json'
  before = path.read_bytes()
  harms(path)[harm]()
  damaged = path.read_bytes() if path.exists() else None
  with pytest.raises(manifest.DamagedError, match='--rebuild_index') as e:
    Trajectory(copy)
  assert str(e.value).startswith(str(path))
  assert 'rebuilt' in indexes.rebuild(copy)
  assert path.read_bytes() == before
  aside = copy / 'damaged' / 'index.json'
  assert (aside.read_bytes() if damaged is not None else None) == damaged
  assert Trajectory(copy).runs.equals(whole.runs)
  assert 'intact' in indexes.rebuild(copy)


def test_the_copy_that_the_saves_name_is_taken(copy):
  """A stranger's index among the copies is not."""
  body = indexes.read(copy)
  other = {**body, 'runs': body['runs'][::-1]}
  before = (copy / 'index.json').read_bytes()
  indexes.write(copy, other)
  (copy / 'index.json').write_text('')
  indexes.rebuild(copy)
  assert (copy / 'index.json').read_bytes() == before
  noted = {**body, 'resumed_under': [['layout.mode: 1 -> 2']]}
  indexes.write(copy, noted)
  (copy / 'index.json').write_text('')
  indexes.rebuild(copy)
  assert indexes.read(copy) == noted


def test_without_a_copy_nothing_is_made_up(copy):
  (copy / 'index.json').write_text('')
  for path in (copy / 'indexes').iterdir():
    path.write_text('{}')
  with pytest.raises(manifest.DamagedError, match='no copy'):
    indexes.rebuild(copy)
  assert (copy / 'index.json').read_text() == ''


def test_an_index_of_format_1_is_read(whole, copy):
  """It had no digest. Later ones must have theirs."""
  body = indexes.read(copy)
  manifest.write_json(copy / 'index.json', {**body, 'format': 1})
  assert Trajectory(copy).steps.tolist() == whole.steps.tolist()
  manifest.write_json(copy / 'index.json', {**body, 'format': 2})
  with pytest.raises(manifest.DamagedError):
    Trajectory(copy)


def test_a_writer_in_the_way(lab, copy):
  path = copy / 'index.json'
  with Writer(copy, lab.index(lab.specs(2))):
    path.write_text('')
    with pytest.raises(UserError, match='is being written'):
      indexes.rebuild(copy)
    assert path.read_text() == ''


def test_open_trajectory_hands_it_on(tiny, tmp_path):
  setup, traj = tiny
  copy = tmp_path / 'copy'
  shutil.copytree(traj.folder, copy)
  truncate(copy / 'segments' / '0000000006')
  with pytest.raises(
    manifest.DamagedError, match=r'open_trajectory\(\.\.\., da'
  ):
    stage.open_trajectory(copy)
  rest = stage.open_trajectory(copy, setup, damaged='skip')
  assert rest.steps.tolist() == [0, 1, 5, 6]
  norm = lambda params, ctx: {'n': params['unembed']['kernel'].sum()}
  assert rest.map(norm, quiet=True).sizes == {'run': 4, 'step': 4}
