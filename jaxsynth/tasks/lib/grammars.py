"""The grammars of published systems, by name.

  dyck      nested brackets of several kinds
  expr      arithmetic in prefix notation; the number of operands follows from
            the operator
  english   noun and verb phrases over word lists
  counter   eight levels of rules over three letters: long strings of nearly
            constant length

Sources: dyck, expr and english after Menon, Shrivastava, Krueger and Lubana
(2024), "Analyzing (in)abilities of SAEs via formal languages", arXiv
2410.11767; counter after Jain, Kirk, Lubana and others (2023),
"Mechanistically analyzing the effects of fine-tuning on procedurally defined
tasks", arXiv 2311.12786. Words of one kind are equally probable here; the
released code draws their probabilities from a Dirichlet(1e5) law, which is
the same to one part in a hundred.
"""

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib.grammar import Grammar, Rules, build


def _evenly(names: list[str]) -> list[tuple[float, str]]:
  return [(1 / len(names), name) for name in names]


def _words(kind: str, count: int) -> list[tuple[float, str]]:
  return _evenly([f'{kind}{i}' for i in range(count)])


def dyck(kinds: int = 2, nesting: float = 0.5) -> Grammar:
  """Brackets: S -> S S with 0.3, or one of the kinds of brackets.

  Args:
    kinds: of brackets; published 2.
    nesting: probability that there is something between them; published 0.5
      and 0.3.

  Raises:
    UserError: no kinds, or a nesting of 4/7 or more, with which the mean
      length is infinite: 0.6 + 0.7 nesting symbols S come of one.
  """
  if kinds < 1:
    raise UserError(f'kinds must be at least 1, got {kinds}')
  if not 0 <= nesting < 4 / 7:
    raise UserError(f'nesting must be in [0, 4/7), got {nesting}')
  rules: dict = {
    'S': [(0.3, 'S S'), *((0.7 / kinds, f'Pair{i}') for i in range(kinds))]
  }
  for i in range(kinds):
    rules[f'Pair{i}'] = [
      (nesting, f'open{i} S close{i}'),
      (1 - nesting, f'open{i} close{i}'),
    ]
  names = [f'{side}{i}' for side in ('open', 'close') for i in range(kinds)]
  return build(rules, names)


def expr(digits: int = 10, operators: int = 3) -> Grammar:
  """Prefix expressions of unary, binary and ternary operators.

  Args:
    digits: how many; published 10.
    operators: of each arity; published 3.
  """
  return build(
    {
      'Expr': [(0.4, 'Operation'), (0.6, 'Digit')],
      'Operation': [
        (0.33, 'Unary Expr'),
        (0.33, 'Binary Expr Expr'),
        (0.34, 'Ternary Expr Expr Expr'),
      ],
      'Digit': _words('', digits),
      'Unary': _words('unary', operators),
      'Binary': _words('binary', operators),
      'Ternary': _words('ternary', operators),
    }
  )


def english(words: int = 10) -> Grammar:
  """Simple sentences, `words` of each part of speech; published 10."""
  return build(
    {
      'S': [(1.0, 'NP VP')],
      'NP': [(0.2, 'Pro'), (0.2, 'N'), (0.15, 'NP Conj NP'), (0.45, 'Adj N')],
      'VP': [(0.2, 'V NP'), (0.2, 'V'), (0.15, 'VP Conj VP'), (0.45, 'VP Adv')],
      'N': _words('noun', words),
      'V': _words('verb', words),
      'Adj': _words('adjective', words),
      'Pro': _words('pronoun', words),
      'Adv': _words('adverb', words),
      'Conj': _words('conjunction', words),
    }
  )


# Two alternatives of probability one half each, level by level.
_COUNTER = """
s: r q | q p; p: m n o | n o m; q: n m o | m n; r: o m | m o n;
m: l j | j l k; n: k j l | l j k; o: l k j | k j; j: h i | i h;
k: h g i | g h i; l: i h g | h i g; g: d f e | f e d; h: e d f | d e f;
i: e f d | f d e; d: c a | a b c; e: c b | c a b; f: c b a | b a
"""


def counter() -> Grammar:
  """The text of the counting tasks: strings of 138 to 432 letters a, b, c."""
  lines = (line.split(':') for line in _COUNTER.split(';'))
  rules: Rules = {
    left.strip(): _evenly(right.split('|')) for left, right in lines
  }
  return build(rules, 'abc')
