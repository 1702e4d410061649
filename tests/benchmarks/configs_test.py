"""The timed trainings: what is counted is what is trained."""

import jax
import pytest

from benchmarks import configs, ours, throughput
from jaxsynth.errors import UserError
from jaxsynth.train import sweep


@pytest.mark.parametrize('name', configs.SIZES)
def test_parameters_are_counted_as_the_model_makes_them(name):
  setup = ours.setup_of(name)
  spec = sweep.one(setup.sweep.runs()[0])
  params = jax.eval_shape(setup.program().init, spec)['params']
  counted = sum(x.size for x in jax.tree.leaves(params))
  assert counted == configs.size(name).parameters


@pytest.mark.parametrize('name', configs.SIZES)
def test_configs_train_what_their_size_says(name):
  size, setup = configs.size(name), ours.setup_of(name)
  assert setup.task.spec.inputs.shape == (size.length,)
  assert setup.task.spec.output_size == size.vocab
  assert setup.train.batch_size == size.batch
  assert len(setup.sweep.runs()) == size.runs
  rates = {r.hparams['optimizer.peak_lr'] for r in setup.sweep.runs()}
  assert len(rates) == size.runs


def test_flops_are_the_published_figures():
  gigaflops = {n: s.flops / 1e9 for n, s in configs.SIZES.items()}
  assert gigaflops == pytest.approx(
    {'tiny': 0.0257, 'small': 3.24, 'paper': 106.9}, rel=2e-3
  )


def test_floor_is_arithmetic_on_a_cpu_and_the_slower_of_two_elsewhere():
  size = configs.size('tiny')
  facts = {
    'platform': 'gpu',
    'matmul_flops_per_s': 10 * size.flops,
    'memory_bytes_per_s': 2 * size.bytes,
  }
  floor = throughput.floor_of(size, facts)
  assert floor == {'floor': 2.0, 'floor_bound': 'memory'}
  floor = throughput.floor_of(size, facts | {'platform': 'cpu'})
  assert floor == {'floor': 10.0, 'floor_bound': 'arithmetic'}


def test_unknown_names_are_refused():
  with pytest.raises(UserError, match="did you mean 'small'"):
    configs.size('smal')
  with pytest.raises(UserError, match='layout'):
    ours.setup_of('tiny', layout='mop')
