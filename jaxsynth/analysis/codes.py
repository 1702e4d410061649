"""What sparse codes say of known concepts: F1, L0, error, co-occurrence.

A latent is *active* where its code exceeds 1e-6. For a concept c and a
latent i, over examples x,

  F1(c, i) = 2 #(x in c, z_i active) / (#(x in c) + #(z_i active))

and a concept's score is the mean of its best few latents. L0 is the number of
active latents of an example. Latents co-occur as far as their codes point the
same way over examples, S_ij = <z_i, z_j> / |z_i| |z_j|.

Source: Hindupur, Lubana, Fel and Ba (2025), arXiv 2503.01822, section on
experiments and its code; the participation ratio as a dimension: Gao and
Ganguli (2015), Current Opinion in Neurobiology 32.
"""

import jax
import jax.numpy as jnp

from jaxsynth.models.sae import ACTIVE
from jaxsynth.types import Array, Key


def _members(concept: Array, count: int) -> Array:
  """[N, C]: which concept each example has."""
  return jax.nn.one_hot(concept, count)


def _over(sums: Array, counts: Array) -> Array:
  """sums / counts, 0 where nothing was counted."""
  return jnp.where(counts > 0, sums / jnp.where(counts > 0, counts, 1), 0)


def f1(codes: Array, concept: Array, count: int) -> Array:
  """F1 of every latent as a detector of every concept.

  Args:
    codes: nonnegative [N, L].
    concept: of each example, [N], in 0..count-1.
    count: concepts C.

  Returns:
    [C, L], in [0, 1]; 0 for a latent that is never active.
  """
  active = (codes > ACTIVE).astype(codes.dtype)
  members = _members(concept, count)
  both = members.T @ active
  return _over(2 * both, members.sum(0)[:, None] + active.sum(0))


def best_f1(codes: Array, concept: Array, count: int, best: int = 5) -> Array:
  """The mean F1 of each concept's best latents.

  Args:
    codes: nonnegative [N, L].
    concept: of each example, [N].
    count: concepts C.
    best: latents averaged, at most L.

  Returns:
    [C].
  """
  return jax.lax.top_k(f1(codes, concept, count), best)[0].mean(-1)


def l0(codes: Array, concept: Array, count: int) -> Array:
  """Mean number of active latents, by concept.

  Args:
    codes: nonnegative [N, L].
    concept: of each example, [N].
    count: concepts C.

  Returns:
    [C].
  """
  active = (codes > ACTIVE).sum(-1).astype(codes.dtype)
  members = _members(concept, count)
  return _over(active @ members, members.sum(0))


def nmse(
  inputs: Array, reconstruction: Array, concept: Array, count: int
) -> Array:
  """Squared error over variance, by concept: 1 for its mean, 0 if perfect.

  Args:
    inputs: [N, d].
    reconstruction: [N, d].
    concept: of each example, [N].
    count: concepts C.

  Returns:
    [C].
  """
  members = _members(concept, count)
  sizes = members.sum(0)
  centres = _over(members.T @ inputs, sizes[:, None])
  total = jnp.square(inputs - centres[concept]).sum(-1) @ members
  return _over(jnp.square(inputs - reconstruction).sum(-1) @ members, total)


def participation(inputs: Array, concept: Array, count: int) -> Array:
  """The dimension of each concept's cloud, (tr C)^2 / tr C^2.

  With n equal variances and N points of a concept it is n / (1 + n / N) for
  large N.

  Args:
    inputs: [N, d].
    concept: of each example, [N].
    count: concepts C.

  Returns:
    [C]; 0 for a concept without extent.
  """
  members = _members(concept, count)
  sizes = members.sum(0)
  centres = _over(members.T @ inputs, sizes[:, None])
  apart = inputs - centres[concept]

  def one(belongs):
    cov = (apart * belongs[:, None]).T @ apart
    return _over(jnp.square(jnp.trace(cov)), jnp.square(cov).sum())

  return jax.vmap(one, in_axes=1)(members)


def cosines(rows: Array) -> Array:
  """Cosine similarity of rows; 0 with a row of zeros.

  Args:
    rows: [M, K].

  Returns:
    [M, M].
  """
  norm = jnp.sqrt(jnp.square(rows).sum(-1, keepdims=True))
  unit = _over(rows, norm)
  return unit @ unit.T


def stable_rank(codes: Array) -> Array:
  """tr(S) / |S|_2 of the cosines S of examples: into how many groups they fall.

  Examples of k equal groups, alike within and orthogonal between, have k.

  Args:
    codes: [N, L].

  Returns:
    One number, shape [].
  """
  norm = jnp.sqrt(jnp.square(codes).sum(-1, keepdims=True))
  unit = _over(codes, norm)
  # The larger Gram matrix has the same spectrum.
  top = jnp.linalg.eigvalsh(unit.T @ unit)[-1]
  return _over(jnp.square(unit).sum(), top)


def crossing(codes: Array, concept: Array, count: int) -> Array:
  """How much of the latents' co-occurrence is between different concepts.

  A latent belongs to the concept with the largest sum of its codes. Zero means
  that the matrix of cosines between latents, sorted by concept, is block
  diagonal.

  Args:
    codes: nonnegative [N, L].
    concept: of each example, [N].
    count: concepts C.

  Returns:
    The share of sum_{i != j} S_ij with i and j of different concepts, shape
    [], in [0, 1]; 0 if no latents co-occur.
  """
  home = (_members(concept, count).T @ codes).argmax(0)
  similar = cosines(codes.T) * (1 - jnp.eye(codes.shape[1]))
  apart = home[:, None] != home
  return _over((similar * apart).sum(), similar.sum())


def examples(key: Key) -> dict[str, tuple]:
  """Arguments for every function here; see tests/contracts."""
  a, b, c = jax.random.split(key, 3)
  codes = jax.nn.relu(jax.random.normal(a, (12, 6)))
  concept = jax.random.randint(b, (12,), 0, 3)
  inputs = jax.random.normal(c, (12, 4))
  labelled = (codes, concept, 3)
  return {
    'f1': labelled,
    'best_f1': (*labelled, 2),
    'l0': labelled,
    'nmse': (inputs, 0.5 * inputs, concept, 3),
    'participation': (inputs, concept, 3),
    'cosines': (inputs,),
    'stable_rank': (codes,),
    'crossing': labelled,
  }
