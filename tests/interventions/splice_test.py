"""Splices: what passes through an autoencoder, and what it writes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.generate import generate
from jaxsynth.interventions.splice import Splice, clamp
from jaxsynth.models.base import Edit
from jaxsynth.models.causal_sae import CausalSAE
from jaxsynth.models.transformer import Transformer
from jaxsynth.types import Spec

D, T = 6, 8
SITE = 'blocks.0.resid_post'
TOKENS = jax.ShapeDtypeStruct((T,), jnp.int32)
MODEL = Transformer(
  num_layers=2, d_model=D, num_heads=2, max_len=T, init_std=0.5
)
SAE = CausalSAE(kind='topk', width=2 * D, k=3)


@pytest.fixture(scope='module')
def parts():
  params = MODEL.init(jax.random.key(0), Spec(TOKENS, TOKENS, 5, 5))
  inside = jax.ShapeDtypeStruct((T, D), jnp.float32)
  found = SAE.init(jax.random.key(1), Spec(inside, inside, None, D))
  prompts = jax.random.randint(jax.random.key(2), (4, 2), 0, 5)
  return params, found, prompts


def identity():
  """An autoencoder that rebuilds everything."""
  rows = jnp.concatenate([jnp.eye(D), -jnp.eye(D)])
  params = {'encoder': {'kernel': rows}, 'decoder': {'kernel': rows}}
  return Splice(CausalSAE(kind='relu', width=2 * D), params)


def test_what_follows_is_that_of_the_reconstruction(parts):
  params, found, prompts = parts
  acts = MODEL.apply(params, prompts).acts
  rebuilt = SAE.apply(found, acts[SITE]).prediction
  edit = {SITE: Edit(keep=jnp.zeros(()), add=rebuilt)}
  spliced = MODEL.apply(params, prompts, edit={SITE: Splice(SAE, found)})
  np.testing.assert_allclose(
    spliced.prediction, MODEL.apply(params, prompts, edit=edit).prediction,
    atol=1e-6,
  )  # fmt: skip
  assert not np.allclose(spliced.prediction, acts['logits'], atol=1e-2)


def test_a_perfect_autoencoder_writes_what_the_network_writes(parts):
  params, found, prompts = parts
  key = jax.random.key(3)
  write = lambda edit: generate(MODEL, params, prompts, T, key=key, edit=edit)
  plain = write(None).tokens
  np.testing.assert_array_equal(write({SITE: identity()}).tokens, plain)
  assert (write({SITE: Splice(SAE, found)}).tokens != plain).any()


def test_spliced_writing_equals_the_whole_pass(parts):
  """Each token is the likeliest after the spliced network read those before."""
  params, found, prompts = parts
  edit = {SITE: Splice(SAE, found)}
  tokens = generate(MODEL, params, prompts, T, edit=edit).tokens
  logits = MODEL.apply(params, tokens[:, :-1], edit=edit).prediction
  np.testing.assert_array_equal(logits.argmax(-1)[:, 1:], tokens[:, 2:])


def test_a_clamped_latent_has_its_value_and_the_others_theirs(parts):
  found = parts[1]
  x = jax.random.normal(jax.random.key(4), (3, D))
  codes = SAE.apply(found, x).acts['sae.codes']
  held = jnp.asarray(codes).at[:, 7].set(2.5)
  rebuilt = jax.jit(lambda i, v: Splice(SAE, found, clamp(i, v, 2 * D))(x))
  np.testing.assert_allclose(
    rebuilt(7, 2.5), held @ found['decoder']['kernel'], atol=1e-5
  )
  # Traced latents and values map, so all of them are one compile.
  many = jax.vmap(rebuilt)(jnp.arange(2 * D), jnp.full(2 * D, 2.5))
  np.testing.assert_allclose(many[7], rebuilt(7, 2.5), atol=1e-5)
  assert len({float(v.sum()) for v in many}) > D


def test_a_splice_at_a_site_that_is_not_there_is_refused(parts):
  params, found, prompts = parts
  with pytest.raises(UserError, match='did you mean'):
    generate(MODEL, params, prompts, T, edit={SITE + 'x': Splice(SAE, found)})
