"""An S3 server of this process (moto), which counts, and fails when asked to.

store.url            's3://bucket'
store.client         boto3's, to look and to damage
store.requests       (method, path, query, bytes sent back) of each request
store.refuse         f(environ) -> True answers 503 instead
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

BUCKET = 'bucket'


class Request(NamedTuple):
  method: str
  path: str
  query: str
  sent: int


class Store:
  """The server, and its bucket."""

  def __init__(self):
    import boto3
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
      protocol_version = 'HTTP/1.1'  # connections are kept

      def log(self, *args):
        pass

    self.url = f's3://{BUCKET}'
    self.requests: list[Request] = []
    self.refuse: Callable[[dict], bool] = lambda environ: False
    self.ignore_conditions = False
    self._app = DomainDispatcherApplication(create_backend_app)
    self._server = make_server(
      '127.0.0.1', 0, self, threaded=True, request_handler=Quiet
    )
    self.endpoint = f'http://127.0.0.1:{self._server.server_port}'
    threading.Thread(target=self._server.serve_forever, daemon=True).start()
    self.client = boto3.client(
      's3',
      endpoint_url=self.endpoint,
      region_name='us-east-1',
      aws_access_key_id='id',
      aws_secret_access_key='secret',
    )
    self.client.create_bucket(Bucket=BUCKET)

  @property
  def env(self) -> dict[str, str]:
    """What a user of such a store sets."""
    return {
      'AWS_ENDPOINT_URL': self.endpoint,
      'AWS_ACCESS_KEY_ID': 'id',
      'AWS_SECRET_ACCESS_KEY': 'secret',
      'AWS_DEFAULT_REGION': 'us-east-1',
      'AWS_MAX_ATTEMPTS': '1',  # s3fs repeats, and then we do
    }

  def __call__(self, environ, start_response):
    if self.refuse(environ):
      start_response('503 Service Unavailable', [('Content-Length', '0')])
      return [b'']
    if self.ignore_conditions:
      environ.pop('HTTP_IF_NONE_MATCH', None)
    sent = []

    def start(status, headers, *rest):
      sent.append(int(dict(headers).get('Content-Length', 0)))
      return start_response(status, headers, *rest)

    body = self._app(environ, start)
    got = environ['REQUEST_METHOD'], environ['PATH_INFO']
    self.requests.append(Request(*got, environ['QUERY_STRING'], sum(sent)))
    return body

  @contextlib.contextmanager
  def watched(self) -> Iterator[list[Request]]:
    """The requests made in the meantime."""
    first, out = len(self.requests), []
    yield out
    out += self.requests[first:]

  def keys(self, prefix: str) -> list[str]:
    """Of the objects below a URL of this store, without that URL."""
    prefix = prefix.removeprefix(f'{self.url}/') + '/'
    pages = self.client.get_paginator('list_objects_v2').paginate(
      Bucket=BUCKET, Prefix=prefix
    )
    found = [x['Key'] for page in pages for x in page.get('Contents', [])]
    return [key.removeprefix(prefix) for key in found]

  def read(self, url: str) -> bytes:
    key = url.removeprefix(f'{self.url}/')
    return self.client.get_object(Bucket=BUCKET, Key=key)['Body'].read()

  def write(self, url: str, data: bytes) -> None:
    key = url.removeprefix(f'{self.url}/')
    self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

  def delete(self, url: str) -> None:
    key = url.removeprefix(f'{self.url}/')
    self.client.delete_object(Bucket=BUCKET, Key=key)

  def close(self) -> None:
    self._server.shutdown()
    self._server.server_close()
