"""The study's measures on networks whose answers are known, and its numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.experiments import _matrix_completion_interventions as changes
from jaxsynth.experiments import _matrix_completion_measures as measures
from jaxsynth.experiments import _matrix_completion_numbers as numbers
from jaxsynth.models.base import Output
from jaxsynth.models.transformer import Transformer
from jaxsynth.tasks.matrix_completion import MatrixCompletion
from jaxsynth.trajectory.mapping import Context

TASK = MatrixCompletion(3, 4, 1, precision=0.01, reads='values', eval_size=64)
MODEL = Transformer(
  num_layers=2, d_model=8, num_heads=2, max_len=12, causal=False, init_std=0.4
)


@functools.cache
def evals():
  return TASK.evals(TASK.init(None), jax.random.key(0))


def context(apply):
  constants = {'task_params': TASK.init(None), 'evals': evals()}
  key = jax.random.key(3)
  return Context(apply, constants, {}, evals(), jnp.int32(0), key)


def looking(inputs, written):
  """An answer, and two heads that look everywhere and at the first entry."""
  shape = (*inputs.shape[:2], inputs.shape[1])
  uniform = jnp.full(shape, 1 / shape[-1])
  first = jnp.zeros(shape).at[..., 0].set(1.0)
  stream = jnp.zeros((*inputs.shape[:2], 5))
  acts = {
    'blocks.0.attn.pattern': jnp.stack([uniform, first], 1),
    'blocks.0.attn_out': stream,
  }
  return Output(written[..., None], acts)


def copies(params, inputs, edit=None):
  """Writes what it sees, 0 where it sees nothing."""
  return looking(inputs, inputs[..., 0])


def knows(params, inputs, edit=None):
  """Writes the true entries, whatever it sees."""
  return looking(inputs, evals()['all'].info['values'])


def test_a_network_that_copies():
  out = measures.curves(TASK, (0.44, -0.24))({}, context(copies))
  assert float(out['observed']) == pytest.approx(0, abs=1e-9)
  assert float(out['hidden']) == pytest.approx(1, abs=1e-6)
  assert float(out['noise']) == pytest.approx(0, abs=1e-9)
  assert float(out['size']) == 0
  np.testing.assert_allclose(out['copied'], 0, atol=1e-9)
  assert (np.asarray(out['completed']) > 1).all()
  np.testing.assert_allclose(out['row'][0, 0], 1, atol=1e-5)
  np.testing.assert_allclose(out['other'][0, 0], 1, atol=1e-5)
  # The second head looks at entry (0, 0): own row of 1 query in 3, at most.
  assert float(out['row'][0, 1]) != pytest.approx(1, abs=0.05)


def test_a_network_that_knows():
  out = measures.curves(TASK, (0.44,))({}, context(knows))
  for name in ('observed', 'hidden', 'completed'):
    np.testing.assert_allclose(out[name], 0, atol=1e-9)
  values, hidden = evals()['all'].info['values'], evals()['hidden'].weights
  expected = (jnp.square(values - 0.44) * hidden).sum()
  expected /= (jnp.square(values) * hidden).sum()
  np.testing.assert_allclose(out['copied'], expected, rtol=1e-5)


def test_copying_against_the_convex_completion():
  """Copying errs by the share that is hidden; rank one is completed."""
  analyse = measures.beyond(TASK, (0.1, 0.5), 200, 300)
  out = jax.jit(lambda: analyse({}, context(copies)))()
  np.testing.assert_allclose(out['network'], [0.1, 0.5], atol=0.05)
  np.testing.assert_allclose(out['network_hidden'], 1, atol=1e-5)
  np.testing.assert_allclose(out['laws'], 0.3, atol=0.08)
  assert (np.asarray(out['convex']) < out['network']).all()
  assert (np.asarray(out['convex_norm']) < out['true_norm']).all()
  assert float(out['gap'].max()) < 0.02


def test_probes_read_what_stands_in_the_stream():
  """A stream that holds the own row as it is seen: read off, entry not."""

  def apply(params, inputs):
    seen = inputs[..., 0].reshape(-1, 3, 4)
    row = jnp.repeat(seen, 4, axis=1)  # [B, 12, 4]
    noise = jax.random.normal(jax.random.key(1), row.shape)
    acts = {
      'blocks.0.resid_pre': noise,
      'blocks.0.attn_out': noise,
      'blocks.0.resid_post': row,
    }
    return Output(None, acts)

  out = measures.read_by_probes(TASK, (200, 50))({}, context(apply))
  assert float(out['row'][0]) > 0.9
  assert float(out['row'][1]) < 1e-3
  assert float(out['row_cosine'][1]) > 0.999 * 0.6  # some rows are not seen
  assert float(out['element'][1]) > 0.1


@functools.cache
def network(seed):
  params = MODEL.init(jax.random.key(seed), TASK.spec)
  return params, jax.jit(MODEL.apply)


def test_patching_goes_from_nothing_to_heads():
  params, apply = network(0)
  out = changes.patched(TASK, MODEL)(params, context(apply))
  names = list(changes.parts(MODEL))
  turned = dict(zip(names, np.asarray(out['hidden'])))
  assert len(turned) == 2 + 2 + 4
  assert turned['none'] == pytest.approx(0, abs=1e-6)
  assert abs(turned['all'] - turned['layer 0']) > 1e-3
  # Hidden entries read nothing of their own: heads carry all that turns.
  assert turned['all'] == pytest.approx(1, abs=1e-4)
  assert float(out['observed'][names.index('all')]) < 0.999


def test_uniform_attention_and_none():
  params, apply = network(0)
  out = changes.ablated(TASK, MODEL)(params, context(apply))
  batch = evals()['all']
  written = apply(params, batch.inputs).prediction[..., 0]
  expected = measures.error(written, batch.targets[..., 0],
                            evals()['hidden'].weights)  # fmt: skip
  assert float(out['hidden'][0]) == pytest.approx(float(expected), rel=1e-4)
  assert len(out['hidden']) == len(changes.parts(MODEL)) + 1
  assert len(set(np.asarray(out['hidden']).round(6).tolist())) > 5


def test_stitches_go_from_one_network_to_the_other():
  (one, apply), (two, _) = network(0), network(1)
  both = jax.tree.map(lambda x, y: jnp.stack([x, y]), one, two)
  out = changes.stitched(TASK)(both, context(apply))
  names = list(changes.STITCHES)
  batch = evals()['all']
  for params, name in ((one, 'nothing'), (two, 'everything')):
    written = apply(params, batch.inputs).prediction[..., 0]
    expected = measures.error(written, batch.targets[..., 0],
                              evals()['observed'].weights)  # fmt: skip
    found = float(out['observed'][names.index(name)])
    assert found == pytest.approx(float(expected), rel=1e-4)
  assert len(set(np.asarray(out['hidden']).round(7).tolist())) == len(names)


def curve(values):
  return xr.DataArray(
    [values],
    dims=('run', 'step'),
    coords={'step': range(0, 10 * len(values), 10)},
  )


def test_plateau_onset_and_fall():
  hidden = curve([1.5, 1.0, 1.0, 0.95, 0.8, 0.6, 0.4, 0.3])
  observed = curve([1.0, 0.2, 0.01, 0.02, 0.02, 0.02, 0.02, 0.01])
  assert numbers.on_plateau(hidden, observed).item() == 2 / 8
  assert numbers.on_plateau(observed, hidden).item() == 0
  assert numbers.onset(hidden).item() == 40
  assert numbers.fall(hidden).item() == (60 - 30) / 60
  never = curve([1.0, 1.0, 0.95, 0.7])
  assert numbers.fall(never).item() == np.inf
  assert numbers.onset(curve([1.0, 1.0, 1.0])).item() == np.inf
  # What comes after the fall does not move its start.
  again = curve([1.0, 1.0, 0.4, 0.95, 0.3])
  assert numbers.fall(again).item() == (20 - 10) / 20
  # A return to the plateau starts it anew.
  assert numbers.onset(curve([1.0, 0.8, 0.95, 0.7])).item() == 30


def test_an_even_fall_has_no_steepest_part_and_a_step_is_one():
  even = numbers.straight(curve([2.0] * 20 + [0.4]))
  assert even.values[0, [0, 20]] == pytest.approx([1, 0.4])
  assert numbers.steepest(even, 0.1).item() == pytest.approx(0.1)
  assert numbers.steepest(even, 0.5).item() == pytest.approx(0.5)
  sudden = curve([5.0] + [1.0] * 10 + [0.4] * 10)
  assert numbers.steepest(sudden, 0.1).item() == pytest.approx(1)
  stairs = curve([5.0] + [1.0] * 8 + [0.7] * 6 + [0.4] * 6)
  assert numbers.steepest(stairs, 0.1).item() == pytest.approx(0.5)
