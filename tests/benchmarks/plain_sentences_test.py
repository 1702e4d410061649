"""The plain generators do the same work: their strings have the same law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import plain_sentences
from jaxsynth.tasks.concept_percolation import ConceptPercolation
from jaxsynth.tasks.lib import concept_checks, grammar_lengths, grammars
from jaxsynth.tasks.lib import concept_words as words


def test_strings_follow_the_law_of_lengths():
  grammar = grammars.expr()
  one = plain_sentences.strings(grammar, 20)
  law = grammar_lengths.length_law(grammar, 20)
  seen = np.bincount([len(one()) for _ in range(4000)], minlength=21) / 4000
  expected = law / law.sum()
  error = np.sqrt(expected * (1 - expected) / 4000)
  assert (abs(seen - expected) <= 4.5 * error).all()


def test_sentences_are_those_of_the_task():
  """Every check holds, and each kind of token is as frequent."""
  task = ConceptPercolation(
    private=10, modifiers=3, seq_len=48, max_properties=4
  )
  key = jax.random.key(0)
  known = jax.jit(task.init)(key)
  inputs, targets, weights = plain_sentences.concept_percolation(
    task, known, 1500
  )()
  rows = jnp.asarray(np.concatenate([inputs, targets[:, -1:]], 1))
  tokens, length = concept_checks.sentence(rows, task._room)
  language = task.language
  assert concept_checks.grammatical(language, tokens, length).all()
  got = concept_checks.types(language, known, tokens, length)
  np.testing.assert_array_equal(got['verbs'], got['relative'])
  np.testing.assert_array_equal(got['values'], got['allowed'])
  ours = jax.jit(lambda k: task.sample(known, k, 0, 1500))(key)
  assert weights.sum(1).mean() == pytest.approx(
    float(ours.weights.sum(1).mean()), rel=0.04
  )
  kind = words.lexicon(language).kind
  share = lambda x, w: (
    np.bincount(
      kind[np.asarray(x)].ravel(), np.asarray(w).ravel(), len(words.KINDS)
    )
    / np.sum(w)
  )
  np.testing.assert_allclose(
    share(targets, weights), share(ours.targets, ours.weights), atol=0.012
  )
