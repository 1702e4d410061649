"""Layouts: what `auto` reads, what is refused, what is written down."""

import json
import os
import subprocess
import sys

import jax
import pytest

from jaxsynth.errors import UserError
from jaxsynth.train import layout
from jaxsynth.train.layout import Layout, choose


def test_auto_is_map_on_a_cpu():
  got = choose()
  assert (got.mode, got.block) == ('map', len(jax.devices()))
  assert got.devices == tuple(jax.local_devices())
  assert choose('map') == choose('map', len(jax.devices())) == got


def test_vmap_blocks():
  count = len(jax.devices())
  assert choose('vmap').block == layout.VMAP_BLOCK * count
  assert choose('vmap', 3 * count).block == 3 * count
  assert choose('vmap', 0, 4).microbatches == 4


def test_microbatches_are_the_fewest_whose_activations_fit():
  fit = layout.CPU_ACTIVATIONS
  assert layout.microbatches(fit // 12, 12) == 1
  assert layout.microbatches(fit // 12 + 1, 12) == 2
  assert layout.microbatches(fit // 5, 12) == 3  # parts of 4: 5 is no divisor
  assert layout.microbatches(2 * fit, 12) == 6  # no part of one example
  assert layout.microbatches(2 * fit, 1) == 1


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    (('vmpa',), "unknown layout 'vmpa': did you mean 'vmap'"),
    (('map', 5), 'is the device count .* with map, got 5'),
    (('auto', 5), 'got 5'),
    (('vmap', 3), 'a multiple of the 2 devices, got 3'),
    (('vmap', -2), 'got -2'),
  ],
)
def test_refused(arguments, says):
  assert len(jax.devices()) == 2
  with pytest.raises(UserError, match=says):
    choose(*arguments)


def test_the_record_tells_layouts_apart():
  two, one = tuple(jax.devices()), tuple(jax.devices()[:1])
  layouts = [
    Layout('map', 2, 1, two),
    Layout('map', 1, 1, one),
    Layout('vmap', 2, 1, two),
    Layout('vmap', 4, 1, two),
    Layout('vmap', 4, 2, two),
  ]
  records = {json.dumps(x.record(), sort_keys=True) for x in layouts}
  assert len(records) == len(layouts)
  record = layouts[0].record()
  assert record['backend'] == 'cpu'
  assert record['device_count'] == 2
  assert record['versions']['jax'] == jax.__version__
  assert any('multi_thread_eigen=false' in f for f in record['xla_flags'])


def test_configure_leaves_a_running_backend_alone(monkeypatch):
  before = jax.devices()
  monkeypatch.setenv('XLA_FLAGS', '')
  layout.configure(cpu_devices=5)
  assert jax.devices() == before
  assert os.environ['XLA_FLAGS'] == ''


@pytest.mark.parametrize(
  ('given', 'flags', 'least'),
  [
    ('', '', 6),
    ('many', '', 6),
    ('1000', '', 1000),
    ('1', '--xla_force_host_platform_device_count=500', 1000),
  ],
)
def test_threads_are_twice_the_devices_or_more(
  monkeypatch, given, flags, least
):
  monkeypatch.setenv('NPROC', given)
  monkeypatch.setenv('XLA_FLAGS', flags)
  layout.configure(cpu_devices=3)
  threads = int(os.environ['NPROC'])
  assert threads >= least
  assert threads == least or least < 2 * layout.cores()


DECOMPOSING = """
from jaxsynth.train import layout
layout.configure(cpu_devices=2)
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from jaxsynth.analysis.nuclear_norm import complete
mesh = Mesh(jax.devices(), ('run',))
def many(key):
  left, right, mask = jax.random.split(key[0], 3)
  left = jax.random.normal(left, (512, 4, 1))
  x = left @ jax.random.normal(right, (512, 1, 4))
  seen = jax.random.uniform(mask, x.shape) < 0.7
  return jax.vmap(lambda x, seen: complete(x, seen)['gap'])(x, seen)[None]
both = jax.jit(
  jax.shard_map(
    many, mesh=mesh, in_specs=P('run'), out_specs=P('run'), check_vma=False
  )
)
keys = jax.random.split(jax.random.key(0), 2)
keys = jax.device_put(keys, NamedSharding(mesh, P('run')))
for _ in range(4):
  jax.block_until_ready(both(keys))
"""


def test_devices_that_decompose_many_matrices_do_not_wait_for_each_other():
  """They did for ever, where each device had but one of XLA's threads."""
  env = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'NPROC')}
  subprocess.run(
    [sys.executable, '-c', DECOMPOSING], check=True, timeout=120, env=env
  )
