"""A trajectory at gs://: the same code, here with Google's emulator.

Two things that Google documents are added to the emulator here: the condition
of a put that there is no such object, and the generation of an object that is
read, which TensorStore asks for.
"""

import contextlib
from http import HTTPStatus

import pytest

from jaxsynth.errors import UserError
from jaxsynth.trajectory import bucket_lock, check, manifest, paths, saves

STEPS = {'snapshots': (0, 1, 2, 7, 10, 11, 20), 'evals': (0, 5, 10, 20)}
ABOUT = {
  'format': manifest.FORMAT,
  'steps': 20,
  'config': {'train': {**STEPS, 'branches': (0, 12)}},
}


@pytest.fixture(scope='module')
def google():
  """The URL of a bucket."""
  from gcp_storage_emulator.exceptions import NotFound
  from gcp_storage_emulator.handlers import objects
  from gcp_storage_emulator.server import create_server

  put = objects._multipart_upload

  def put_if(request, response, storage):
    if request.query.get('ifGenerationMatch') == ['0']:
      try:
        storage.get_file_obj('here', request.data['meta']['name'])
      except NotFound:
        return put(request, response, storage)
      response.status = HTTPStatus.PRECONDITION_FAILED
      return None
    return put(request, response, storage)

  get = objects.download

  def get_named(request, response, storage, *args, **kwargs):
    with contextlib.suppress(NotFound):
      found = storage.get_file_obj('here', request.params['object_id'])
      response['x-goog-generation'] = found['generation']
    get(request, response, storage, *args, **kwargs)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(objects, '_multipart_upload', put_if)
    patch.setattr(objects, 'download', get_named)
    server = create_server(
      '127.0.0.1', 0, in_memory=True, default_bucket='here'
    )
    server.start()
    port = server._api._httpd.server_address[1]
    for name in ('STORAGE_EMULATOR_HOST', 'TENSORSTORE_GCS_HTTP_URL'):
      patch.setenv(name, f'http://127.0.0.1:{port}')
    yield 'gs://here/run'
    server.stop()


def go(lab, folder):
  return lab.go(
    folder,
    lab.specs(3),
    sizes=lab.schedule(branches=(0, 12)),
    about=ABOUT,
    checkpoint_calls=1,
  )


@pytest.mark.slow
def test_the_same_bits_damage_found_and_mended(lab, google, tmp_path):
  url = google
  here, there = go(lab, tmp_path / 'run'), go(lab, url)
  one, two = lab.contents(here), lab.contents(there)
  assert [lab.differing(one[run], two[run]) for run in one] == [[], [], []]
  found = check.check(paths.of(url))
  assert (found.faults, found.warnings) == ([], [])
  assert found.head == check.check(here.folder).head
  second = saves.committed(paths.of(url) / 'segments')[1]
  (second / 'state' / 'manifest.ocdbt').unlink()
  faults = [str(f) for f in check.check(paths.of(url)).faults]
  assert f'{second}/state/manifest.ocdbt: missing' in faults
  assert all(str(second) in f for f in faults)
  go(lab, url)
  found = check.check(paths.of(url))
  assert found.faults == []
  assert found.head == check.check(here.folder).head
  assert (paths.of(url) / 'damaged' / 'segments-0000000006').is_dir()


def test_one_lock_and_no_other_bucket(google):
  path = paths.of(google) / 'lock'
  with (
    bucket_lock.take(path),
    pytest.raises(UserError, match='is being written by process'),
  ):
    bucket_lock.take(path)
  bucket_lock.take(path).close()
  with pytest.raises(
    UserError, match=r'^gs://nobody: there is no such bucket$'
  ):
    paths.of('gs://nobody/run')
