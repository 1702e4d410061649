"""Generators of strings and sentences as one would write them plainly.

Recursion over rules and dicts, one sentence at a time, in Python: what the
samplers of `jaxsynth.tasks` are timed against. They do the same work and draw
by the same laws.
"""

import random
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxsynth.tasks.concept_percolation import SHARES
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_language import NO_ADJECTIVE
from jaxsynth.tasks.lib.grammar import Grammar


def strings(grammar: Grammar, max_len: int, seed: int = 0) -> Callable:
  """A function that draws one string, of at most max_len terminals."""
  rng, size = random.Random(seed), len(grammar.terminals)
  rules: dict = {}
  for left, right, p in zip(grammar.left, grammar.right, grammar.probs):
    options, weights = rules.setdefault(left + size, ([], []))
    options.append(right)
    weights.append(p)

  def one() -> list[int]:
    while True:
      out, stack = [], [size]
      while stack and len(out) + len(stack) <= max_len:
        symbol = stack.pop()
        if symbol < size:
          out.append(symbol)
        else:
          options, weights = rules[symbol]
          stack.extend(reversed(rng.choices(options, weights)[0]))
      if not stack:
        return out

  return one


def concept_percolation(task: Any, params: Any, batch: int) -> Callable:
  """Sequences of the language of entities, with their three tasks."""
  known = jax.tree.map(np.asarray, params)
  language, rng = task.language, random.Random(1)
  grammar = words.skeleton(language.modifiers > 0)
  skeleton = strings(grammar, task._room)
  names, starts = grammar.terminals, language.starts
  m, A = language.in_use, language.modifiers

  def adjective(number: int) -> list[int]:
    outcome = 0 if rng.random() < NO_ADJECTIVE else 1 + rng.randrange(A)
    outcome = (outcome + number) % (A + 1)
    return [int(starts['adjective']) + outcome - 1] if outcome else []

  def sentence() -> tuple[list[int], dict[str, list[int]]]:
    symbols = [names[s] for s in skeleton()]
    group = rng.randrange(language.classes)
    pair = group % language.half
    things = symbols.count('<object>')
    if '<verb>' in symbols:
      group = pair
    objects = [rng.randrange(language.generic) for _ in range(things)]
    first = objects[0] if objects else 0
    out, said, last, numbers = [], {}, 0, iter(objects)
    for symbol in symbols:
      if symbol in ('<adjective>', '<adverb>'):
        if symbol == '<adverb>':
          chosen = rng.randrange(A + 1)
          out += [int(starts['adverb']) + chosen - 1] if chosen else []
        continue
      with_adjective = A > 0
      if symbol == '<subject>':
        names_all = language.private + language.generic
        private = group < language.half and language.private > 0
        if private and rng.random() < language.private / names_all:
          place = known.private[group, rng.randrange(language.private_in_use)]
          last = int(place + first) % language.private
          token, with_adjective = starts['private'][group] + last, False
        else:
          last = rng.randrange(language.generic)
          token = starts['generic'][group] + last
        number = last
      elif symbol == '<object>':
        number = next(numbers)
        token = starts['generic'][pair + language.half] + number
      elif symbol == '<value>':
        prop = rng.randrange(int(known.live[group]))
        number = known.places[group, prop, rng.randrange(m)] + last
        number = int(number) % language.values
        token = starts['value'][group] + prop * language.values + number
      elif symbol == '<verb>':
        token = starts['verb'][pair] + rng.randrange(language.verbs)
        with_adjective = False
      else:
        out.append(words.SPECIAL.index(symbol))
        continue
      out += adjective(number) if with_adjective else []
      out.append(int(token))
      said.setdefault(symbol, []).append(int(token))
    return out, said

  def sample():
    tokens = np.full((batch, task.seq_len), words.PAD, np.int32)
    weights = np.zeros((batch, task.seq_len - 1), np.float32)
    for row, weight in zip(tokens, weights):
      out, said = sentence()
      kind = rng.choices(range(3), SHARES)[0]
      if kind == 0:
        operands = [words.NULL]
      elif kind == 1:
        operands = rng.sample(out, len(out))
      else:
        operands = [rng.choice(found) for found in said.values()]
        rng.shuffle(operands)
      head = [words.TASK, words.T0 + kind, words.LINE, words.OPS]
      whole = [*head, *operands, words.LINE, words.OUT, *out, words.EOS]
      row[: len(whole)] = whole
      weight[: len(whole) - 1] = 1
    return tokens[:, :-1], tokens[:, 1:], weights

  return sample
