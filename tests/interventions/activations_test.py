"""Patching, ablating and swapping against what they must come to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.interventions import ablate
from jaxsynth.interventions.patch import patch
from jaxsynth.interventions.swap import swap
from jaxsynth.models.transformer import Transformer
from jaxsynth.types import Spec

B, T, V, H = 3, 5, 7, 2
SITES = [f'blocks.{i}.attn.z' for i in range(2)]


@functools.cache
def network(causal=False):
  model = Transformer(
    num_layers=2, d_model=8, num_heads=H, max_len=T, causal=causal
  )
  tokens = jax.ShapeDtypeStruct((T,), jnp.int32)
  spec = Spec(tokens, tokens, V, V)
  shapes = jax.eval_shape(lambda k: model.init(k, spec), jax.random.key(0))
  rng = np.random.default_rng(0)
  drawn = lambda seed: jax.tree.map(
    lambda x: jnp.asarray(0.4 * rng.standard_normal(x.shape), x.dtype), shapes
  )
  return drawn(0), drawn(1), jax.jit(model.apply)


def tokens(seed):
  return jnp.asarray(np.random.default_rng(seed).integers(0, V, (B, T)))


def differs(a, b):
  return float(abs(a - b).max()) > 1e-3


def test_patching_everything_a_block_writes_gives_the_clean_answer():
  params, _, apply = network()
  clean, corrupted = apply(params, tokens(0)), apply(params, tokens(1))
  sites = ['embed', *(f'blocks.{i}.{n}_out' for i in (0, 1)
                      for n in ('attn', 'mlp'))]  # fmt: skip
  edit = patch(clean.acts, dict.fromkeys(sites, 1.0))
  patched = apply(params, tokens(1), edit=edit).prediction
  np.testing.assert_allclose(patched, clean.prediction, atol=1e-5)
  assert differs(clean.prediction, corrupted.prediction)


def test_patched_heads_and_positions_are_those_and_no_others():
  params, _, apply = network()
  clean, own = apply(params, tokens(0)).acts, apply(params, tokens(1)).acts
  site = SITES[0]
  mask = ablate.where(site, clean[site].shape, heads=[1], positions=[0, 3])
  edit = patch(clean, {site: mask})
  got = apply(params, tokens(1), edit=edit).acts[site]
  expected = np.array(own[SITES[0]])
  for t in (0, 3):
    expected[:, t, 1] = clean[SITES[0]][:, t, 1]
  np.testing.assert_allclose(got, expected, atol=1e-6)


def test_marks_of_heads_are_traced_and_reach_from_nothing_to_all():
  params, _, apply = network()
  clean = apply(params, tokens(0)).acts

  @jax.jit
  @jax.vmap
  def predict(marks):
    masks = {site: ablate.of_heads(site, marks) for site in SITES}
    edit = patch(clean, masks)
    return apply(params, tokens(1), edit=edit).prediction

  swept = predict(jnp.array([[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [1.0, 1.0]]))
  own = apply(params, tokens(1)).prediction
  np.testing.assert_allclose(swept[0], own, atol=1e-6)
  shapes = {site: clean[site].shape for site in SITES}
  for row, heads in ((2, [0]), (3, None)):
    masks = {s: ablate.where(s, shape, heads) for s, shape in shapes.items()}
    edited = apply(params, tokens(1), edit=patch(clean, masks)).prediction
    np.testing.assert_allclose(swept[row], edited, atol=1e-6)
  assert all(differs(swept[i], swept[i + 1]) for i in range(3))


def test_patterns_are_masked_by_head_and_query():
  mask = ablate.where('blocks.0.attn.pattern', (B, H, T, T), [0], [2])
  assert mask.shape == (1, H, T, 1)
  np.testing.assert_array_equal(np.argwhere(mask)[0], [0, 0, 2, 0])
  assert float(mask.sum()) == 1
  stream = ablate.where('blocks.0.mlp_out', (B, T, 8), positions=[1, -1])
  np.testing.assert_array_equal(stream[0, :, 0], [0, 1, 0, 0, 1])


@pytest.mark.parametrize('head', range(H))
def test_zeroing_a_head_is_removing_its_rows_of_the_output_matrix(head):
  params, _, apply = network()
  mask = ablate.where(SITES[1], (B, T, H, 4), heads=[head])
  zeroed = apply(params, tokens(0), edit={SITES[1]: ablate.zero(mask)})
  rows = np.ones((8, 1), np.float32)
  rows[4 * head : 4 * head + 4] = 0
  pruned = jax.tree_util.tree_map_with_path(
    lambda path, x: (
      x * rows
      if [k.key for k in path] == ['blocks_1', 'attn', 'out', 'kernel']
      else x
    ),
    params,
  )
  expected = apply(pruned, tokens(0)).prediction
  np.testing.assert_allclose(zeroed.prediction, expected, atol=1e-5)


@pytest.mark.parametrize('causal', [False, True])
def test_uniform_attention_averages_the_values_in_reach(causal):
  params, _, apply = network(causal)
  site = 'blocks.0.attn.pattern'
  mask = ablate.where(site, (B, H, T, T), heads=[1])
  edit = {site: ablate.uniform(mask, T, causal)}
  acts = apply(params, tokens(0), edit=edit).acts
  values = np.asarray(acts['blocks.0.attn.v'])[:, :, 1]  # [B, T, C]
  for t in range(T):
    seen = values[:, : t + 1] if causal else values
    np.testing.assert_allclose(
      acts['blocks.0.attn.z'][:, t, 1], seen.mean(1), atol=1e-6
    )
  plain = apply(params, tokens(0)).acts[site]
  np.testing.assert_array_equal(acts[site][:, 0], plain[:, 0])


def test_a_mean_ablation_forgets_the_input_and_nothing_else():
  """One layer up, what was ablated is the same for every example."""
  params, _, apply = network()
  acts = apply(params, tokens(2)).acts
  site = 'blocks.0.attn_out'
  mask = ablate.where(site, acts[site].shape)
  edit = {site: ablate.mean(mask, acts[site])}
  got = np.asarray(apply(params, tokens(0), edit=edit).acts[site])
  expected = np.asarray(acts[site]).mean(0)
  np.testing.assert_allclose(got, np.stack([expected] * B), atol=1e-6)


def test_mistakes_of_edits_are_named():
  params, _, apply = network()
  acts = apply(params, tokens(0)).acts
  with pytest.raises(UserError, match=r"did you mean 'blocks\.0\.attn\.z'"):
    patch(acts, {'blocks.0.attn.zz': 1.0})
  shape = acts[SITES[0]].shape
  with pytest.raises(UserError, match=r'has no heads \[2\] of 2'):
    ablate.where(SITES[0], shape, heads=[0, 2])
  with pytest.raises(UserError, match=r'has no positions \[9\] of 5'):
    ablate.where(SITES[0], shape, positions=[9])
  with pytest.raises(UserError, match='choose an attn site'):
    ablate.where('blocks.0.mlp_out', (B, T, 8), heads=[0])


def test_a_swap_takes_a_component_and_its_complement_the_rest():
  params, other, apply = network()
  component = ['blocks_*.attn.*']
  one = swap(params, other, component)
  for name in ('q', 'k', 'v', 'out'):
    taken = one['blocks_1']['attn'][name]['kernel']
    np.testing.assert_array_equal(
      taken, other['blocks_1']['attn'][name]['kernel']
    )
  np.testing.assert_array_equal(
    one['blocks_0']['mlp']['in']['kernel'],
    params['blocks_0']['mlp']['in']['kernel'],
  )
  # Swapping the component back, or everything else as well, ends at an end.
  back = swap(one, params, component)
  rest = ['embed*', 'pos_embed*', 'blocks_*.mlp.*', '*ln*', 'unembed*']
  through = swap(one, other, rest)
  for got, expected in ((back, params), (through, other)):
    jax.tree.map(np.testing.assert_array_equal, got, expected)
  answers = [apply(p, tokens(0)).prediction for p in (params, one, other)]
  assert differs(answers[0], answers[1])
  assert differs(answers[1], answers[2])


def test_mistakes_of_swaps_are_named():
  params, other, _ = network()
  with pytest.raises(UserError, match=r"did you mean 'blocks_0\.attn"):
    swap(params, other, ['blocks_0.attn.q.kernl'])
  with pytest.raises(UserError, match='lists patterns'):
    swap(params, other, 'blocks_*')
  with pytest.raises(UserError, match='same names and shapes'):
    swap(params, other | {'more': jnp.ones(1)}, ['embed*'])
