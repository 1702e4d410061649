"""What the knowledge edits share: memories, facts, target values, layers.

A linear layer is read as a memory: at some position its input k is a *key*
and its output v = k W + b the *value* that it has for it. A knowledge edit

  reads      the key k* of a fact, the mean of k over prefixes
  optimises  the value v* that makes the network give the new answer,

               argmin_v  mean over prefixes of -log p(answer | value = v)
                         + decay |v - v_0|^2 / |v_0|^2

             by Adam, with |v - v_0| <= most |v_0|; v_0 is the mean of k W + b
  updates    W, in closed form, so that k* W + b comes to v*, or near it

The methods differ in the update: `interventions.rome`, `memit`, `alpha_edit`
and `pmet`. Several memories share one change: what is missing in the stream
below the last of them is read anew before each, and a part of it, by how many
are still to come, is written into that one.

All are pure functions of parameters and arrays, and map over facts.

Source: Meng, Bau, Andonian and Belinkov (2022), "Locating and Editing Factual
Associations in GPT", arXiv 2202.05262, equation 4; Meng, Sen Sharma, Andonian,
Belinkov and Bau (2023), "Mass-Editing Memory in a Transformer", arXiv
2210.07229, section 4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit
from jaxsynth.types import Array, PyTree

# Eigenvalues of a second moment are raised to this share of the largest:
# float32 has no more digits of them.
FLOOR = 1e-6


class Memory(NamedTuple):
  """A linear layer, by the names of its activations and its parameters.

  Attributes:
    key: site of its input, [B, T, F].
    value: site of its output, [B, T, D].
    stream: site of the sum that its output goes into, [B, T, D].
    path: where its kernel [F, D] lies, and its bias [D] if it has one.
  """

  key: str
  value: str
  stream: str
  path: tuple[str, ...]


def mlp(block: int) -> Memory:
  """What the MLP of a block of `models.transformer` (pre-norm) writes."""
  site = f'blocks.{block}'
  return Memory(
    f'{site}.mlp.post',
    f'{site}.mlp_out',
    f'{site}.resid_post',
    (f'blocks_{block}', 'mlp', 'out'),
  )


class Fact(NamedTuple):
  """One fact after P prefixes, and the answer that it is to have.

  Attributes:
    inputs: tokens [P, T].
    subject: the position whose key and value are edited, int32 [P].
    question: the position whose prediction is the answer, int32 [P].
    answer: the new answer, int32 [].
  """

  inputs: Array
  subject: Array
  question: Array
  answer: Array


class Descent(NamedTuple):
  """How target values are found.

  Attributes:
    steps: updates of Adam, at most.
    rate: its learning rate, in units of |v_0|.
    decay: of the change, see the module's docstring.
    most: bound of |v - v_0| / |v_0|.
    enough: the descent rests where -log p is below this.
  """

  steps: int = 25
  rate: float = 0.05
  decay: float = 0.01
  most: float = 4.0
  enough: float = 0.05


def layer(params: PyTree, memory: Memory) -> PyTree:
  """The kernel [F, D], and the bias [D] if there is one, of a memory.

  Raises:
    UserError: there is no such layer.
  """
  for name in memory.path:
    if name not in params:
      raise UserError(f'the network has no layer {".".join(memory.path)}')
    params = params[name]
  return params


def written(params: PyTree, memory: Memory, change: Array) -> PyTree:
  """The parameters with `change` [F, D] added to the kernel of a memory."""
  kernel = layer(params, memory)['kernel'] + change

  def replaced(tree: PyTree, path: tuple[str, ...]) -> PyTree:
    if not path:
      return {**tree, 'kernel': kernel}
    return {**tree, path[0]: replaced(tree[path[0]], path[1:])}

  return replaced(params, memory.path)


def read(
  apply: Callable, params: PyTree, fact: Fact, sites: Sequence[str]
) -> list[Array]:
  """Activations at the subject, means over prefixes: [width] for each site."""
  acts = apply(params, fact.inputs).acts
  rows = jnp.arange(len(fact.subject))
  return [acts[site][rows, fact.subject].mean(0) for site in sites]


def moment(
  apply: Callable, params: PyTree, memory: Memory, inputs: Array
) -> Array:
  """The second moment E[k k^T] of the keys at all positions, [F, F].

  Args:
    apply: of the model.
    params: of the model.
    memory: which layer.
    inputs: what the model reads, [B, T].
  """
  keys = apply(params, inputs).acts[memory.key]
  keys = keys.reshape(-1, keys.shape[-1])
  return keys.T @ keys / len(keys)


def floored(moment_FF: Array) -> tuple[Array, Array]:
  """Eigenvalues [F], none below FLOOR of the largest, and vectors [F, F]."""
  values, vectors = jnp.linalg.eigh(moment_FF)
  return jnp.maximum(values, FLOOR * values[-1]), vectors


def target(
  apply: Callable,
  params: PyTree,
  sites: Sequence[str],
  fact: Fact,
  descent: Descent,
) -> list[Array]:
  """Finds how the values of a fact must change for its new answer.

  Args:
    apply: of the model.
    params: of the model.
    sites: of the values that are set together: one, but for PMET.
    fact: one fact.
    descent: how.

  Returns:
    v* - v_0 for each site, [D].
  """
  first = read(apply, params, fact, sites)
  sizes = [jnp.linalg.norm(v) for v in first]
  here_PT = jnp.arange(fact.inputs.shape[1]) == fact.subject[:, None]
  here_PT1 = here_PT[..., None].astype(first[0].dtype)
  rows = jnp.arange(len(fact.question))

  def loss(changes: list[Array]) -> tuple[Array, Array]:
    values = [v + s * u for v, s, u in zip(first, sizes, changes)]
    edit = {
      site: Edit(keep=1 - here_PT1, add=here_PT1 * v)
      for site, v in zip(sites, values)
    }
    logits = apply(params, fact.inputs, edit=edit).prediction
    asked = logits[rows, fact.question]
    surprise = -jax.nn.log_softmax(asked)[:, fact.answer].mean()
    decay = sum(jnp.square(u).sum() for u in changes)
    return surprise + descent.decay * decay, surprise

  def bounded(change: Array) -> Array:
    norm = jnp.linalg.norm(change)
    return change * jnp.minimum(1.0, descent.most / jnp.maximum(norm, 1e-9))

  adam = optax.adam(descent.rate)

  def step(carry, _):
    changes, state = carry
    grads, surprise = jax.grad(loss, has_aux=True)(changes)
    moves, state = adam.update(grads, state)
    moved = [bounded(u + m) for u, m in zip(changes, moves)]
    rests = surprise < descent.enough
    keep = lambda old, new: jnp.where(rests, old, new)
    return jax.tree.map(keep, carry, (moved, state)), None

  start = [jnp.zeros_like(v) for v in first]
  (changes, _), _ = jax.lax.scan(
    step, (start, adam.init(start)), length=descent.steps
  )
  return [s * u for s, u in zip(sizes, changes)]


def spread(
  apply: Callable,
  params: PyTree,
  memories: Sequence[Memory],
  facts: Fact,
  changes: Array,
  update: Callable[[int, Array, Array], Array],
  share: Callable[[int], float],
) -> PyTree:
  """Writes changes of the stream into several memories, first to last.

  Args:
    apply: of the model.
    params: of the model.
    memories: in the order of the network.
    facts: E of them, every leaf leads with E.
    changes: of the stream below the last memory, [E, D].
    update: update(i, keys [E, F], residuals [E, D]) -> what to add to the
      kernel of memory i, [F, D].
    share: share(memories that remain, this one counted) -> what a residual is
      divided by.

  Returns:
    The parameters after the edit.
  """
  last = memories[-1].stream
  wanted = None
  for i, memory in enumerate(memories):
    # One pass through the network for both.
    stream, keys = jax.vmap(
      lambda f, p=params, m=memory: read(apply, p, f, [last, m.key])
    )(facts)
    wanted = stream + changes if wanted is None else wanted
    residuals = (wanted - stream) / share(len(memories) - i)
    params = written(params, memory, update(i, keys, residuals))
  return params
