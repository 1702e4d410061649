"""Grammars: what is refused, attributes, and exact laws of lengths."""

import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import grammar as lib
from jaxsynth.tasks.lib import grammar_lengths, grammars
from jaxsynth.tasks.lib.grammar_normal import normal

# A chain of unit rules with a cycle, long rules, terminals among symbols.
TANGLED = {
  'S': [(0.5, 'A'), (0.3, 'a S b A'), (0.2, 'b')],
  'A': [(0.25, 'S'), (0.25, 'B'), (0.5, 'a a')],
  'B': [(0.4, 'A'), (0.6, 'b B a')],
}


def test_numbers_and_names():
  made = lib.build({'S': [(0.5, 'a S b'), (0.5, 'a b')]})
  assert made.terminals == ('a', 'b')
  assert made.right == ((0, 2, 1), (0, 1))
  assert made.encode('a a b') == [0, 0, 1]
  assert made.decode([1, 0]) == ['b', 'a']
  assert hash(made) == hash(lib.build({'S': [(0.5, 'a S b'), (0.5, 'a b')]}))


@pytest.mark.parametrize(
  ('rules', 'says'),
  [
    ({}, 'at least one rule'),
    ({'S': [(0.5, 'a'), (0.4, 'b')]}, 'must be positive and sum to 1'),
    ({'S': [(1.5, 'a'), (-0.5, 'b')]}, 'must be positive and sum to 1'),
    ({'S': [(0.5, 'a'), (0.5, ' ')]}, 'empty right side'),
    ({'S': [(1.0, 'A a')], 'A': [(1.0, 'A a')]}, "'S' never ends"),
    ({'S': [(1.0, 'A')], 'A': [(1.0, 'S')]}, "'S' never ends"),
  ],
)
def test_what_is_no_grammar_is_refused(rules, says):
  with pytest.raises(UserError, match=says):
    lib.build(rules)


def test_other_mistakes_name_the_way_out():
  with pytest.raises(UserError, match="did you mean 'noun1'"):
    grammars.english(2).encode('noun9')
  with pytest.raises(UserError, match='more than 2'):
    lib.check_length(lib.build({'S': [(1.0, 'a b c')]}), 2)
  with pytest.raises(UserError, match='nesting'):
    grammars.dyck(2, 0.6)
  with pytest.raises(UserError, match="unknown attribute 'm'"):
    lib.attributed({'S': [(1.0, 'a{m}')]}, {'n': ('one',)})


def test_attributes_split_symbols():
  rules = {
    'S': [(0.6, 'NP{n} VP{n}'), (0.4, 'NP{n} and NP{m}')],
    'NP{n}': [(1.0, 'noun{n}')],
    'VP{n}': [(1.0, 'verb{n}')],
  }
  numbers = ('one', 'many')
  plain = lib.attributed(rules, {'n': numbers, 'm': numbers})
  assert plain['S'] == [
    (0.3, 'NP.one VP.one'),
    (0.3, 'NP.many VP.many'),
    (0.1, 'NP.one and NP.one'),
    (0.1, 'NP.one and NP.many'),
    (0.1, 'NP.many and NP.one'),
    (0.1, 'NP.many and NP.many'),
  ]
  assert plain['VP.many'] == [(1.0, 'verb.many')]
  law = grammar_lengths.length_law(lib.build(plain), 3)
  np.testing.assert_allclose(law, [0, 0, 0.6, 0.4])


# Mean lengths by hand: for brackets E = 0.6 E + 0.7 (2 + p E).
@pytest.mark.parametrize(
  ('grammar', 'mean'),
  [
    (grammars.dyck(nesting=0.5), 28.0),
    (grammars.dyck(nesting=0.3), 7.368421),
    (grammars.expr(), 0.6 / (1 - 0.4 * 2.01) + 0.4 / (1 - 0.4 * 2.01)),
    (grammars.english(), 7.728571),
    (grammars.counter(), 275.625),
  ],
  ids=['dyck', 'dyck3', 'expr', 'english', 'counter'],
)
def test_mean_lengths(grammar, mean):
  assert grammar_lengths.expected_length(grammar) == pytest.approx(mean)


def test_an_endless_grammar_has_no_mean_length():
  endless = lib.build({'S': [(0.5, 'S S'), (0.5, 'a')]})
  with pytest.raises(UserError, match='infinite: 1 symbols'):
    grammar_lengths.expected_length(endless)


def test_law_of_lengths_of_the_counting_text():
  """Mean, spread and range, against numbers found by another program."""
  law, n = grammar_lengths.length_law(grammars.counter(), 440), np.arange(441)
  assert law.sum() == pytest.approx(1, abs=1e-12)
  assert law @ n == pytest.approx(275.625)
  assert np.sqrt(law @ (n - 275.625) ** 2) == pytest.approx(41.7, abs=0.05)
  assert law[250:].sum() == pytest.approx(0.764, abs=5e-4)
  assert (np.flatnonzero(law)[[0, -1]] == [138, 432]).all()


def test_law_of_lengths_is_that_of_the_catalan_trees():
  """S -> S S | a: C_{n-1} p^(n-1) q^n, C the Catalan numbers."""
  law = grammar_lengths.length_law(
    lib.build({'S': [(0.2, 'S S'), (0.8, 'a')]}), 7
  )
  catalan = np.array([1, 1, 2, 5, 14, 42, 132])
  n = np.arange(1, 8)
  np.testing.assert_allclose(law[1:], catalan * 0.2 ** (n - 1) * 0.8**n)


def test_law_and_mean_agree_with_cycles_of_unit_rules():
  tangled = lib.build(TANGLED)
  law = grammar_lengths.length_law(tangled, 400)
  assert law.sum() == pytest.approx(1, abs=1e-9)
  mean = grammar_lengths.expected_length(tangled)
  assert law @ np.arange(401) == pytest.approx(mean)


def test_normal_form_shares_suffixes_and_keeps_probability():
  form = normal(lib.build(TANGLED))
  rules = list(zip(form.left, form.first, form.second, form.probs))
  assert all(p in (1.0, 0.3, 0.5, 0.6) for *_, p in rules)
  # all that a symbol becomes, after unit rules, has probability one
  count = len(form.total)
  made = np.zeros(count)
  np.add.at(made, form.left, form.probs)
  np.testing.assert_allclose(form.total @ (made + form.lexical.sum(1)), 1)
