"""Training by a model's own objective: swept, remembered, refused."""

import numpy as np
import pytest

from jaxsynth import build, stage
from jaxsynth.errors import UserError
from jaxsynth.trajectory import store

CONFIG = {
  'task': {'name': 'concept_geometry_sae', 'eval_size': 8},
  'model': {'name': 'sae', 'kind': 'relu', 'width': 8, 'k': 2},
  'optimizer': {'peak_lr': 1e-2},
  'train': {
    'loss': 'own', 'steps': 30, 'batch_size': 32, 'snapshots': (0, 30),
    'evals': (0, 30), 'branches': (10, 30), 'call_steps': 10,
  },
  'sweep': {'seeds': 2, 'traced': {'model': {'sparsity': (0.0, 10.0)}}},
}  # fmt: skip


def changed(**sections):
  return {k: {**v, **sections.get(k, {})} for k, v in CONFIG.items()}


@pytest.fixture(scope='module')
def swept(tmp_path_factory):
  folder = tmp_path_factory.mktemp('swept')
  return stage.train(build.build(CONFIG), folder / 'run', quiet=True)


def test_a_traced_sparsity_is_the_model_s_own(swept, tmp_path):
  """A run of the sweep equals one whose model has that sparsity itself."""
  config = changed(model={'sparsity': 10.0}, sweep={'traced': {}})
  alone = stage.train(build.build(config), tmp_path / 'run', quiet=True)
  theirs = swept.sel(sparsity=10.0).metrics
  np.testing.assert_allclose(alone.metrics['loss'], theirs['loss'], rtol=1e-5)


def test_penalty_falls_where_it_counts(swept):
  held = swept.metrics['held_out/penalty'].isel(eval_step=-1).values
  free, pressed = held[:2], held[2:]
  assert (pressed < 0.7 * free).all()
  loss = swept.metrics['held_out/loss'].values
  assert (loss[:, -1] < loss[:, 0]).all()


def test_loss_is_the_mean_of_error_and_penalty(swept):
  m = swept.metrics
  sparsity = np.asarray([0, 0, 10, 10])[:, None]
  total = m['squared_error'] + sparsity * m['penalty']
  np.testing.assert_allclose(m['loss'], total, rtol=1e-5)


def test_memory_is_part_of_the_state(swept):
  """Silent latents are counted: never beyond the steps done."""
  counts = {}
  for step in (10, 30):
    counts[step] = store.load(swept.branch(step), ['memory'])
  early, late = (c['memory'] for c in counts.values())
  assert early.shape == (4, 8)
  assert early.max() <= 10
  assert 10 < late.max() <= 30


@pytest.mark.parametrize(
  ('sections', 'text'),
  [
    ({'layout': {'microbatches': 2}}, 'takes a batch whole'),
    ({'train': {'loss': 'mse'}}, 'sparsity'),
    ({'model': {'kind': 'topk'}}, 'sparsity'),
    ({'sweep': {'traced': {'model': {'sparsity': (-1.0,)}}}}, 'sparsity'),
    ({'sweep': {'traced': {'model': {'width': (8.0,)}}}}, 'sweep.static'),
    ({'train': {'loss': 'owm'}}, 'own'),
  ],
)
def test_what_cannot_be_is_refused(sections, text):
  config = {'layout': {}, **CONFIG}
  for name, change in sections.items():
    base = {} if name == 'sweep' else config[name]
    config = {**config, name: {**base, **change}}
  with pytest.raises(UserError, match=text):
    build.build(config)


def test_a_model_without_an_objective_is_refused(lab):
  config = {**lab.tiny, 'train': {**lab.tiny['train'], 'loss': 'own'}}
  with pytest.raises(UserError, match='Transformer has none'):
    build.build(config)
