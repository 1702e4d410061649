"""Layouts: what `auto` reads, what is refused, what is written down."""

import json
import os

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
