"""Sparse autoencoders by recipe, with a loss for what latents cause.

For inputs x in R^d and w latents,

  relu       z = relu(W x)
  topk       z = the k largest of relu(W x)
  sparsemax  z = sparsemax(W x)
  x̂ = D^T z

with W and D [w, d]; with `bias`, x - b is encoded, W (x - b) + c, and b is
added to x̂. Recipes differ by what has unit norm:

  input           the vectors that are trained on, as inputs and as targets;
                  not those that `apply` is given
  decoder         the rows of D, where they are used
  reconstruction  x̂

The objective of a vector is

  mean_j (x̂_j - x_j)^2 + sparsity |z|_1 + causal min(t / ramp, 1) L_causal

The last term is there with `reach` > 0. It asks that moving a code part of the
way to another one moves the network's predictions as far. With c the nearest
other vector of the same sequence by |z - z_c|, s the reach, or with `drawn` one
of U(0, reach) for each vector, f(.) the predictions of the network that goes on
from activations, y those from the activations as they are, and all vectors of a
sequence moved at once,

  L_causal = distance(f(D^T (z + s (z_c - z))), y + s (y_c - y))

at the positions whose vectors count; 0 where there is no other vector. The
distances are those of `models._causal`; the factor of t, the updates done, is 1
without `ramp`.

Parameters: encoder.kernel [w, d], decoder.kernel [w, d]; with `bias` also
encoder.bias [w], decoder.bias [d]. Matrices start uniform in +-1 / sqrt(fan
in), biases at 0.

Source: Menon, Shrivastava, Krueger and Lubana (2024), "Analyzing (In)Abilities
of SAEs via Formal Languages", arXiv 2410.11767, and its code,
Abhinav271828/pcfg-sae-final and pcfg-sae-causal-arr-oct24. There |z|_1 is
summed over a batch, here it is a mean over its vectors: the published weight
times the number of vectors in a batch is the one here.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxsynth.errors import UserError, unknown
from jaxsynth.models import _causal, _sparse
from jaxsynth.models.base import Edit, Output, check_edit, tap
from jaxsynth.models.sae import ACTIVE
from jaxsynth.types import Array, Batch, Key, PyTree, Scalars, Spec

KINDS = ('relu', 'topk', 'sparsemax')
NORMS = ('input', 'decoder', 'reconstruction')


@dataclasses.dataclass(frozen=True)
class CausalSAE:
  """A sparse autoencoder of vectors [..., d]; see the module's docstring.

  | site               | shape    | what                                     |
  |--------------------|----------|------------------------------------------|
  | sae.pre            | [..., w] | W x, before the nonlinearity             |
  | sae.codes          | [..., w] | z, nonnegative                           |
  | sae.reconstruction | [..., d] | x̂, the prediction                       |

  Attributes:
    kind: 'relu', 'topk' or 'sparsemax'.
    width: latents w. Published: 1 to 8 times d.
    k: active latents of a vector at most; topk only.
    normalise: what has unit norm, of 'input', 'decoder', 'reconstruction'.
    bias: whether there are biases.
    sparsity: weight of |z|_1; a sweep may trace it.
    reach: s, or the largest; 0 leaves the causal loss out. Published: 0.02,
      0.2, and drawn up to 1.
    drawn: whether s is drawn for each vector.
    distance: 'mse' or 'kl'. Published: both.
    causal: weight of the causal loss; with `reach`, a sweep may trace it.
      Published: 1, 100, 0.5, and to 0.5 over a ramp.
    ramp: updates over which that weight grows linearly from 0; 0 for none.
    patience: batches without activity after which a latent counts as dead.
  """

  kind: str = 'relu'
  width: int = 128
  k: int = 16
  normalise: tuple[str, ...] = ()
  bias: bool = False
  sparsity: float = 0.0
  reach: float = 0.0
  drawn: bool = False
  distance: str = 'mse'
  causal: float = 0.0
  ramp: int = 0
  patience: int = 20

  def __post_init__(self):
    _sparse.check_latents(
      self.kind, KINDS, self.width, self.k, reach=self.reach,
      sparsity=self.sparsity, causal=self.causal, ramp=self.ramp,
      patience=self.patience,
    )  # fmt: skip
    if isinstance(self.normalise, str):
      raise UserError(
        f'model.normalise must list names, got {self.normalise!r}'
      )
    for name in self.normalise:
      if name not in NORMS:
        raise unknown('model.normalise', name, NORMS)
    if self.reach > 1:
      raise UserError(f'model.reach must be in 0..1, got {self.reach}')
    if self.distance not in _causal.DISTANCES:
      raise unknown('model.distance', self.distance, _causal.DISTANCES)
    if not self.asks and (self.drawn or self.ramp or self.causal):
      raise UserError(
        'model.drawn, model.ramp and model.causal are about the causal loss: '
        'they need a model.reach above 0'
      )
    if self.asks and {'input', 'reconstruction'} & set(self.normalise):
      raise UserError(
        'with model.reach reconstructions go back into the network: '
        "model.normalise can be ('decoder',) only"
      )

  @property
  def asks(self) -> bool:
    """Whether the objective asks the network what it predicts."""
    return self.reach > 0

  @property
  def hparams(self) -> dict[str, float]:
    """The numbers of the objective that a sweep may trace."""
    causal = {'causal': self.causal} if self.asks else {}
    return {'sparsity': self.sparsity, **causal}

  def check(self, spec: Spec) -> None:
    """Raises UserError unless targets are real vectors like the inputs."""
    _sparse.check_spec(spec)

  def init(self, key: Key, spec: Spec) -> PyTree:
    """Parameters as listed in the module's docstring."""
    size = spec.inputs.shape[-1]
    first, second = jax.random.split(key)
    uniform = lambda key, fan: jax.random.uniform(
      key, (self.width, size), minval=-(fan**-0.5), maxval=fan**-0.5
    )
    params = {
      'encoder': {'kernel': uniform(first, size)},
      'decoder': {'kernel': uniform(second, self.width)},
    }
    if self.bias:
      params['encoder']['bias'] = jnp.zeros(self.width)
      params['decoder']['bias'] = jnp.zeros(size)
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
    rows = params['encoder']['kernel']
    pre = (inputs - params['decoder'].get('bias', 0)) @ rows.T
    pre = tap(acts, edit, 'sae.pre', pre + params['encoder'].get('bias', 0))
    codes = tap(acts, edit, 'sae.codes', self._project(pre))
    out = tap(acts, edit, 'sae.reconstruction', self._decode(params, codes))
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
    network: Callable[[Array], Array] | None = None,
    key: Key | None = None,
    t: Array | int = 0,
  ) -> tuple[Array, Scalars, Array]:
    """The loss of each vector, see `train.objective`.

    Args:
      params: of the autoencoder.
      batch: inputs [B, ..., d]; weights [B, ...] say which vectors count.
        With `reach`, inputs [B, T, d].
      memory: batches since each latent was active, [w].
      hparams: traced values in place of this model's own.
      network: activations [B, T, d] -> predictions [B, T, V]; with `reach`.
      key: of the steps; with `drawn`.
      t: updates done; with `ramp`.

    Returns:
      Losses [B, ...]; mse, penalty, l0, dead (the share of silent latents,
      the same for all) and, with `reach`, causal_loss, each [B, ...]; the
      new memory.
    """
    weight = {**self.hparams, **hparams}
    x = _unit(batch.inputs) if 'input' in self.normalise else batch.inputs
    out = self.apply(params, x)
    codes = out.acts['sae.codes']
    active = codes > ACTIVE
    seen = active & (batch.weights[..., None] > 0)
    fired = seen.reshape(-1, self.width).any(0)
    mse = jnp.square(out.prediction - x).mean(-1)
    penalty = codes.sum(-1)
    scalars = {
      'mse': mse,
      'penalty': penalty,
      'l0': active.sum(-1).astype(jnp.float32),
      'dead': jnp.broadcast_to((memory >= self.patience).mean(), mse.shape),
    }
    loss = mse + weight['sparsity'] * penalty
    if self.asks:
      missed = self._causal_loss(params, batch, codes, network, key)
      scalars['causal_loss'] = missed
      loss += weight['causal'] * _causal.grown(t, self.ramp) * missed
    return loss, scalars, jnp.where(fired, 0, memory + 1)

  def _causal_loss(
    self,
    params: PyTree,
    batch: Batch,
    codes: Array,
    network: Callable[[Array], Array],
    key: Key | None,
  ) -> Array:
    """L_causal at every position, [B, T]."""
    counts = batch.weights > 0
    other, some = _causal.nearest(codes, counts)
    step = self.reach
    if self.drawn:
      step = _causal.drawn(self.reach, key, counts.shape)
    pick = lambda rows: jnp.take_along_axis(rows, other[..., None], 1)
    moved = codes + step * (pick(codes) - codes)
    spliced = jnp.where(
      counts[..., None], self._decode(params, moved), batch.inputs
    )
    clean = network(batch.inputs)
    wanted = clean + step * (pick(clean) - clean)
    missed = _causal.DISTANCES[self.distance](network(spliced), wanted)
    return jnp.where(some, missed, 0)

  def _project(self, pre: Array) -> Array:
    if self.kind == 'sparsemax':
      return _sparse.sparsemax(pre)
    positive = jax.nn.relu(pre)
    return _sparse.top_k(positive, self.k) if self.kind == 'topk' else positive

  def _decode(self, params: PyTree, codes: Array) -> Array:
    rows = params['decoder']['kernel']
    if 'decoder' in self.normalise:
      rows = _unit(rows)
    out = codes @ rows + params['decoder'].get('bias', 0)
    return _unit(out) if 'reconstruction' in self.normalise else out


def _unit(x: Array) -> Array:
  """Vectors along the last axis at norm one; 0 stays 0, with no gradient."""
  square = jnp.square(x).sum(-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.where(square > 0, square, 1))


MODEL = CausalSAE
