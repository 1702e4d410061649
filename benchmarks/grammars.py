"""Strings a second: drawn, and parsed, against plain Python and nltk.

  python -m benchmarks.grammars --config=english

Strings of one of the grammars of `jaxsynth.tasks.lib.grammars` are drawn in
batches of 128 by the compiled sampler and by recursion in Python, and asked
for a tree by the compiled parser and by nltk's chart parser (the incremental
bottom-up one, stopped at the first tree). nltk gets the first `--few` of the
strings of at most `--short` words, the parser all of all lengths.
"""

import sys
import time

import jax
import numpy as np

from benchmarks import plain_sentences, report
from benchmarks.generators import looped
from jaxsynth.errors import unknown
from jaxsynth.tasks.lib import grammar_parse, grammar_sample, grammars
from jaxsynth.train import layout as layouts

# Grammar -> terminals of a string at most.
GRAMMARS = {
  'dyck': (grammars.dyck, 118),
  'expr': (grammars.expr, 118),
  'english': (grammars.english, 118),
  'counter': (grammars.counter, 432),
}
BATCH = 128


def _seconds(function) -> float:
  function()
  each = []
  for _ in range(5):
    began = time.perf_counter()
    function()
    each.append(time.perf_counter() - began)
  return float(np.median(each))


def _nltk(grammar, rows: list[list[int]]) -> float:
  """Seconds in which nltk finds a tree of every row."""
  import nltk

  words = len(grammar.terminals)
  name = lambda s: (
    grammar.terminals[s]
    if s < words
    else nltk.Nonterminal(grammar.nonterminals[s - words])
  )
  rules = [
    nltk.Production(name(words + left), [name(s) for s in right])
    for left, right in zip(grammar.left, grammar.right)
  ]
  parser = nltk.BottomUpLeftCornerChartParser(
    nltk.CFG(nltk.Nonterminal(grammar.nonterminals[0]), rules)
  )

  def all_of():
    for row in rows:
      next(iter(parser.parse(grammar.decode(row))))

  return _seconds(all_of)


def main() -> dict:
  parser = report.parser('benchmarks.grammars', __doc__, ['--config=dyck'])
  add = parser.add_argument
  add('--config', default='english', help=', '.join(GRAMMARS))
  add('--batches', type=int, default=20, help='drawn in one compiled loop')
  add('--short', type=int, default=16, help='words at most, for nltk')
  add('--few', type=int, default=16, help='strings for nltk')
  args = parser.parse_args()
  if args.config not in GRAMMARS:
    raise unknown('grammar', args.config, GRAMMARS)
  layouts.configure()
  make, max_len = GRAMMARS[args.config]
  grammar = make()
  tables = grammar_sample.tables(grammar)
  key = jax.random.key(0)

  def drawn(i):
    one = jax.random.fold_in(key, i)
    return list(grammar_sample.sample(tables, one, BATCH, max_len))

  ours = looped(drawn, args.batches)
  one = plain_sentences.strings(grammar, max_len)
  plain = _seconds(lambda: [one() for _ in range(BATCH)])
  tokens, length = jax.jit(drawn)(0)
  holds = jax.jit(lambda t, n: grammar_parse.grammatical(grammar, t, n))
  parsed = _seconds(lambda: jax.block_until_ready(holds(tokens, length)))
  rows = [
    np.asarray(t[:n]).tolist()
    for t, n in zip(tokens, length)
    if n <= args.short
  ][: args.few]
  nltk_seconds = _nltk(grammar, rows) / len(rows) if rows else None
  return report.record(
    'grammars',
    args.config,
    report.device(),
    drawn_per_s=BATCH / ours,
    plain_drawn_per_s=BATCH / plain,
    parsed_per_s=BATCH / parsed,
    nltk_parsed_per_s=1 / nltk_seconds if rows else None,
    mean_length=float(length.mean()),
    targets=[
      report.target('strings parsed a second', BATCH / parsed, at_least=1000.0),
    ],
  )


if __name__ == '__main__':
  sys.exit(report.run(main))
