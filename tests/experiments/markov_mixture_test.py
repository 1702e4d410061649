"""The numbers the study's claims are judged on, from made-up divergences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxsynth.experiments import _markov_mixture_measures as measures
from jaxsynth.experiments import _markov_mixture_numbers as numbers
from jaxsynth.models.base import Output
from jaxsynth.tasks.markov_mixture import MarkovMixture
from jaxsynth.trajectory.mapping import Context

ALGORITHMS = ['uni_ret', 'uni_inf', 'bi_ret', 'bi_inf', 'uniform']


def divergences(rows, dim='snapshot'):
  """KL [dim, algorithm] from rows in the order of ALGORITHMS."""
  return xr.DataArray(
    np.asarray(rows, float), dims=(dim, 'algorithm'),
    coords={'algorithm': ALGORITHMS},
  )  # fmt: skip


UNTRAINED = [0.5, 0.6, 0.9, 0.9, 0.01]
UNIGRAM = [0.05, 0.2, 0.5, 0.4, 0.1]
BIGRAM = [0.5, 0.4, 0.3, 0.1, 0.8]


def test_margin_is_runner_up_over_own():
  kl = divergences([BIGRAM]).isel(snapshot=0)
  assert float(numbers.margin(kl, 'bi_inf')) == pytest.approx(3.0)
  assert float(numbers.margin(kl, 'bi_ret')) == pytest.approx(1 / 3)


def test_phase_order_needs_both_phases_in_order():
  there = numbers.phase_order(divergences([UNTRAINED, UNIGRAM, BIGRAM]))
  assert float(there) == pytest.approx(min(np.log(0.1 / 0.05), np.log(4)))
  for rows in (
    [UNTRAINED],
    [UNTRAINED, BIGRAM],  # no unigram phase: the uniform prediction was nearer
    [UNTRAINED, BIGRAM, UNIGRAM],  # the wrong order
    [UNTRAINED, UNIGRAM, UNIGRAM],  # never a bigram end
  ):
    assert float(numbers.phase_order(divergences(rows))) < 0


def test_retrieval_then_inference_by_context():
  short, long = [0.1, 0.3, 0.2, 0.4, 1], [0.4, 0.5, 0.6, 0.1, 1]
  right = numbers.retrieval_then_inference(
    divergences([short, long], 'context')
  )
  assert float(right) == pytest.approx(min(np.log(3), np.log(4)))
  for rows in ([long, short], [short, short], [long, long]):
    wrong = numbers.retrieval_then_inference(divergences(rows, 'context'))
    assert float(wrong) < 0


def test_rise_and_loss_after_the_low():
  kl = xr.DataArray(
    [[3.0, 1.0, 2.0], [3.0, 2.0, 1.0]],
    dims=('run', 'snapshot'),
    coords={'snapshot': [0, 10, 100]},
  )
  assert numbers.rise_after_low(kl).values.tolist() == [2.0, 1.0]
  loss = xr.DataArray(
    [[1.6, 1.5, 1.2], [1.6, 1.4, 1.3]],
    dims=('run', 'eval_step'),
    coords={'run': [0, 1], 'eval_step': [0, 10, 100]},
  )
  change = numbers.loss_after_low(kl, loss)
  np.testing.assert_allclose(change.values, [-0.3, 0.0])


def test_bands_tile_the_contexts():
  assert measures.bands(15) == [(1, 1), (2, 3), (4, 7), (8, 15)]
  for length in (2, 9, 63, 64, 511):
    covered = [n for a, b in measures.bands(length) for n in range(a, b + 1)]
    assert covered == list(range(1, length + 1))


@pytest.fixture(scope='module')
def world():
  """A small task, and a context whose model *is* one of its algorithms."""
  task = MarkovMixture(
    num_states=3, seq_len=16, max_chains=4, eval_size=64, aligned_reps=16
  )
  chains = task.init(jax.random.key(0), num_chains=4)
  evals = task.evals(chains, jax.random.key(1))

  def context(algorithm):
    def apply(params, inputs, **kwargs):
      batch = evals['fresh']._replace(inputs=inputs)
      known = task.reference(chains, batch)[algorithm]
      return Output(jnp.log(known), {})

    constants = {'task_params': chains, 'evals': evals}
    step = jnp.arange(1)
    return Context(apply, constants, {}, evals, step, jax.random.key(2))

  return task, context


@pytest.mark.parametrize('algorithm', ['uni_ret', 'bi_ret', 'bi_inf'])
def test_a_model_that_is_an_algorithm_is_found_to_be_it(world, algorithm):
  """No distance to itself, the whole weight, and the algorithm's own KL."""
  task, context = world
  params = {'none': jnp.zeros(1)}  # one snapshot
  out = measures.competition(task)(params, context(algorithm))
  own = measures.CANDIDATES.index(algorithm)
  late = np.asarray(out['kl_to'][0, :, -1])  # [S, A]
  assert (late.argmin(-1) == own).all()
  np.testing.assert_allclose(late[:, own], 0, atol=1e-5)
  assert (np.asarray(out['weights'][0, :, own]) > 0.9).all()
  lengths = (2, 15)
  matrices = measures.aligned(task, lengths)(params, context(algorithm))
  np.testing.assert_allclose(
    matrices['kl'][0], matrices['algorithm_kl'][..., own], atol=1e-5
  )
