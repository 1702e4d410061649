"""Percolation on a bipartite graph: which pairs can be inferred from others.

Entities E and values K; an edge is a pair that was seen. A pair that was not
can be inferred if a path of seen pairs connects it: entities that share values
are alike, so what is said of one may be said of the other. D is the matrix of
seen pairs, and (D D^T)^n D has an entry wherever n such inferences lead.

If each of the |E| |K| pairs is seen with probability p, independently, the
shares S of entities and of values in the largest component solve, for large
sizes,

  S_E = 1 - exp(-p |K| S_K)     S_K = 1 - exp(-p |E| S_E)

for a node is outside if and only if all its neighbours are. Near zero the
product of the slopes is p^2 |E| |K|, so there is a positive solution if and
only if p > p_c = 1 / sqrt(|E| |K|). At p_c there are sqrt(|E| |K|) pairs: with
|E| fixed the transition needs |K|^(1/2) of them. Where no more than n entities
can have a value, a value leads to n - 1 others, and p_c is larger by
(1 - 1/n)^(-1/2): 7 % for the 8 of the published language.

Source: Lubana, Kawaguchi, Dick and Tanaka (2024), "A percolation model of
emergence", arXiv 2408.12578; the equations are those of Newman, Strogatz and
Watts (2001), Phys. Rev. E 64, 026118, for Poisson degrees.
"""

import jax
import jax.numpy as jnp

from jaxsynth.types import Array, Key

_HALVINGS = 60


def threshold(entities: Array, values: Array) -> dict[str, Array]:
  """Where the giant component appears.

  Args:
    entities: |E|, [...].
    values: |K|, [...].

  Returns:
    probability: p_c = 1 / sqrt(|E| |K|), [...].
    pairs: p_c |E| |K| = sqrt(|E| |K|), distinct pairs seen there, [...].
  """
  root = jnp.sqrt(jnp.asarray(entities, jnp.float32) * values)
  return {'probability': 1 / root, 'pairs': root}


def giant(probability: Array, entities: Array, values: Array) -> dict:
  """Shares of entities and values in the giant component, solved.

  Args:
    probability: p that a pair was seen, [...].
    entities: |E|, [...].
    values: |K|, [...].

  Returns:
    entities, values: S_E and S_K [...]; zero up to the threshold.
  """
  p = jnp.asarray(probability, jnp.float32)
  of_values = lambda share: -jnp.expm1(-p * entities * share)
  excess = lambda share: -jnp.expm1(-p * values * of_values(share)) - share
  shape = jnp.broadcast_shapes(p.shape, jnp.shape(entities), jnp.shape(values))

  def halve(_, bounds):
    low, high = bounds
    middle = (low + high) / 2
    above = excess(middle) > 0  # concave: positive before the root alone
    return jnp.where(above, middle, low), jnp.where(above, high, middle)

  bounds = (jnp.zeros(shape), jnp.ones(shape))
  low, high = jax.lax.fori_loop(0, _HALVINGS, halve, bounds)
  exists = p * p * entities * values > 1
  share = jnp.where(exists, (low + high) / 2, 0.0)
  return {'entities': share, 'values': of_values(share)}


def probability_at(share: Array, entities: Array, values: Array) -> Array:
  """The p at which the giant component holds this share of the entities.

  With S_E given, p |K| (1 - exp(-p |E| S_E)) = -log(1 - S_E), the left side of
  which grows with p.

  Args:
    share: S_E in (0, 1), [...].
    entities: |E|, [...].
    values: |K|, [...].

  Returns:
    p [...], above the threshold; at most 1 is looked for.
  """
  wanted = -jnp.log1p(-share)
  shape = jnp.broadcast_shapes(
    jnp.shape(share), jnp.shape(entities), jnp.shape(values)
  )

  def halve(_, bounds):
    low, high = bounds
    p = jnp.exp((low + high) / 2)
    below = -p * values * jnp.expm1(-p * entities * share) < wanted
    middle = (low + high) / 2
    return jnp.where(below, middle, low), jnp.where(below, high, middle)

  bounds = (jnp.full(shape, -30.0), jnp.zeros(shape))  # of log p
  low, high = jax.lax.fori_loop(0, _HALVINGS, halve, bounds)
  return jnp.exp((low + high) / 2)


def draws_for(pairs: Array, possible: Array) -> Array:
  """Draws with replacement until so many distinct pairs are expected.

  Of n draws among N pairs, N (1 - (1 - 1/N)^n) are distinct in the mean.

  Args:
    pairs: distinct pairs wanted, below N, [...].
    possible: N, pairs that occur at all, equally often, [...].

  Returns:
    n [...], real.
  """
  return jnp.log1p(-pairs / possible) / jnp.log1p(-1.0 / possible)


def largest_component(seen: Array) -> dict[str, Array]:
  """The largest component of a bipartite graph, by nodes of both kinds.

  Every node takes the lowest number among its own and its neighbours' until
  nothing changes; then a component is a number.

  Args:
    seen: D, bool or 0/1 [|E|, |K|].

  Returns:
    entities, values: its shares of them, [].
    inferable: share of all pairs both of which are in it, [].
  """
  E, K = seen.shape
  seen = seen.astype(bool)
  far = jnp.int32(E + 1)

  def spread(carry):
    label_E, _, _ = carry
    label_K = jnp.where(seen, label_E[:, None], far).min(0)
    next_E = jnp.where(seen, label_K, far).min(1)
    next_E = jnp.minimum(label_E, next_E)
    return next_E, label_K, (next_E != label_E).any()

  first = jnp.arange(E, dtype=jnp.int32)
  begun = (first, jnp.full(K, far), jnp.array(True))
  label_E, label_K, _ = jax.lax.while_loop(lambda c: c[2], spread, begun)
  count_E = (label_E[:, None] == first).sum(0)
  count_K = (label_K[:, None] == first).sum(0)
  best = (count_E + count_K).argmax()
  shares = count_E[best] / E, count_K[best] / K
  return {
    'entities': shares[0],
    'values': shares[1],
    'inferable': shares[0] * shares[1],
  }


def simulate(
  key: Key, probability: Array, entities: int, values: int
) -> dict[str, Array]:
  """The largest component when each pair was seen with probability p.

  Args:
    key: of the pairs, [].
    probability: p, [].
    entities: |E|, static.
    values: |K|, static.

  Returns:
    As `largest_component`: entities, values, inferable, each [].
  """
  uniform = jax.random.uniform(key, (entities, values))
  return largest_component(uniform < probability)


def inferred(seen: Array, rounds: int) -> Array:
  """Where (D D^T)^n D has an entry: pairs that n inferences lead to.

  Args:
    seen: D, bool or 0/1 [|E|, |K|].
    rounds: n, static.

  Returns:
    bool [|E|, |K|].
  """
  pairs = seen.astype(jnp.float32)
  alike = ((pairs @ pairs.T) > 0).astype(jnp.float32)
  made = pairs
  for _ in range(rounds):
    made = ((alike @ made) > 0).astype(jnp.float32)
  return made > 0


def exponent(sizes: Array, transitions: Array) -> dict[str, Array]:
  """How a transition scales: transition = prefactor * size^exponent.

  Least squares in the logarithms.

  Args:
    sizes: [n].
    transitions: where it happens at each size, positive, [n].

  Returns:
    exponent, prefactor: [].
    error: standard error of the exponent from the residuals, []; zero for
      two sizes.
  """
  x, y = jnp.log(sizes), jnp.log(transitions)
  away = x - x.mean()
  spread = (away**2).sum()
  slope = (away * y).sum() / spread
  residual = y - y.mean() - slope * away
  freedom = max(x.shape[0] - 2, 1)
  return {
    'exponent': slope,
    'prefactor': jnp.exp(y.mean() - slope * x.mean()),
    'error': jnp.sqrt((residual**2).sum() / freedom / spread),
  }


def examples(key: Key) -> dict[str, tuple]:
  """Small arguments for each public function, for the contract tests."""
  E, K = jnp.array([30.0, 50.0]), jnp.array([80.0, 60.0])
  seen = jax.random.uniform(key, (12, 20)) < 0.1
  p = 0.03 + 0.05 * jax.random.uniform(key, (2,))
  return {
    'threshold': (E, K * (1 + p)),
    'giant': (p, E, K),
    'probability_at': (p * 5, E, K),
    'draws_for': (p * 100, E),
    'largest_component': (seen,),
    'simulate': (key, p[0], 12, 20),
    'inferred': (seen, 2),
    'exponent': (jnp.array([1.0, 2.0, 4.0]), 1 + jax.random.uniform(key, (3,))),
  }
