"""From the results of the study `markov_mixture` to one number per seed.

Each function reduces labelled divergences in nats to the number a claim is
judged on; dimensions it does not name stay.
"""

import numpy as np
import xarray as xr


def at(data: xr.DataArray, size: int) -> xr.DataArray:
  """The runs trained on `size` chains, named by their seed."""
  kept = data.isel(run=np.flatnonzero(data['task_num_chains'].values == size))
  return kept.assign_coords(run=kept['seed_init'].values)


def margin(kl: xr.DataArray, algorithm: str) -> xr.DataArray:
  """The least KL among the others over that of `algorithm`."""
  return kl.drop_sel(algorithm=algorithm).min('algorithm') / kl.sel(
    algorithm=algorithm
  )


def _least(kl: xr.DataArray, *algorithms: str) -> xr.DataArray:
  return kl.sel(algorithm=list(algorithms)).min('algorithm')


def phase_order(kl: xr.DataArray) -> xr.DataArray:
  """How clearly a unigram phase precedes a bigram end; positive if it does.

  Args:
    kl: KL(model || algorithm), dimensions snapshot and algorithm.

  Returns:
    The lesser of max over snapshots of log(others / unigram), uniform among
    the others, and log(unigram / bigram) at the end.
  """
  unigram = _least(kl, 'uni_ret', 'uni_inf')
  bigram = _least(kl, 'bi_ret', 'bi_inf')
  early = np.log(_least(kl, 'bi_ret', 'bi_inf', 'uniform') / unigram)
  late = np.log(unigram / bigram).isel(snapshot=-1)
  return np.minimum(early.max('snapshot'), late)


def retrieval_then_inference(kl: xr.DataArray) -> xr.DataArray:
  """The lesser of retrieval's lead in the shortest contexts and inference's
  in the longest, as log-ratios of KL; dimension context."""
  lead = np.log(
    _least(kl, 'uni_inf', 'bi_inf') / _least(kl, 'uni_ret', 'bi_ret')
  )
  return np.minimum(lead.isel(context=0), -lead.isel(context=-1))


def rise_after_low(kl: xr.DataArray) -> xr.DataArray:
  """The last KL over the least one, over snapshots."""
  return kl.isel(snapshot=-1, drop=True) / kl.min('snapshot')


def loss_after_low(kl: xr.DataArray, loss: xr.DataArray) -> xr.DataArray:
  """Change of the training loss from the snapshot of the least KL to the end.

  Args:
    kl: dimensions run and snapshot.
    loss: dimensions run and eval_step, averaged since the last evaluation.
  """
  steps = kl['snapshot'].isel(snapshot=kl.argmin('snapshot'))
  low = loss.sel(eval_step=steps.values.tolist())
  picked = xr.DataArray(np.diagonal(low.values), dims='run')
  return loss.isel(eval_step=-1, drop=True).drop_vars('run') - picked
