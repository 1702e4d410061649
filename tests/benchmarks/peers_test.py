"""The PyTorch peers compute what we compute; needs the extra `bench`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import configs, ours
from benchmarks.peers.modes import Mode
from jaxsynth import rng
from jaxsynth.optim.optimizers import Optimizer
from jaxsynth.train import sweep
from jaxsynth.train.supervised import LOSSES

torch = pytest.importorskip('torch')

from benchmarks.peers import gpt, torch_best  # noqa: E402

SMALL = configs.Size(
  width=16, length=12, batch=6, vocab=10, tied=False, gelu='tanh', clip=0.01,
  runs=2, call_steps=2,
)  # fmt: skip


def names(size: configs.Size) -> dict[str, list[str]]:
  """Names in the peer -> paths of ours, joined along the outputs."""
  out = {
    'embed.weight': ['embed.embedding'],
    'positions.weight': ['pos_embed.embedding'],
    'ln.weight': ['ln_final.scale'],
    'ln.bias': ['ln_final.bias'],
  }
  if not size.tied:
    out['unembed.weight'] = ['unembed.kernel']
    out['unembed.bias'] = ['unembed.bias']
  for i in range(size.layers):
    ours, theirs = f'blocks_{i}.', f'blocks.{i}.'
    for ln in ('ln1', 'ln2'):
      out[f'{theirs}{ln}.weight'] = [f'{ours}{ln}.scale']
      out[f'{theirs}{ln}.bias'] = [f'{ours}{ln}.bias']
    out[f'{theirs}qkv.weight'] = [f'{ours}attn.{n}.kernel' for n in 'qkv']
    out[f'{theirs}qkv.bias'] = [f'{ours}attn.{n}.bias' for n in 'qkv']
    for name, path in (
      ('out', 'attn.out'),
      ('fc', 'mlp.in'),
      ('proj', 'mlp.out'),
    ):
      out[f'{theirs}{name}.weight'] = [f'{ours}{path}.kernel']
      out[f'{theirs}{name}.bias'] = [f'{ours}{path}.bias']
  return out


def as_theirs(tree, size) -> dict[str, np.ndarray]:
  """Our parameters (or gradients) under the peer's names and shapes."""

  def leaf(path):
    node = tree
    for part in path.split('.'):
      node = node.get(part) if node else None
    if node is None:  # keys have no bias
      return np.zeros(size.width, np.float32)
    value = np.asarray(node)
    return value.T if path.endswith('kernel') else value

  return {
    name: np.concatenate([leaf(p) for p in paths])
    for name, paths in names(size).items()
  }


def our_gradient(name: str):
  """(size, parameters, sequences, loss, gradient) of a config on one batch."""
  size, setup = configs.size(name), ours.setup_of(name)
  run = sweep.one(setup.sweep.runs()[0])
  init = jax.jit(lambda key: setup.model.init(key, setup.task.spec))
  params = init(rng.stream(run.seeds, 'init'))
  params = jax.tree.map(lambda x: x * 3 if x.ndim == 2 else x, params)

  @jax.jit
  def draw(seeds):
    chains = setup.task.init(rng.stream(seeds, 'task'))
    return setup.task.sample(chains, rng.stream(seeds, 'data'), 0, 4)

  batch = draw(run.seeds)

  def loss(params):
    fast = lambda p, x, key=None: setup.model.apply(p, x, fast=True)
    return LOSSES['cross_entropy'](fast, params, batch, None, 0)[0]

  value, grads = jax.jit(jax.value_and_grad(loss))(params)
  sequences = np.concatenate([batch.inputs[:, :1], batch.targets], 1)
  return size, params, sequences, float(value), grads


@pytest.mark.parametrize(
  'name',
  ['tiny', pytest.param('small', marks=pytest.mark.slow),
   pytest.param('paper', marks=pytest.mark.slow)],
)  # fmt: skip
def test_loss_and_gradient_are_ours(name):
  """The same weights on the same sequences, in either form of attention."""
  size, params, sequences, value, grads = our_gradient(name)
  weights = as_theirs(params, size)
  for manual in (False, True):
    model = gpt.GPT(size, manual)
    found = dict(model.named_parameters())
    assert found.keys() == weights.keys()
    with torch.no_grad():
      for n, p in found.items():
        p.copy_(torch.tensor(weights[n]))
    tokens = torch.tensor(sequences, dtype=torch.long)
    loss = gpt.cross_entropy(model(tokens[:, :-1]), tokens)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(value, rel=1e-5)
    for n, expected in as_theirs(grads, size).items():
      scale = max(np.abs(expected).max(), 1e-6)
      difference = np.abs(found[n].grad.numpy() - expected).max()
      assert difference < 3e-5 * scale, n


def trained(mode: str, steps: int = 3) -> list[np.ndarray]:
  """Parameters of two runs after some steps in a mode, from equal starts."""
  torch.manual_seed(1)
  together = torch_best.make(Mode.parse(mode), SMALL, [1e-3, 2e-3])
  torch.manual_seed(2)
  shape = (SMALL.runs, SMALL.batch, SMALL.length + 1)
  for _ in range(steps):
    together.step(torch.randint(0, SMALL.vocab, shape))
  if hasattr(together, '_runs'):
    each = [dict(m.named_parameters()) for m, _ in together._runs]
  elif hasattr(together, '_states'):
    each = [s.parameters for s in together._states]
  else:
    stacked = together._state.parameters
    each = [{n: p[r] for n, p in stacked.items()} for r in range(SMALL.runs)]
  flat = lambda run: torch.cat([run[n].flatten() for n in sorted(run)])
  return [flat(run).detach().numpy() for run in each]


def test_modes_train_the_same_networks(monkeypatch):
  """Microbatches, one graph with its own AdamW, and vmap change no maths.

  `compile` itself is left out: it takes most of a minute.
  """
  monkeypatch.setattr(torch, 'compile', lambda fn, mode=None: fn)
  monkeypatch.setattr(torch_best.gpt, 'GPT', _seeded(gpt.GPT))
  want = trained('eager')
  assert np.abs(want[0] - want[1]).max() > 1e-3  # two learning rates
  for mode in ('eager-mb2', 'full', 'full-mb2', 'vmap'):
    for one, other in zip(want, trained(mode)):
      np.testing.assert_allclose(other, one, atol=2e-5, err_msg=mode)


def _seeded(make):
  """Networks that all start alike, whatever was drawn before."""

  def seeded(*args, **kwargs):
    with torch.random.fork_rng():
      torch.manual_seed(3)
      return make(*args, **kwargs)

  return seeded


def test_optimizer_is_ours():
  """Two updates of AdamW from the same gradients."""
  rate, values = 0.01, np.asarray([0.5, -2.0, 0.0], np.float32)
  grads = np.asarray([[0.3, -1.0, 2.0], [-0.1, 0.5, 1e-4]], np.float32)
  setup = ours.setup_of('tiny')
  assert isinstance(setup.optimizer, Optimizer)
  chain = setup.optimizer.build({'peak_lr': rate})
  params, state = jnp.asarray(values), chain.init(jnp.asarray(values))
  p = torch.nn.Parameter(torch.tensor(values))
  optimizer = gpt.adamw([p], rate)
  for g in grads:
    updates, state = chain.update(jnp.asarray(g), state, params)
    params = params + updates
    p.grad = torch.tensor(g)
    optimizer.step()
  np.testing.assert_allclose(p.detach().numpy(), params, rtol=1e-5)


def test_chains_are_sampled_from_their_rows():
  """Transitions of many sequences of one chain against its matrix."""
  torch.manual_seed(0)
  chains = gpt.Chains(configs.size('small'))
  chains.prior = torch.ones_like(chains.prior)  # the first chain only
  tokens = chains.sample(2000)
  assert tokens.shape == (2000, 129)
  k = configs.STATES
  pairs = torch.bincount((tokens[:, :-1] * k + tokens[:, 1:]).flatten())
  counts = torch.nn.functional.pad(pairs, (0, k * k - len(pairs))).view(k, k)
  inner = chains.rows.view(configs.CHAINS, k, k - 1)[0]
  rows = torch.diff(inner, prepend=torch.zeros(k, 1), append=torch.ones(k, 1))
  found = counts / counts.sum(1, keepdim=True)
  assert (found - rows).abs().max() < 0.01
