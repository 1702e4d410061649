"""The transformer against PyTorch, its symmetries, and the algebra of edits."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.models.base import Edit
from jaxsynth.models.transformer import Transformer
from jaxsynth.types import Spec

GOLDEN = pathlib.Path(__file__).parents[1] / 'golden' / 'transformer.npz'
T, V, B = 7, 11, 3
SMALL = {'d_model': 16, 'num_heads': 2, 'max_len': 12}


def token_spec(length=T, vocab=V, output=V):
  tokens = jax.ShapeDtypeStruct((length,), jnp.int32)
  return Spec(tokens, tokens, vocab, output)


def vector_spec(width=3, output=2):
  vectors = jax.ShapeDtypeStruct((T, width), jnp.float32)
  targets = jax.ShapeDtypeStruct((T, output), jnp.float32)
  return Spec(vectors, targets, None, output)


def tokens(seed=0, length=T):
  return jnp.asarray(np.random.default_rng(seed).integers(0, V, (B, length)))


@functools.cache
def build(spec=None, **options):
  """A model, parameters far from initialisation, and a compiled apply."""
  model = Transformer(**(SMALL | options))
  init = functools.partial(model.init, spec=spec or token_spec())
  rng = np.random.default_rng(0)

  def draw(path, leaf):
    mean = 1.0 if path[-1].key == 'scale' else 0.0
    return jnp.asarray(mean + 0.3 * rng.standard_normal(leaf.shape), leaf.dtype)

  shapes = jax.eval_shape(init, jax.random.key(0))
  params = jax.tree_util.tree_map_with_path(draw, shapes)
  return model, params, jax.jit(model.apply, static_argnames='fast')


def golden_names():
  with np.load(GOLDEN) as data:
    return sorted({name.split('/')[0] for name in data.files})


@pytest.mark.parametrize('name', golden_names())
def test_logits_equal_pytorch(name):
  params = {}
  with np.load(GOLDEN) as data:
    options = json.loads(str(data[f'{name}/options']))
    inputs, expected = data[f'{name}/inputs'], data[f'{name}/logits']
    for path in data.files:
      if path.startswith(f'{name}/params/'):
        *parents, leaf = path.split('/')[2:]
        node = params
        for parent in parents:
          node = node.setdefault(parent, {})
        node[leaf] = jnp.asarray(data[path])
  model = Transformer(**options)

  @jax.jit
  def both(params):
    plain, fast = (model.apply(params, inputs, fast=f) for f in (False, True))
    return plain.prediction, fast.prediction

  for logits in both(params):
    np.testing.assert_allclose(logits, expected, atol=1e-5)
  # The file's parameters are all of ours, by name and shape.
  real = inputs.ndim == 3
  spec = Spec(
    jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype),
    None,
    None if real else params['embed']['embedding'].shape[0],
    expected.shape[-1],
  )
  ours = jax.eval_shape(lambda key: model.init(key, spec), jax.random.key(0))
  assert jax.tree.map(jnp.shape, ours) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize('fast', [False, True])
@pytest.mark.parametrize('causal', [False, True])
def test_a_token_reaches_the_past_only_without_the_mask(causal, fast):
  _, params, apply = build(causal=causal)
  before = tokens()
  after = before.at[:, 4].add(1) % V
  logits = [apply(params, x, fast=fast).prediction for x in (before, after)]
  change = abs(logits[0] - logits[1]).max((0, 2))
  assert (change[4:] > 1e-3).all()
  if causal:
    np.testing.assert_array_equal(change[:4], 0)
  else:
    assert (change[:4] > 1e-3).all()


def test_without_positions_a_full_network_permutes_with_its_inputs():
  _, params, apply = build(positions='none', causal=False)
  order = jnp.array([3, 1, 0, 6, 5, 2, 4])
  logits = apply(params, tokens()).prediction
  permuted = apply(params, tokens()[:, order]).prediction
  np.testing.assert_allclose(permuted, logits[:, order], atol=1e-5)
  assert abs(permuted - logits).max() > 1e-2
  _, params, apply = build(positions='learned', causal=False)
  broken = apply(params, tokens()[:, order]).prediction
  intact = apply(params, tokens()).prediction[:, order]
  assert abs(broken - intact).max() > 1e-2


@pytest.mark.parametrize(
  ('positions', 'relative'), [('rotary', True), ('learned', False)]
)
def test_rotary_scores_see_relative_positions_only(positions, relative):
  """Dropping the first two tokens moves the first block's scores along."""
  _, params, apply = build(positions=positions)
  site = 'blocks.0.attn.scores'
  scores = apply(params, tokens()).acts[site]
  shifted = apply(params, tokens()[:, 2:]).acts[site]
  difference = abs(scores[:, :, 2:, 2:] - shifted).max()
  assert (difference < 2e-5) == relative
  # The offset does matter: equal tokens at unequal distances score unequally.
  equal = apply(params, jnp.zeros((B, T), int)).acts[site]
  assert abs(equal[:, :, -1, 0] - equal[:, :, -1, -1]).max() > 1e-2


@pytest.mark.parametrize('positions', ['rotary', 'learned'])
def test_a_key_bias_acts_only_where_positions_are_rotary(positions):
  _, params, apply = build(positions=positions)
  rotary = positions == 'rotary'
  assert ('bias' in params['blocks_0']['attn']['k']) == rotary
  bias = jnp.linspace(-1, 1, 8)
  plain = apply(params, tokens()).prediction
  edit = {'blocks.0.attn.k': Edit(add=bias)}
  edited = apply(params, tokens(), edit=edit).prediction
  assert (abs(edited - plain).max() > 1e-3) == rotary


def test_zeroing_a_head_equals_removing_its_output_rows():
  _, params, apply = build()
  keep = jnp.array([1.0, 0.0])[:, None]  # [H, 1]
  edit = {'blocks.1.attn.z': Edit(keep=keep)}
  edited = apply(params, tokens(), edit=edit).prediction
  attn = params['blocks_1']['attn']
  kernel = attn['out']['kernel'].at[8:].set(0.0)
  attn = attn | {'out': attn['out'] | {'kernel': kernel}}
  pruned = params | {'blocks_1': params['blocks_1'] | {'attn': attn}}
  expected = apply(pruned, tokens()).prediction
  np.testing.assert_allclose(edited, expected, atol=1e-5)
  assert abs(edited - apply(params, tokens()).prediction).max() > 1e-2


def test_patching_the_stream_carries_the_other_run_over():
  _, params, apply = build()
  site = 'blocks.0.resid_post'
  other = apply(params, tokens(1))
  patch = {site: Edit(keep=jnp.zeros(()), add=other.acts[site])}
  patched = apply(params, tokens(0), edit=patch).prediction
  np.testing.assert_allclose(patched, other.prediction, atol=1e-5)


def test_zeroed_scores_attend_uniformly_to_the_past():
  _, params, apply = build()
  edit = {'blocks.0.attn.scores': Edit(keep=jnp.zeros(()))}
  pattern = apply(params, tokens(), edit=edit).acts['blocks.0.attn.pattern']
  uniform = np.tril(np.ones((T, T))) / np.arange(1, T + 1)[:, None]
  np.testing.assert_allclose(
    pattern, np.broadcast_to(uniform, pattern.shape), atol=1e-6
  )


def test_strengths_vmap_in_one_compile():
  model, params, _ = build()
  direction = jax.random.normal(jax.random.key(5), (16,))
  traces = []

  @jax.jit
  def steer(strength):
    traces.append(1)
    edit = {'blocks.0.resid_mid': Edit(add=strength * direction)}
    return model.apply(params, tokens(), edit=edit).prediction

  strengths = jnp.array([-1.0, 0.0, 2.0])
  swept = jax.jit(jax.vmap(steer))(strengths)
  assert len(traces) == 1
  singly = jnp.stack([steer(s) for s in strengths])
  np.testing.assert_allclose(swept, singly, atol=1e-5)
  assert abs(swept[0] - swept[2]).max() > 1e-2


def test_unknown_and_fused_sites_are_refused():
  model, params, _ = build()
  trace = lambda site, fast: jax.eval_shape(
    lambda edit: model.apply(params, tokens(), edit=edit, fast=fast),
    {site: Edit(keep=jnp.ones(()))},
  )
  with pytest.raises(UserError, match=r"did you mean 'blocks\.0\.attn\.k'"):
    trace('blocks.0.attn.kk', False)
  with pytest.raises(UserError, match='fast=False'):
    trace('blocks.1.attn.pattern', True)
  trace('blocks.1.attn.pattern', False)


@pytest.mark.parametrize(
  ('length', 'options'),
  [
    (70, {'num_layers': 1}),  # one block of 64 rows and a part
    (T, {'positions': 'rotary', 'causal': False, 'num_layers': 1}),
  ],
)
def test_fast_equals_plain(length, options):
  spec = token_spec(length)
  model, params, _ = build(spec, max_len=length, **options)
  inputs = tokens(length=length)
  weights = jax.random.normal(jax.random.key(9), (B, length, V))

  def loss(params, fast):
    out = model.apply(params, inputs, fast=fast)
    return (out.prediction * weights).mean(), out.acts

  compute = jax.value_and_grad(loss, has_aux=True)
  compute = jax.jit(compute, static_argnums=1)
  (plain, acts), plain_grads = compute(params, False)
  (fast, fast_acts), fast_grads = compute(params, True)
  np.testing.assert_allclose(fast, plain, rtol=1e-5, atol=1e-6)
  inside = {
    f'blocks.{i}.attn.{name}'
    for i in range(model.num_layers)
    for name in ('scores', 'pattern')
  }
  assert set(acts) - set(fast_acts) == inside
  for name, act in fast_acts.items():
    np.testing.assert_allclose(act, acts[name], rtol=1e-4, atol=3e-5)
  for a, b in zip(jax.tree.leaves(fast_grads), jax.tree.leaves(plain_grads)):
    np.testing.assert_allclose(a, b, atol=3e-5 * float(abs(b).max()))


@pytest.mark.parametrize(
  ('options', 'spec'),
  [
    ({'positions': 'rotary'}, token_spec()),
    ({'norm': 'post'}, token_spec()),
    ({'mlp_ratio': 0.0}, vector_spec()),
  ],
)
def test_decoding_with_a_cache_equals_the_full_forward(options, spec):
  model, params, apply = build(spec, **options)
  inputs = tokens()
  if spec.vocab_size is None:
    inputs = jax.random.normal(jax.random.key(0), (B, T, 3))
  full = apply(params, inputs)
  carry = model.init_carry(B, T + 2)  # longer than needed
  pieces = []
  for start, stop in ((0, 3), (3, 4), (4, 5), (5, 6), (6, 7)):
    out = apply(params, inputs[:, start:stop], carry=carry)
    carry = out.carry
    pieces.append(out.prediction)
  decoded = jnp.concatenate(pieces, axis=1)
  np.testing.assert_allclose(decoded, full.prediction, atol=1e-5)
  assert int(carry['position']) == T
  assert full.carry is None


def test_a_cache_needs_a_causal_network_and_room():
  with pytest.raises(UserError, match='causal=True'):
    Transformer(causal=False).init_carry(1, 4)
  with pytest.raises(UserError, match='max_len 12'):
    Transformer(**SMALL).init_carry(1, 13)
  model, params, _ = build()
  with pytest.raises(UserError, match='cache'):
    model.apply(params, tokens(), carry=model.init_carry(B, T - 1))


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('tied', [True, False])
@pytest.mark.parametrize('positions', ['rotary', 'learned', 'none'])
@pytest.mark.parametrize('norm', ['pre', 'post'])
@pytest.mark.parametrize('mlp_ratio', [0.0, 1.5])
def test_parameter_count(bias, tied, positions, norm, mlp_ratio):
  D, L, F, N = 16, 3, int(mlp_ratio * 16), 12
  options = dict(bias=bias, tied=tied, positions=positions, norm=norm)
  model = Transformer(num_layers=L, mlp_ratio=mlp_ratio, **SMALL, **options)
  spec = token_spec()
  shapes = jax.eval_shape(lambda k: model.init(k, spec), jax.random.key(0))
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  norms = (1 + bool(F)) * L + (norm == 'pre')
  biases = L * (3 * D + (positions == 'rotary') * D) + norms * D
  biases += bool(F) * L * (F + D) + (not tied) * V
  expected = V * D * (1 if tied else 2) + N * D * (positions == 'learned')
  expected += L * (4 * D * D + 2 * D * F) + norms * D + bias * biases
  assert count == expected


@pytest.mark.parametrize('scale', [{}, {'init_std': 0.1}])
def test_initial_scales_are_those_of_gpt2(scale):
  model = Transformer(num_layers=2, d_model=64, num_heads=2, **scale)
  params = model.init(jax.random.key(0), token_spec())
  block, std = params['blocks_1'], scale.get('init_std', 0.02)
  stds = {
    std: [block['attn']['q'], block['mlp']['in']],
    std / 2: [block['attn']['out'], block['mlp']['out']],  # sqrt(2 L) = 2
  }
  for name in ('embed', 'pos_embed'):
    np.testing.assert_allclose(params[name]['embedding'].std(), std, rtol=0.1)
  for std, layers in stds.items():
    for layer in layers:
      np.testing.assert_allclose(layer['kernel'].std(), std, rtol=0.05)
      np.testing.assert_array_equal(layer['bias'], 0)
  np.testing.assert_array_equal(block['ln1']['scale'], 1)


def test_bfloat16_rounds_products_but_keeps_the_stream():
  model, params, apply = build(dtype='bfloat16')
  exact = build()[2](params, tokens())
  for fast in (False, True):
    out = apply(params, tokens(), fast=fast)
    assert out.acts['blocks.0.attn.q'].dtype == jnp.bfloat16
    assert out.acts['blocks.1.resid_post'].dtype == jnp.float32
    assert out.prediction.dtype == jnp.float32
    error = abs(out.prediction - exact.prediction).max()
    assert 1e-5 < error < 0.05 * abs(exact.prediction).max()
  carry = model.init_carry(B, T)
  decoded = apply(params, tokens(), carry=carry).prediction
  np.testing.assert_allclose(decoded, out.prediction, atol=0.2)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'norm': 'prenorm'}, "unknown norm 'prenorm'.*'pre'"),
    ({'positions': 'rotry'}, "did you mean 'rotary'"),
    ({'activation': 'gelu_tan'}, "did you mean 'gelu_tanh'"),
    ({'dtype': 'float16'}, "unknown dtype 'float16'"),
    ({'num_heads': 3}, 'num_heads 3 must divide d_model 64'),
    ({'num_heads': 0}, 'num_heads must be at least 1'),
    ({'num_layers': -1}, 'must not be negative'),
    ({'init_std': 0.0}, 'init_std must be positive'),
    (
      {'positions': 'rotary', 'd_model': 6, 'num_heads': 2},
      'even head width, got 3',
    ),
  ],
)
def test_impossible_shapes_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    Transformer(**options)


def test_misfit_tasks_are_refused():
  model = Transformer(**SMALL)
  with pytest.raises(UserError, match='sequence of 13 exceeds max_len 12'):
    model.check(token_spec(13))
  Transformer(positions='rotary').check(token_spec(1000))
  with pytest.raises(UserError, match='one sequence'):
    model.check(token_spec()._replace(vocab_size=None))
  with pytest.raises(UserError, match='tied=False'):
    Transformer(tied=True).check(token_spec(output=V + 1))
  _, params, _ = build()
  with pytest.raises(UserError, match='max_len'):
    model.apply(params, tokens(length=13))
