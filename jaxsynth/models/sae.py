"""Sparse autoencoders: one linear decoder, four nonlinear encoders.

Each encoder is a projection of pre-codes onto a set, and so presumes a
geometry of concepts. With width w, inputs x in R^d, Â_d the decoder with
columns of unit norm, l = 1 / (2d):

  relu      z = relu(l (A_e (x - b_d) + b_e)),             x̂ = Â_d z + b_d
  jumprelu  u the same, z = u 1[u > theta], theta trained   likewise
  topk      u = relu(A_e (x - b_d)), z = l * (its k largest)   likewise
  spade     z = sparsemax(-l |x - a_i|^2), l trained,       x̂ = A_d z

Rows a_i of A_e are SpaDE's prototypes. All start from A_e ~ N(0, 1), A_d the
transpose of A_e, biases 0. The objective, a mean over examples,

  |x̂ - x|^2 + sparsity * penalty

has the penalty |z|_1 for relu, |z|_0 for jumprelu (with a straight-through
gradient), sum_i z_i |x - a_i|^2 for spade. topk has none; its latents that
were silent for many batches are revived by a second reconstruction, of the
residual, from the k largest of them.

Parameters:

  encoder.kernel [w, d]   encoder.bias [w]         relu, jumprelu
  decoder.kernel [w, d]   decoder.bias [d]         no bias for spade
  log_threshold [w]       jumprelu
  pre_scale []            spade: l = softplus(pre_scale)

Source: Hindupur, Lubana, Fel and Ba (2025), "Projecting Assumptions: The
Duality Between Sparse Autoencoders and Concept Geometry", arXiv 2503.01822,
and its code, Sai-Sumedh/SaeConceptDuality-SpaDE; topk and its revival: Gao et
al. (2024), arXiv 2406.04093.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError
from jaxsynth.models import _sparse
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.types import Array, Batch, Key, PyTree, Scalars, Spec

KINDS = ('relu', 'jumprelu', 'topk', 'spade')
# A code above this is active: L0 and F1 count these.
ACTIVE = 1e-6


@dataclasses.dataclass(frozen=True)
class SAE:
  """A sparse autoencoder of vectors [..., d]; see the module's docstring.

  | site               | shape    | what                                     |
  |--------------------|----------|------------------------------------------|
  | sae.pre            | [..., w] | what the projection is given             |
  | sae.codes          | [..., w] | z, nonnegative                           |
  | sae.reconstruction | [..., d] | x̂, the prediction                       |

  Attributes:
    kind: 'relu', 'jumprelu', 'topk' or 'spade'.
    width: latents w. Published: 128 and 512.
    sparsity: weight of the penalty; a sweep may trace it. topk has no use for
      it.
    k: active latents of an example; topk only.
    threshold: where JumpReLU's thresholds start.
    bandwidth: of its straight-through kernel.
    patience: batches without activity after which a latent of topk is revived.
    revival: weight of the second reconstruction of topk.
  """

  kind: str = 'relu'
  width: int = 128
  sparsity: float = 1e-3
  k: int = 12
  threshold: float = 1e-3
  bandwidth: float = 1e-3
  patience: int = 20
  revival: float = 1.0

  def __post_init__(self):
    _sparse.check_latents(
      self.kind, KINDS, self.width, self.k,
      sparsity=self.sparsity, revival=self.revival, patience=self.patience,
    )  # fmt: skip
    for name in ('threshold', 'bandwidth'):
      if not 0 < getattr(self, name) < math.inf:
        raise UserError(
          f'model.{name} must be positive, got {getattr(self, name)}'
        )

  @property
  def hparams(self) -> dict[str, float]:
    """The numbers of the objective that a sweep may trace."""
    return {} if self.kind == 'topk' else {'sparsity': self.sparsity}

  def check(self, spec: Spec) -> None:
    """Raises UserError unless targets are real vectors like the inputs."""
    _sparse.check_spec(spec)

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Parameters as listed in the module's docstring."""
    size = spec.inputs.shape[-1]
    rows = jax.random.normal(key, (self.width, size))
    params = {'encoder': {'kernel': rows}, 'decoder': {'kernel': rows}}
    if self.kind == 'spade':
      return params | {'pre_scale': jnp.log(jnp.expm1(_scale(size)))}
    params['decoder']['bias'] = jnp.zeros(size)
    if self.kind != 'topk':
      params['encoder']['bias'] = jnp.zeros(self.width)
    if self.kind == 'jumprelu':
      start = jnp.full(self.width, jnp.log(self.threshold))
      params['log_threshold'] = start
    return params

  def apply(
    self,
    params: PyTree,
    inputs: Array,
    *,
    edit: dict[str, Edit] | None = None,
    carry: PyTree = None,
    key: Key | None = None,
    fast: bool = False,
  ) -> Output:
    """Codes and reconstruction of vectors [..., d]; see `Model.apply`."""
    del key, fast
    acts: dict[str, Array] = {}
    pre = tap(acts, edit, 'sae.pre', self._pre(params, inputs))
    codes = tap(acts, edit, 'sae.codes', self._project(params, pre))
    out = codes @ self._decoder(params) + params['decoder'].get('bias', 0)
    out = tap(acts, edit, 'sae.reconstruction', out)
    check_edit(edit, acts)
    return Output(out, acts, carry)

  def memory(self, params: PyTree) -> Array:
    """What the objective remembers at first: batches since activity, [w]."""
    del params
    return jnp.zeros(self.width, jnp.int32)

  def objective(
    self,
    params: PyTree,
    batch: Batch,
    memory: Array,
    hparams: dict[str, Array],
  ) -> tuple[Array, Scalars, Array]:
    """The loss of each vector, see `train.objective`.

    Args:
      params: of the autoencoder.
      batch: inputs [B, ..., d]; weights [B, ...] say which vectors count.
      memory: batches since each latent was active, [w].
      hparams: traced values in place of this model's own.

    Returns:
      Losses [B, ...]; squared_error, penalty, l0 and dead (the share of
      silent latents, the same for all), each [B, ...]; the new memory.
    """
    sparsity = {**self.hparams, **hparams}.get('sparsity', 0.0)
    out = self.apply(params, batch.inputs)
    codes, pre = out.acts['sae.codes'], out.acts['sae.pre']
    error = batch.targets - out.prediction
    squared = jnp.square(error).sum(-1)
    penalty = self._penalty(params, batch.inputs, pre, codes)
    active = codes > ACTIVE
    seen = active & (batch.weights[..., None] > 0)
    fired = seen.reshape(-1, self.width).any(0)
    dead = memory >= self.patience
    loss = squared + sparsity * penalty
    if self.kind == 'topk' and self.revival:
      again = self._revived(params, pre, dead)
      missing = jnp.square(jax.lax.stop_gradient(error) - again).sum(-1)
      loss += self.revival * dead.any() * missing
    scalars = {
      'squared_error': squared,
      'penalty': penalty,
      'l0': active.sum(-1).astype(jnp.float32),
      'dead': jnp.broadcast_to(dead.mean(), squared.shape),
    }
    return loss, scalars, jnp.where(fired, 0, memory + 1)

  def _pre(self, params: PyTree, x: Array) -> Array:
    rows = params['encoder']['kernel']
    if self.kind == 'spade':
      return -jax.nn.softplus(params['pre_scale']) * _distances(x, rows)
    centred = x - params['decoder']['bias']
    pre = centred @ rows.T + params['encoder'].get('bias', 0)
    return pre if self.kind == 'topk' else _scale(x.shape[-1]) * pre

  def _project(self, params: PyTree, pre: Array) -> Array:
    if self.kind == 'spade':
      return _sparse.sparsemax(pre)
    positive = jax.nn.relu(pre)
    if self.kind == 'jumprelu':
      threshold = jnp.exp(params['log_threshold'])
      return _sparse.jump(positive, threshold, self.bandwidth)
    if self.kind == 'topk':
      size = params['decoder']['kernel'].shape[-1]
      return _scale(size) * _sparse.top_k(positive, self.k)
    return positive

  def _decoder(self, params: PyTree) -> Array:
    rows = params['decoder']['kernel']
    if self.kind == 'spade':
      return rows
    norm = jnp.sqrt(jnp.square(rows).sum(-1, keepdims=True))
    return rows / jnp.maximum(norm, 1e-6)

  def _penalty(self, params, x, pre, codes) -> Array:
    """[...] per vector."""
    if self.kind == 'spade':
      return (codes * _distances(x, params['encoder']['kernel'])).sum(-1)
    if self.kind == 'jumprelu':
      threshold = jnp.exp(params['log_threshold'])
      positive = jax.nn.relu(pre)
      return _sparse.exceeds(positive, threshold, self.bandwidth).sum(-1)
    return codes.sum(-1)

  def _revived(self, params: PyTree, pre: Array, dead: Array) -> Array:
    """The residual as the k largest pre-codes of dead latents see it."""
    silent = jax.nn.relu(pre) * dead
    codes = _scale(params['decoder']['bias'].size)
    codes *= _sparse.top_k(silent, self.k)
    return codes @ self._decoder(params)


def _scale(size: int) -> float:
  return 1 / (2 * size)


def _distances(x: Array, rows: Array) -> Array:
  """Squared distances [..., w] of vectors [..., d] to rows [w, d]."""
  squares = jnp.square(x).sum(-1, keepdims=True) + jnp.square(rows).sum(-1)
  return jnp.maximum(squares - 2 * x @ rows.T, 0)


MODEL = SAE
