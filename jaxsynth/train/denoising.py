"""The variational bound of a diffusion as a loss, with a learned schedule.

Batches of a denoising task hold points noised by a fixed schedule; predicting
their noise under 'mse' is DDPM. Here the same points, times and noise are
noised anew by the schedule among the parameters, gamma from params.schedule's
`start` to its `end`, both learned, and the loss is the bound of
`jaxsynth.diffusion` in bits per entry:

  loss = (diffusion + prior + reconstruction) / (entries log 2)

What depends on an example is a mean over examples, so batches may be cut.

Source: Kingma, Salimans, Poole and Ho (2021), arXiv 2107.00630, section 5.
"""

import math
from collections.abc import Callable

from jaxsynth import diffusion
from jaxsynth.errors import UserError
from jaxsynth.train import weights
from jaxsynth.types import Array, Batch, Key, PyTree, Scalars

NEEDED = ('clean', 'time', 'resolution')


def variational(
  apply: Callable, params: PyTree, batch: Batch, key: Key, t: Array
) -> tuple[Array, Scalars]:
  """The bound on -log2 p(x), in bits per entry of x.

  Args:
    apply: (params, inputs, key=) -> Output with the noise [B, ...].
    params: with schedule.start and schedule.end.
    batch: inputs as a denoiser reads them, the noise as targets, and in its
      info the clean points, their times and their resolution.
    key: handed to the model.
    t: the step; unused here.

  Returns:
    The loss; its parts in bits per entry, the mean squared error, and the
    ends of the schedule.

  Raises:
    UserError: the model has no schedule or the task no diffusion.
  """
  del t
  if 'schedule' not in params or any(k not in batch.info for k in NEEDED):
    raise UserError(
      "train.loss='variational' needs a denoiser (denoiser_mlp, unet) and a "
      'task of noisy points (concept_vectors, concept_images)'
    )
  start, end = params['schedule']['start'], params['schedule']['end']
  x, noise = batch.info['clean'], batch.targets
  size = math.prod(x.shape[1:])
  gamma = diffusion.linear(start, end, batch.info['time'])
  noisy = diffusion.noised(x, gamma, noise)
  inputs = {**batch.inputs, 'noisy': noisy, 'gamma': gamma}
  answered = apply(params, inputs, key=key).prediction
  bits = {
    'diffusion': diffusion.diffusion_loss(start, end, noise, answered),
    'prior': diffusion.prior_loss(x, end),
    'reconstruction': diffusion.reconstruction_loss(
      size, start, batch.info['resolution']
    ),
  }
  share = batch.weights.reshape(len(x), -1).mean(-1)
  parts = {
    name: weights.mean(value, share) / (size * math.log(2))
    for name, value in bits.items()
  }
  error = 2 * parts['diffusion'] * math.log(2) / (end - start)
  found = {'mse': error, 'start': start, 'end': end}
  return sum(parts.values()), {**parts, **found}
