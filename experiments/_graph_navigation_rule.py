"""The additive rule of a network of one layer, read from its weights.

A network of one attention layer with one head, no MLP and no biases predicts
from the stream at the current node c

  x = e(c) + sum_t a_t O V LN1(e_t),     e_t = E[token t] + P[t].

If nothing mattered but the goal and the current node, each by itself, the
order of the candidates j for the next node would be that of

  <v(g) + v(c) + r, u(j)>,
  v(g) = a(g) O V LN1(E[g] + P_goal),
  v(c) = E[c] + P + a(c) O V LN1(E[c] + P),

with a(g) the mean attention to a goal g and a(c) that of a current node c to
itself, P the mean of the position vectors where nodes of a trace stand, u(j)
the output vector of j under the last norm's scale, and r what the other
tokens add, a mean over all contexts. The last norm divides all candidates
alike.

Source: the mechanism of Khona et al. (2024), arXiv 2402.07757, as reviews of
it describe it: <v(goal) + v(current), u(candidate)>. The means a, P and r are
our reading of it.
"""

import jax.numpy as jnp
from jax.ops import segment_sum

from jaxsynth.tasks.graph_navigation import PROMPT
from jaxsynth.tasks.lib import graphs
from jaxsynth.types import Array, PyTree

GOAL_AT = 1
EPS = 1e-5


def _layer_norm(x: Array, scale: Array) -> Array:
  centred = x - x.mean(-1, keepdims=True)
  variance = jnp.square(centred).mean(-1, keepdims=True)
  return centred / jnp.sqrt(variance + EPS) * scale


def vectors(
  params: PyTree, num_nodes: int, to_goal: Array, to_self: Array, place: Array
) -> tuple[Array, Array, Array]:
  """The vectors of the rule.

  Args:
    params: of a transformer of one block without MLP and biases.
    num_nodes: N.
    to_goal: a(g), [N] or one number.
    to_self: a(c), [N] or one number.
    place: P, [D].

  Returns:
    v(g) [N, D], v(c) [N, D], u [D, N].
  """
  embed = params['embed']['embedding'][:num_nodes]
  position = params['pos_embed']['embedding']
  block = params['blocks_0']
  unembed = params['unembed']['kernel'][:, :num_nodes]
  out = params['ln_final']['scale'][:, None] * unembed
  out = out - out.mean(0)  # a mean of the stream says nothing

  def moved(stream):
    h = _layer_norm(stream, block['ln1']['scale'])
    return h @ block['attn']['v']['kernel'] @ block['attn']['out']['kernel']

  column = lambda a: jnp.broadcast_to(a, (num_nodes,))[:, None]
  here = embed + place
  of_goal = column(to_goal) * moved(embed + position[GOAL_AT])
  return of_goal, here + column(to_self) * moved(here), out


def additive(task, model, size: int):
  """The analysis of the rule, against the graph and against the network.

  Its contexts are the places of traces of unseen pairs where a next node has
  to be written.

  Args:
    task: a GraphNavigation, stepwise.
    model: of one layer with one head, no MLP, no biases.
    size: traces.

  Returns:
    fn(params, ctx) -> of_goal [N, N] and distance [N, N]: <v(g), u(j)>, and
    edges from j (second) to g (first), NaN without a path; rank [N] of nodes;
    shares of contexts: network_valid, whose best candidate of the network is
    an edge; rule_valid, of the rule; rule_leads, an edge that leads to the
    goal; agrees, of those of network_valid, that the rule decides alike;
    valid_everywhere: rule_valid over all (node, goal) with a path between;
    attention [2]: to the goal and to the current node.
  """
  n = task.num_nodes

  def measure(params, ctx):
    world = ctx.constants['task_params']
    source, goal = task.pairs(world, ctx.key, size, 'unseen', True)
    nodes = task.traces(world, ctx.key, source, goal).nodes
    tokens = task.documents(world, source, goal, nodes)
    out = model.apply(params, tokens[:, :-1])
    at = jnp.arange(PROMPT, PROMPT + task.longest)
    pattern = out.acts['blocks.0.attn.pattern'][:, 0]  # [B, T, T]

    # One row for each place of a trace, weight 0 where nothing follows.
    weight = ((nodes >= 0) & (nodes != goal[:, None])).ravel() * 1.0
    now = jnp.maximum(nodes, 0).ravel()
    aim = jnp.repeat(goal, task.longest)
    mean = lambda x: (x * weight).sum() / weight.sum()

    def of_token(x, token):
      total, count = (segment_sum(y, token, n) for y in (x * weight, weight))
      return jnp.where(count > 0, total / jnp.maximum(count, 1), mean(x))

    to_goal = pattern[:, at, GOAL_AT].ravel()
    to_self = pattern[:, at, at].ravel()
    places = weight.reshape(nodes.shape).sum(0)
    place = places @ params['pos_embed']['embedding'][at] / places.sum()
    v_goal, v_node, u = vectors(
      params, n, of_token(to_goal, aim), of_token(to_self, now), place
    )
    stream = out.acts['blocks.0.resid_post'][:, at].reshape(len(now), -1)
    rest = weight @ (stream - v_goal[aim] - v_node[now]) / weight.sum()

    of_goal, of_node = v_goal @ u, (v_node + rest) @ u
    best = (of_goal[:, None] + of_node).argmax(-1)  # [goal, node]
    asked = (world.paths.T > 0) & ~jnp.eye(n, dtype=bool)
    valid = world.edges[jnp.arange(n), best] > 0
    rule = best[aim, now]
    chosen = out.prediction[:, at, :n].argmax(-1).ravel()
    network_valid = world.edges[now, chosen] > 0
    return {
      'of_goal': of_goal,
      'distance': graphs.distances(world.edges).T,
      'rank': world.rank,
      'network_valid': mean(network_valid),
      'rule_valid': mean(valid[aim, now]),
      'rule_leads': mean(valid[aim, now] & (world.paths[rule, aim] > 0)),
      'agrees': mean(network_valid & (rule == chosen)) / mean(network_valid),
      'valid_everywhere': (valid & asked).sum() / asked.sum(),
      'attention': jnp.stack([mean(to_goal), mean(to_self)]),
    }

  return measure
