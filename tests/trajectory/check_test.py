"""`check` finds whatever is done to a trajectory: by accident, or by hand."""

import shutil

import numpy as np
import pytest

from jaxsynth.trajectory import check as checking
from jaxsynth.trajectory import index as indexes
from jaxsynth.trajectory import manifest, saves

SNAPSHOTS, EVALS, BRANCHES = (0, 1, 2, 7, 10, 11, 20), (0, 5, 10, 20), (0, 12)
ABOUT = {
  'format': manifest.FORMAT,
  'steps': 20,
  'config': {
    'train': {
      'snapshots': SNAPSHOTS,
      'evals': EVALS,
      'branches': BRANCHES,
    }
  },
}


@pytest.fixture(scope='module')
def whole(lab, tmp_path_factory):
  """Three runs; segments 0..6, 6..12, 12..18, 18..20."""
  folder = tmp_path_factory.mktemp('check') / 'whole'
  sizes = lab.schedule(branches=BRANCHES)
  lab.go(folder, lab.specs(3), sizes=sizes, about=ABOUT, checkpoint_calls=1)
  return folder


@pytest.fixture
def copy(whole, tmp_path):
  folder = tmp_path / 'traj'
  shutil.copytree(whole, folder)
  return folder


def faults(folder):
  return [str(fault) for fault in checking.check(folder).faults]


def files_of(folder):
  found = (p for p in folder.rglob('*') if p.is_file() and p.name != 'lock')
  return sorted(p for p in found if p.stat().st_size)


def names(folder, kind):
  return [int(p.name) for p in saves.committed(folder / kind)]


def test_an_intact_trajectory(whole):
  result = checking.check(whole)
  assert names(whole, 'segments') == [0, 6, 12, 18]
  assert names(whole, 'branches') == [0, 12, 20]
  assert (result.faults, result.warnings) == ([], [])
  assert result.counts == {
    'runs': 3, 'snapshots': 7, 'segments': 4, 'full states': 5
  }  # fmt: skip
  assert result.head


def test_every_flipped_bit_is_found(lab, tmp_path):
  """Each file at least once, and 200 more bits drawn by byte, seeded.

  The trajectory is changed and changed back; the names must be right, too.
  """
  whole, steps = tmp_path / 'small', (0, 1, 7, 10)
  sizes = lab.schedule(10, steps, (0, 10), (0,))
  train = {'snapshots': steps, 'evals': (0, 10), 'branches': (0,)}
  about = {'format': manifest.FORMAT, 'steps': 10, 'config': {'train': train}}
  lab.go(whole, lab.specs(2), sizes=sizes, about=about, checkpoint_calls=1)
  assert faults(whole) == []
  rng = np.random.default_rng(11)
  files = files_of(whole)
  sizes = np.asarray([p.stat().st_size for p in files])
  drawn = rng.choice(len(files), 200, p=sizes / sizes.sum())
  kinds = {p.relative_to(whole).parts[0] for p in files}
  assert kinds == {'index.json', 'indexes', *saves.KINDS}
  for path in [*files, *(files[i] for i in drawn)]:
    before = path.read_bytes()
    data = bytearray(before)
    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    try:
      found = faults(whole)
    finally:
      path.write_bytes(before)
    assert any(fault.startswith(str(path)) for fault in found), (path, found)
  assert faults(whole) == []


def test_a_changed_value_is_named_by_leaf_run_and_step(copy, forge):
  """Every file agrees with its digest; the value with its checksum does not."""
  segment = copy / 'segments' / '0000000006'

  def change(name, array):
    if name == 'snapshots.x':
      array[2, 1:, 3] += 1e-6
    return array

  forge.replace(segment, change)
  body = manifest.read(segment)
  assert body['snapshot_steps'] == [7, 10, 11]
  (fault,) = checking.check(copy).faults
  assert fault[0] == str(segment)
  assert fault[2:] == ('snapshots.x', body['run_ids'][2], 10)
  assert str(fault) == (
    f'{segment}: snapshots.x of run {body["run_ids"][2]} at step 10 is not '
    'what was written, nor at steps [11]'
  )


def test_truncated_missing_and_extra_files(copy):
  uncertain = copy / 'branches' / '0000000020.json'
  for path in files_of(copy):
    if not any(n in str(path) for n in ('0000000006', '0000000020', 'index.j')):
      continue
    before = path.read_bytes()
    for change in (lambda p, b: p.write_bytes(b[:-1]), lambda p, b: p.unlink()):
      change(path, before)
      found = faults(copy)
      # A last state without its manifest may never have been committed: the
      # plan, not the file, tells that it is missing.
      where = copy if path == uncertain and not path.exists() else path
      assert any(fault.startswith(str(where)) for fault in found), (path, found)
      path.write_bytes(before)
  for name in ('segments', 'branches/0000000012', 'checkpoints'):
    stray = copy / name / 'stray'
    stray.write_text('x')
    assert any(fault.startswith(str(stray)) for fault in faults(copy))
    stray.unlink()
  (copy / 'notes.txt').write_text('mine')
  result = checking.check(copy)
  assert result.faults == []
  assert [w.split(':')[0] for w in result.warnings] == [str(copy / 'notes.txt')]


def remove(save):
  shutil.rmtree(save)
  manifest.path_of(save).unlink()


@pytest.mark.parametrize('kind', ['segments', 'branches'])
def test_a_save_that_is_gone(whole, tmp_path, kind):
  for save in saves.committed(whole / kind):
    copy = tmp_path / save.name
    shutil.copytree(whole, copy)
    remove(copy / kind / save.name)
    assert faults(copy), f'{kind}/{save.name} was not missed'


def test_leftovers_are_warnings(copy):
  last = saves.committed(copy / 'segments')[-1]
  for name in ('0000000020', '0000000020.orbax-checkpoint-tmp'):
    shutil.copytree(last, last.parent / name)
  (last.parent / '0000000020.json.part').write_text('half')
  result = checking.check(copy)
  assert result.faults == []
  assert len(result.warnings) == 3
  assert all('0000000020' in warning for warning in result.warnings)


# What follows is done by an editor who also corrects the manifests: `forge`.


def swap(name, array):
  return array[[1, 0, *range(2, len(array))]]


def test_the_editors_tools_change_nothing_by_themselves(copy, forge):
  """Else the tests below would find their own traces."""
  head = checking.check(copy).head
  forge.rechain(copy)
  forge.rewrite(copy / 'segments' / '0000000006', lambda name, array: array)
  assert faults(copy) == []
  assert checking.check(copy).head == head


@pytest.mark.parametrize('start', [0, 6, 12, 18])
def test_two_runs_swapped_in_a_segment(copy, start, forge):
  forge.rewrite(copy / 'segments' / f'{start:010d}', swap)
  assert any('does not follow' in fault for fault in faults(copy))


@pytest.mark.parametrize('start', [0, 6, 18])
def test_swapped_and_the_whole_chain_signed_anew(copy, start, forge):
  """Found where a full state lies at a snapshot; else only the head tells.

  Step 0 is compared with the branch there, step 20 with the last one; the
  segment 6..12 keeps no snapshot at a full state.
  """
  head = checking.check(copy).head
  forge.rewrite(copy / 'segments' / f'{start:010d}', swap)
  forge.rechain(copy)
  wrong = checking.check(copy)
  assert wrong.head != head
  named = {(f.leaf, f.run, f.step) for f in wrong.faults}
  ids = [run['run_id'] for run in wrong.index['runs']]
  step = {0: 0, 6: None, 18: 20}[start]
  expected = set() if step is None else {('x', r, step) for r in ids[:2]}
  assert named == expected


@pytest.mark.parametrize(
  ('kind', 'name'),
  [('branches', 0), ('branches', 12), ('branches', 20), ('checkpoints', 6)],
)
def test_two_runs_swapped_in_a_full_state(copy, kind, name, forge):
  forge.rewrite(copy / kind / f'{name:010d}', swap)
  assert faults(copy)


@pytest.mark.parametrize(
  'labels',
  [
    {'snapshot_steps': [8, 10, 11]},
    {'snapshot_steps': [7, 11, 10]},
    {'snapshot_steps': [7, 10, 10]},
    {'eval_steps': [9]},
    {'start': 7},
    {'stop': 13},
    {'run_ids': ['a', 'b', 'c']},
    {'index': '0' * 32},
    {'previous': None},
    {'started_from': None},
  ],
)
@pytest.mark.parametrize('chained', [False, True])
def test_a_relabelled_segment(copy, labels, chained, forge):
  forge.resign(copy / 'segments' / '0000000006', **labels)
  if chained and not {'previous', 'started_from'} & set(labels):
    forge.rechain(copy)
  assert faults(copy)


def test_a_segment_twice_under_another_step(copy, forge):
  """Copied over the next, and after the last, labels and links corrected."""
  old = copy / 'segments' / '0000000006'
  for start in (12, 20):
    new = copy / 'segments' / f'{start:010d}'
    if new.exists():
      remove(new)
    shutil.copytree(old, new)
    shutil.copy(manifest.path_of(old), manifest.path_of(new))
    steps = [start + 1, start + 4, start + 5]
    forge.resign(new, start=start, stop=start + 6, snapshot_steps=steps)
    assert faults(copy)
    forge.rechain(copy)
    assert faults(copy)


def test_a_gap_closed_in_the_chain(copy, forge):
  remove(copy / 'segments' / '0000000006')
  forge.rechain(copy)
  text = ' '.join(faults(copy))
  assert 'starts at step 12, the one before ends at 6' in text
  assert 'snapshots missing: steps [7, 10, 11]' in text


def test_an_edited_index(copy):
  """Two runs exchange their seeds, and the digest is corrected."""
  body = indexes.read(copy)
  a, b = body['runs'][:2]
  a['seeds'], b['seeds'] = b['seeds'], a['seeds']
  manifest.write_json(copy / 'index.json', manifest.signed(body))
  assert any('no copy of the index' in fault for fault in faults(copy))
  indexes.write(copy, body)
  for path in (copy / 'indexes').iterdir():
    if path.stem != manifest.load_json(copy / 'index.json')['digest']:
      path.unlink()
  assert any('written under another index' in fault for fault in faults(copy))


def test_equal_neighbours_are_told_apart(copy, forge):
  """Equal snapshots are reported, unless the loss was not finite between."""

  def still(name, array):
    if name.startswith('snapshots'):
      array[:2, 1] = array[:2, 0]
    if name == 'scalars.loss':
      array[1] = np.nan
    return array

  forge.rewrite(copy / 'segments' / '0000000006', still)
  assert checking.check(copy).equal == [(0, 7, 10)]
