"""Strings of grammars: drawn, recognised, scored; nltk is the judge."""

import itertools

import jax
import jax.numpy as jnp
import nltk
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import grammar as lib
from jaxsynth.tasks.lib import grammar_lengths, grammar_parse, grammar_sample
from jaxsynth.tasks.lib.grammars import counter, dyck, english, expr

TANGLED = lib.build(
  {
    'S': [(0.5, 'A'), (0.3, 'a S b A'), (0.2, 'b')],
    'A': [(0.25, 'S'), (0.25, 'B'), (0.5, 'a a')],
    'B': [(0.4, 'A'), (0.6, 'b B a')],
  }
)
# Without the cycle of unit rules, in which nltk finds no end of trees.
UNTANGLED = lib.build(
  {
    'S': [(0.5, 'A'), (0.3, 'a S b A'), (0.2, 'b')],
    'A': [(0.25, 'B'), (0.25, 'a S'), (0.5, 'a a')],
    'B': [(0.4, 'a b'), (0.6, 'b B a')],
  }
)
GRAMMARS = {
  'dyck': dyck(1, 0.4),
  'expr': expr(2, 1),
  'english': english(1),
  'untangled': UNTANGLED,
}


def draw(grammar, num, max_len, seed=0):
  tables = grammar_sample.tables(grammar)
  go = jax.jit(lambda key: grammar_sample.sample(tables, key, num, max_len))
  return jax.tree.map(np.asarray, go(jax.random.key(seed)))


def as_nltk(grammar):
  symbol = lambda s: (
    grammar.terminals[s]
    if s < len(grammar.terminals)
    else nltk.Nonterminal(grammar.nonterminals[s - len(grammar.terminals)])
  )
  words = len(grammar.terminals)
  rules = [
    nltk.ProbabilisticProduction(
      symbol(words + left), [symbol(s) for s in right], prob=p
    )
    for left, right, p in zip(grammar.left, grammar.right, grammar.probs)
  ]
  return nltk.PCFG(nltk.Nonterminal(grammar.nonterminals[0]), rules)


def sentences(grammar, max_len, count, seed):
  """Strings of the grammar, and the same with a word changed or dropped."""
  random = np.random.default_rng(seed)
  drawn = draw(grammar, count, max_len, seed)
  rows = [list(t[:n]) for t, n in zip(drawn.tokens, drawn.length)]
  for row in list(rows):
    other = list(row)
    other[random.integers(len(row))] = random.integers(len(grammar.terminals))
    shorter = list(row)
    del shorter[random.integers(len(row))]
    rows += [other, *([shorter] if shorter else [])]
  unique = sorted({tuple(map(int, r)) for r in rows})
  return [list(u) for u in unique]


def padded(rows, T, fill=0):
  tokens = np.full((len(rows), T), fill, np.int32)
  for row, out in zip(rows, tokens):
    out[: len(row)] = row
  return jnp.asarray(tokens), jnp.asarray([len(r) for r in rows], jnp.int32)


@pytest.mark.parametrize('name', GRAMMARS)
def test_agrees_with_nltk(name):
  """Grammaticality, the best tree, and the sum over all trees."""
  grammar = GRAMMARS[name]
  rows = sentences(grammar, 8, 25, seed=1)
  # What stands beyond the length must not matter.
  tokens, length = padded(rows, 10, fill=1)
  kinds = {
    kind: jax.jit(lambda t, n, k=kind: grammar_parse.log_prob(grammar, t, n, k))
    for kind in grammar_parse.KINDS
  }
  got = {kind: fn(tokens, length) for kind, fn in kinds.items()}
  holds = jax.jit(lambda t, n: grammar_parse.grammatical(grammar, t, n))
  holds = holds(tokens, length)
  parser = nltk.InsideChartParser(as_nltk(grammar))
  several = 0
  for i, row in enumerate(rows):
    trees = [t.prob() for t in parser.parse(grammar.decode(row))]
    several += len(trees) > 1
    assert bool(holds[i]) == bool(trees), row
    best = np.log(max(trees)) if trees else -np.inf
    total = np.log(sum(trees)) if trees else -np.inf
    assert got['best'][i] == pytest.approx(best, abs=1e-4), row
    assert got['total'][i] == pytest.approx(total, abs=1e-4), row
  assert 4 < int(holds.sum()) < len(rows) - 5
  assert several > 0 or name == 'expr'  # expressions have one tree each


def test_probabilities_of_all_strings_of_a_length_are_its_law():
  """Long rules, shared suffixes, and unit rules that go round in circles."""
  total = jax.jit(lambda t, n: grammar_parse.log_prob(TANGLED, t, n))
  law = grammar_lengths.length_law(TANGLED, 7)
  all_of = lambda n: itertools.product((0, 1), repeat=n)
  rows = [row for n in range(1, 8) for row in all_of(n)]
  prob = np.zeros(8)
  np.add.at(prob, [len(r) for r in rows], np.exp(total(*padded(rows, 8))))
  np.testing.assert_allclose(prob, law, rtol=1e-4, atol=1e-9)


def test_strings_have_the_probabilities_they_are_drawn_with():
  drawn = draw(TANGLED, 20_000, 6, seed=2)
  law = grammar_lengths.length_law(TANGLED, 6)
  rows = [tuple(t[:n]) for t, n in zip(drawn.tokens, drawn.length)]
  count = {row: rows.count(row) for row in set(rows)}
  total = jax.jit(lambda t, n: grammar_parse.log_prob(TANGLED, t, n))
  expected = np.exp(total(*padded(list(count), 6))) / law.sum()
  seen = np.array(list(count.values())) / len(rows)
  error = np.sqrt(expected * (1 - expected) / len(rows))
  assert (np.abs(seen - expected) < 4.5 * error).all()
  assert expected.sum() > 0.99  # hardly a string is missing


@pytest.mark.parametrize(
  ('grammar', 'max_len'),
  [(dyck(), 40), (expr(), 12), (english(), 20), (counter(), 260)],
  ids=['dyck', 'expr', 'english', 'counter'],
)
def test_drawn_strings_are_sentences_of_the_law_of_lengths(grammar, max_len):
  """Rejection of what is too long changes nothing else."""
  drawn = draw(grammar, 1024, max_len)
  law = grammar_lengths.length_law(grammar, max_len)
  law = law / law.sum()
  n = np.arange(max_len + 1)
  mean, spread = law @ n, np.sqrt(law @ n**2 - (law @ n) ** 2)
  assert abs(drawn.length.mean() - mean) < 4.5 * spread / 32
  assert (np.where(n[1:] > drawn.length[:, None], drawn.tokens, 0) == 0).all()
  few = slice(
    0, 8 if max_len > 100 else 512
  )  # in blocks, and the last not full
  holds = jax.jit(lambda t, m: grammar_parse.grammatical(grammar, t, m))
  assert holds(drawn.tokens[few], drawn.length[few]).all()


def test_no_length_is_rarer_than_it_should_be():
  """Not even the longest that is allowed."""
  drawn = draw(expr(), 8000, 8)
  law = grammar_lengths.length_law(expr(), 8)
  expected = law / law.sum()
  seen = np.bincount(drawn.length, minlength=9) / 8000
  error = np.sqrt(expected * (1 - expected) / 8000)
  assert (abs(seen - expected) <= 4.5 * error).all()
  assert expected[8] > 8 * error[8]


def test_more_rules_than_bits_of_a_word():
  """40 kinds of brackets: two words; a wrong bracket anywhere is found."""
  many = dyck(40, 0.4)
  drawn = draw(many, 300, 12, seed=3)
  holds = jax.jit(lambda t, n: grammar_parse.grammatical(many, t, n))
  assert holds(*drawn).all()
  wrong = np.array(drawn.tokens)
  column = np.random.default_rng(0).integers(0, drawn.length)
  row = np.arange(300)
  wrong[row, column] = (wrong[row, column] + 1) % 80
  assert not holds(wrong, drawn.length).any()


def test_probabilities_may_be_given_later():
  """One grammar, another law: only one of two rules, and never the other."""
  tables = lambda p: grammar_sample.tables(
    dyck(1), jnp.array([0.3, 0.7, p, 1 - p])
  )
  mean = jax.jit(
    lambda p: grammar_sample.sample(
      tables(p), jax.random.key(0), 4000, 64
    ).length.mean()
  )
  assert mean(0.0) == pytest.approx(1.4 / 0.4, rel=0.05)
  assert mean(0.3) > 1.2 * mean(0.0)


def test_agreement_is_kept_at_any_distance():
  """Attributes make a context-free grammar of one with agreement."""
  numbers = ('one', 'many')
  rules = {
    'S': [(1.0, 'NP{n} VP{n}')],
    'NP{n}': [(0.5, 'noun{n}'), (0.5, 'noun{n} of NP{m}')],
    'VP{n}': [(1.0, 'verb{n}')],
  }
  grammar = lib.build(lib.attributed(rules, {'n': numbers, 'm': numbers}))
  drawn = draw(grammar, 256, 16)
  words = [grammar.decode(t[:n]) for t, n in zip(drawn.tokens, drawn.length)]
  assert all(w[0].split('.')[1] == w[-1].split('.')[1] for w in words)
  assert any(len(w) > 6 for w in words)
  holds = jax.jit(lambda t, n: grammar_parse.grammatical(grammar, t, n))
  ends = {w: grammar.encode([w])[0] for w in ('verb.one', 'verb.many')}
  swapped = np.array(drawn.tokens)
  row, last = np.arange(256), drawn.length - 1
  swapped[row, last] = sum(ends.values()) - swapped[row, last]
  assert holds(*drawn).all()
  assert not holds(swapped, drawn.length).any()


def test_empty_strings_and_unknown_kinds():
  empty = jnp.zeros((3, 4), jnp.int32), jnp.zeros(3, jnp.int32)
  assert not grammar_parse.grammatical(expr(), *empty).any()
  assert (grammar_parse.log_prob(expr(), *empty) == -jnp.inf).all()
  with pytest.raises(UserError, match="did you mean 'best'"):
    grammar_parse.log_prob(expr(), *empty, kind='bets')


def test_a_string_does_not_depend_on_how_many_are_parsed():
  drawn = draw(expr(), 200, 16)
  one = jax.jit(lambda t, n: grammar_parse.log_prob(expr(), t, n, 'best'))
  whole, part = one(*drawn), one(drawn.tokens[:40], drawn.length[:40])
  np.testing.assert_array_equal(whole[:40], part)
