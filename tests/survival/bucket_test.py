"""Killed while it writes to a bucket, a training goes on as if it had not.

Of the local tests those whose point is another in a bucket: files are put one
by one, and a rename is a copy and a deletion.
"""

import pytest

from jaxsynth.trajectory import check, paths

UPLOAD = 'jaxsynth.trajectory.bucket:BucketPath.upload'
REMOVE = 'jaxsynth.trajectory.bucket:BucketPath.rmtree'
COMMIT = 'jaxsynth.trajectory.manifest:commit'
JSON = 'jaxsynth.trajectory.manifest:write_json'
KILLED = -9

POINTS = {
  'uploaded, no manifest': (UPLOAD, 4, 'after', 0),
  'uploading': (UPLOAD, 4, 'during', 0.004),
  'uploading again and again': (UPLOAD, 2, 'during', 0.002),
  'index copied, not written': (JSON, 2, 'before', 0),
  'committed, no checkpoint': (COMMIT, 4, 'after', 0),
  'old checkpoint loses its manifest': (REMOVE, 1, 'before', 0),
  'old checkpoint without a manifest': (REMOVE, 2, 'before', 0),
  'old checkpoint half deleted': (REMOVE, 2, 'during', 0.002),
  'last save without manifest': (COMMIT, 11, 'before', 0),
}
DEFAULT = 'uploaded, no manifest'


@pytest.fixture(scope='module')
def distant(commands, store_server, tmp_path_factory):
  """Starts commands that know the server."""
  with pytest.MonkeyPatch.context() as patch:  # what the killed leave
    patch.setenv('TMPDIR', str(tmp_path_factory.mktemp('scratch')))
    zygote = type(commands)(tmp_path_factory.mktemp('distant'))
  yield zygote
  zygote.close()


@pytest.mark.parametrize(
  'where',
  [
    w if w == DEFAULT else pytest.param(w, marks=pytest.mark.slow)
    for w in POINTS
  ],
)
def test_killed_while_writing_to_a_bucket(distant, whole, disk, remote, where):
  store, url = remote
  at, count, when, delay = POINTS[where]
  kill = {'at': at, 'count': count, 'do': 'kill', 'when': when, 'delay': delay}
  for _ in range(4 if 'again' in where else 1):
    killed = distant.train(url, kill)
    assert killed.wait() == KILLED, killed.stderr
  done = distant.train(url)
  assert done.wait() == 0, done.stderr
  folder = paths.of(url) / 'stages' / 'train'
  assert disk.differing(disk.contents(folder), whole()) == []
  assert check.check(folder).faults == []
  left = [k for k in store.keys(url) if '.part' in k or 'damaged/' in k]
  assert left == [], 'no kill damages a save'
