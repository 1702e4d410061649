"""Generation: the carry against recomputing, the law of samples, stopping."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxsynth.errors import UserError
from jaxsynth.generate import generate
from jaxsynth.models.base import Edit, Output
from jaxsynth.models.lstm import LSTM
from jaxsynth.models.transformer import Transformer
from jaxsynth.types import Spec

B, P, T, V = 5, 3, 11, 7
TOKENS = jax.ShapeDtypeStruct((T - 1,), jnp.int32)
SMALL = {'d_model': 16, 'num_heads': 2, 'max_len': T - 1}
MODELS = {
  'learned': Transformer(num_layers=2, **SMALL),
  'rotary': Transformer(num_layers=2, positions='rotary', **SMALL),
  'post': Transformer(num_layers=1, norm='post', tied=True, **SMALL),
  'lstm': LSTM(num_layers=2, d_model=16),
}


@functools.cache
def parameters(name, seed=0):
  """Large enough that what follows depends on all that came before."""
  params = MODELS[name].init(jax.random.key(seed), Spec(TOKENS, TOKENS, V, V))
  return jax.tree.map(lambda x: x * 6 if x.ndim > 1 else x, params)


def prompts(rows=B):
  return np.random.default_rng(0).integers(0, V, (rows, P)).astype(np.int32)


@functools.partial(jax.jit, static_argnames='model')
def logits_at(model, params, tokens, last, edit):
  """After position `last`; what stands behind it cannot be seen."""
  return model.apply(params, tokens, edit=edit).prediction[:, last]


def recomputed(model, params, tokens, length, edit=None):
  """Greedy decoding without a carry: the whole prefix is read every time."""
  out = np.zeros((len(tokens), length), np.int32)
  start = tokens.shape[1]
  out[:, :start] = tokens
  for t in range(start, length):
    logits = logits_at(model, params, jnp.asarray(out[:, :-1]), t - 1, edit)
    out[:, t] = logits.argmax(-1)
  return out


@pytest.mark.parametrize('name', MODELS)
def test_greedy_equals_recomputing_token_for_token(name):
  model, params = MODELS[name], parameters(name)
  out = generate(model, params, prompts(), T)
  expected = recomputed(model, params, prompts(), T)
  np.testing.assert_array_equal(out.tokens, expected)
  assert (out.lengths == T).all()
  assert len({tuple(row) for row in expected[:, P:].tolist()}) > 2


def test_an_edit_holds_at_every_token():
  model, params = MODELS['learned'], parameters('learned')
  edit = {'blocks.1.attn_out': Edit(keep=jnp.zeros(()))}
  out = generate(model, params, prompts(), T, edit=edit)
  expected = recomputed(model, params, prompts(), T, edit)
  np.testing.assert_array_equal(out.tokens, expected)
  assert (out.tokens != generate(model, params, prompts(), T).tokens).any()


@pytest.mark.parametrize('name', ['learned', 'lstm'])
def test_prompts_of_different_lengths_are_each_continued_as_alone(name):
  model, params = MODELS[name], parameters(name)
  given = np.asarray([1, 2, 3, 1, 2])
  out = generate(model, params, prompts(), T, given=given)
  for row, prompt, size in zip(np.asarray(out.tokens), prompts(), given):
    same = np.tile(prompt[:size], (B, 1))
    alone = recomputed(model, params, same, T)
    np.testing.assert_array_equal(row, alone[0])


@pytest.mark.parametrize('sampled', [False, True])
def test_mapped_over_runs_equals_run_by_run(sampled):
  model, runs = MODELS['learned'], [parameters('learned', s) for s in range(3)]
  stacked = jax.tree.map(lambda *x: jnp.stack(x), *runs)
  keys = jax.random.split(jax.random.key(1), 3)
  write = lambda p, k: generate(
    model, p, prompts(), T, key=k if sampled else None, stop=(0,)
  )
  together = jax.vmap(write)(stacked, keys)
  for i, params in enumerate(runs):
    alone = write(params, keys[i])
    np.testing.assert_array_equal(together.tokens[i], alone.tokens)
    np.testing.assert_array_equal(together.lengths[i], alone.lengths)


@dataclasses.dataclass(frozen=True)
class Chain:
  """A Markov chain as a model: its carry counts the tokens it has read."""

  def init_carry(self, batch_size, length):
    return jnp.zeros(batch_size, jnp.int32)

  def apply(self, params, inputs, *, edit=None, carry=None):
    return Output(params[inputs], {}, carry + inputs.shape[1])


ROWS = np.log([[0.1, 0.6, 0.3], [0.5, 0.25, 0.25], [0.05, 0.15, 0.8]])


@pytest.mark.parametrize('temperature', [0.5, 1.0, 2.0])
def test_samples_follow_the_tempered_softmax(temperature):
  """Every transition of a known chain, by a chi-square test of each row."""
  logits = jnp.asarray(ROWS, jnp.float32)
  write = jax.jit(
    lambda t: generate(
      Chain(), logits, jnp.zeros((4000, 1), jnp.int32), 9,
      key=jax.random.key(3), temperature=t,
    ).tokens
  )  # fmt: skip
  tokens = np.asarray(write(temperature))
  counts = np.zeros((3, 3))
  np.add.at(counts, (tokens[:, :-1], tokens[:, 1:]), 1)
  law = np.exp(ROWS / temperature)
  expected = counts.sum(1, keepdims=True) * law / law.sum(1, keepdims=True)
  assert counts.sum() == 4000 * 8
  for seen, wanted in zip(counts, expected):
    assert scipy.stats.chisquare(seen, wanted).pvalue > 1e-3


def test_positions_and_rows_are_sampled_independently():
  """Under one fair coin a position, pairs of positions or rows are uniform."""
  fair = jnp.zeros((2, 2))
  start = jnp.zeros((3000, 1), jnp.int32)
  out = generate(Chain(), fair, start, 4, key=jax.random.key(0))
  words = np.asarray(out.tokens)[:, 1:] @ [4, 2, 1]
  assert scipy.stats.chisquare(np.bincount(words, minlength=8)).pvalue > 1e-3
  pairs = words[:-1] * 8 + words[1:]
  assert scipy.stats.chisquare(np.bincount(pairs, minlength=64)).pvalue > 1e-3


def test_a_cold_sample_is_the_greedy_one():
  model, params = MODELS['rotary'], parameters('rotary')
  cold = generate(
    model, params, prompts(), T, key=jax.random.key(0), temperature=1e-4
  )
  greedy = generate(model, params, prompts(), T)
  np.testing.assert_array_equal(cold.tokens, greedy.tokens)


NEXT = jnp.log(jnp.eye(5)[jnp.asarray([1, 2, 3, 4, 0])] + 1e-6)  # 0 1 2 3 4 0


def test_a_stop_ends_its_row_and_only_its_row():
  start = jnp.asarray([[0, 1], [3, 4], [2, 3]], jnp.int32)
  out = generate(Chain(), NEXT, start, 6, stop=(4, 3), padding=9)
  # 3 in a prompt does not stop; 4 is written by the third row at once.
  expected = [[0, 1, 2, 3, 9, 9], [3, 4, 0, 1, 2, 3], [2, 3, 4, 9, 9, 9]]
  np.testing.assert_array_equal(out.tokens, expected)
  np.testing.assert_array_equal(out.lengths, [4, 6, 3])


def test_the_loop_ends_when_all_have_stopped():
  """The chain's carry shows how many tokens were read."""
  read = []

  @dataclasses.dataclass(frozen=True)
  class Counting(Chain):
    def apply(self, params, inputs, **kwargs):
      jax.debug.callback(lambda: read.append(1))
      return super().apply(params, inputs, **kwargs)

  start = jnp.zeros((2, 1), jnp.int32)
  out = generate(Counting(), NEXT, start, 50, stop=(2,))
  jax.block_until_ready(out)
  jax.effects_barrier()
  assert len(read) == 2


def test_a_prompt_of_full_length_comes_back():
  out = generate(Chain(), NEXT, jnp.asarray([[1, 1]]), 2)
  np.testing.assert_array_equal(out.tokens, [[1, 1]])


def test_what_cannot_write_is_refused():
  model, params = MODELS['learned'], parameters('learned')
  with pytest.raises(UserError, match='do not fit in a length 2'):
    generate(model, params, prompts(), 2)
  with pytest.raises(UserError, match='exceeds max_len 10'):
    generate(model, params, prompts(), T + 1)
  bare = dataclasses.make_dataclass('Bare', [], frozen=True)
  with pytest.raises(UserError, match='Bare has no init_carry'):
    generate(bare(), params, prompts(), T)
