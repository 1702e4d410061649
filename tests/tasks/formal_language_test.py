"""Sentences and their features against plain Python, and nltk's grammars."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.formal_language import PUBLISHED, FormalLanguage
from jaxsynth.tasks.lib import formal_features, grammar_lengths, grammars

LANGUAGES = formal_features.LANGUAGES
SPEECH = ('noun', 'verb', 'adjective', 'pronoun', 'adverb', 'conjunction')


def made(language, **options):
  task = FormalLanguage(language=language, eval_size=128, **options)
  draw = jax.jit(lambda key: task.evals(task.init(key), key)['held_out'])
  return task, jax.device_get(draw(jax.random.key(1)))


def depths(words):
  """(depth, kind of the innermost open bracket or None) after each word."""
  stack, out = [], []
  for word in words:
    side, kind = word[:-1], int(word[-1])
    if side == 'open':
      stack.append(kind)
    else:
      assert stack.pop() == kind
    out.append((len(stack), stack[-1] if stack else None))
  assert not stack
  return out


def operands(words):
  """Operands still to come after each word, by recursive descent."""
  arity = {'unary': 1, 'binary': 2, 'ternary': 3}
  missing, pending = [], []

  def expression(i):
    kind = words[i].rstrip('0123456789')
    pending.extend([None] * arity.get(kind, 0))
    missing.append(len(pending))
    i += 1
    for _ in range(arity.get(kind, 0)):
      pending.pop()
      i = expression(i)
    return i

  # What is open: the operands above, each popped when it begins.
  assert expression(0) == len(words)
  return missing


def expected(language, words):
  """Features of one sentence, by name."""
  kinds = [w.rstrip('0123456789') or 'digit' for w in words]
  out = {k: [float(x == k) for x in kinds] for k in set(kinds)}
  if language == 'expr':
    out['operands'] = operands(words)
  if language == 'dyck':
    state = depths(words)
    out['depth'] = [d for d, _ in state]
    for i in (0, 1):
      out[f'inside{i}'] = [float(k == i) for _, k in state]
  return out


@pytest.mark.parametrize('language', LANGUAGES)
def test_sequences_and_features_equal_plain_python(language):
  prefix = ('a', 'b', 'a')
  task, batch = made(language, max_words=14, prefix=prefix)
  P = len(prefix)
  whole = np.concatenate([batch.inputs, batch.targets[:, -1:]], 1)
  first = task.eos + 1
  np.testing.assert_array_equal(task.prompt, [first, first + 1, first])
  lengths = set()
  marks = batch.info['sentence'], batch.info['features']
  for row, weights, mask, features in zip(whole, batch.weights, *marks):
    n = int((row == task.eos).argmax()) - P
    lengths.add(n)
    np.testing.assert_array_equal(row[:P], task.prompt)
    assert (row[P + n + 1 :] == task.pad).all()
    words = task.grammar.decode(row[P : P + n])
    place = np.arange(len(row) - 1)
    np.testing.assert_array_equal(weights, (place >= P - 1) & (place < P + n))
    np.testing.assert_array_equal(mask, (place >= P) & (place < P + n))
    right = expected(language, words)
    for j, name in enumerate(task.features):
      truth = np.zeros(len(place))
      truth[P : P + n] = right.get(name, [0.0] * n)
      np.testing.assert_array_equal(features[:, j], truth, name)
  assert len(lengths) > 4


def test_every_feature_is_there_in_every_language():
  names = {n: FormalLanguage(language=n).features for n in LANGUAGES}
  assert names['dyck'] == ('depth', 'open', 'close', 'inside0', 'inside1')
  assert names['expr'] == ('operands', 'digit', 'unary', 'binary', 'ternary')
  assert set(names['english']) == set(SPEECH)


@pytest.mark.parametrize('language', LANGUAGES)
def test_what_is_drawn_reads_as_sentences_and_what_is_broken_does_not(language):
  task, batch = made(language, max_words=10)
  whole = jnp.concatenate([batch.inputs, batch.targets[:, -1:]], 1)
  read = jax.jit(task.read)
  tokens, length, valid = read(whole)
  assert valid.all()
  np.testing.assert_array_equal(length, batch.info['sentence'].sum(1))
  np.testing.assert_array_equal(tokens, whole[:, 1:])
  endless = jnp.where(whole == task.eos, 0, whole)
  special = whole.at[:, 1].set(task.pad)
  twice = jnp.concatenate([whole[:, :2], whole[:, 1:-1]], 1)
  for wrong in (endless, special):
    assert not read(wrong)[2].any()
  # A word said twice is allowed in some sentences of English only.
  share = float(read(twice)[2].mean())
  assert share < (0.6 if language == 'english' else 0.35)


def test_an_empty_sentence_is_none():
  task = FormalLanguage()
  row = np.full((1, task.length), task.pad)
  row[0, :1], row[0, 1] = task.prompt, task.eos
  _, length, valid = task.read(jnp.asarray(row))
  assert length[0] == 0
  assert not valid[0]


def test_unigram_is_how_often_words_are_drawn():
  task, batch = made('english', max_words=40)
  p = task.reference(None, batch)['unigram'][0, 0]
  counts = np.bincount(
    batch.targets[batch.weights > 0], minlength=task.spec.output_size
  )
  share = counts / counts.sum()
  assert abs(share - p).max() < 0.03
  assert p[task.pad] == 0
  assert p[task.eos] == pytest.approx(1 / (1 + 7.728571), rel=1e-4)


def test_mean_words_by_hand():
  """A pair of brackets in every second word; digits and operators of Expr."""
  dyck = grammar_lengths.expected_words(grammars.dyck(nesting=0.3))
  np.testing.assert_allclose(dyck, 7.368421 / 4, rtol=1e-6)
  expr = grammar_lengths.expected_words(grammars.expr())
  total = 1 / (1 - 0.4 * 2.01)  # expressions in all
  np.testing.assert_allclose(expr[:10], 0.06 * total)
  kinds = formal_features.kinds(grammars.expr())
  ternary = [n for n, k in zip(expr, kinds) if k == 'ternary']
  np.testing.assert_allclose(ternary, 0.4 * 0.34 / 3 * total)


def test_the_published_prefix_has_seven_tokens_of_six_kinds():
  task = FormalLanguage(prefix=PUBLISHED, max_words=110)
  assert len(task.prompt) == 7
  assert task.spec.vocab_size == 19 + 2 + 6
  assert task.length == 118


@pytest.mark.parametrize(
  ('options', 'text'),
  [
    ({'language': 'dick'}, "did you mean 'dyck'"),
    ({'prefix': ()}, 'at least one'),
    ({'prefix': 'Out:'}, 'list'),
    ({'eval_size': 0}, 'eval_size'),
    ({'language': 'dyck', 'max_words': 1}, 'shortest string'),
    ({'language': 'dyck', 'nesting': 0.6}, 'nesting'),
  ],
)
def test_impossible_languages_are_refused(options, text):
  with pytest.raises(UserError, match=text):
    FormalLanguage(**options)
