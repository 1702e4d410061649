"""Sentences of formal languages: Dyck, Expr and English.

Language models of known grammars, whose activations are then looked into: at
every word it is known what was said and what is still to come.

Source: Menon, Shrivastava, Krueger and Lubana (2024), "Analyzing (In)Abilities
of SAEs via Formal Languages", arXiv 2410.11767; its code,
Abhinav271828/pcfg-sae-final.

Process: a string of at most max_words words of one of three grammars
(`tasks.lib.grammars`: nested brackets, arithmetic in prefix notation, simple
sentences), exactly by the grammar's law given that it is not longer; then

  prefix  word_1 .. word_n  <eos>  <pad> .. <pad>

The prefix is the same in all sequences. The model reads all tokens but the
last and predicts all but the first; targets from word_1 to <eos> count. What
is true at each word stands in info, see `tasks.lib.formal_features`: features
[B, T, F], and sentence [B, T], 1 where the token that is read is a word.

Glossary: word, token 0..V-1, a terminal of the grammar; pad, token V; eos,
token V + 1; then the tokens of the prefix.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError, unknown
from jaxsynth.tasks.lib import (
  formal_features,
  grammar_lengths,
  grammar_parse,
  grammar_sample,
  grammars,
)
from jaxsynth.tasks.lib.grammar import Grammar, check_length
from jaxsynth.types import Array, Batch, Key, Spec

# The prefix of the released code.
PUBLISHED = ('Task:', 'Task0', '\n', 'Ops:', '<null>', '\n', 'Out:')


@functools.cache
def _grammar(language: str, nesting: float) -> Grammar:
  if language == 'dyck':
    return grammars.dyck(nesting=nesting)
  return {'expr': grammars.expr, 'english': grammars.english}[language]()


@dataclasses.dataclass(frozen=True)
class FormalLanguage:
  """Sentences of a grammar; see the module's docstring.

  Attributes:
    language: 'dyck', 'expr' or 'english'.
    max_words: of a sentence; longer ones are rejected. Published: 110.
    prefix: what stands before every sentence, at least one token. Published:
      `PUBLISHED`.
    nesting: of dyck, the probability that there is something within a pair
      of brackets. Published: 0.5 and 0.3.
    eval_size: sentences held out.
  """

  language: str = 'expr'
  max_words: int = 12
  prefix: tuple[str, ...] = ('Out:',)
  nesting: float = 0.5
  eval_size: int = 64

  def __post_init__(self):
    if self.language not in formal_features.LANGUAGES:
      raise unknown('language', self.language, formal_features.LANGUAGES)
    if isinstance(self.prefix, str) or not self.prefix:
      raise UserError(
        f'prefix must list at least one token, got {self.prefix!r}'
      )
    if self.eval_size < 1:
      raise UserError(f'eval_size must be at least 1, got {self.eval_size}')
    check_length(self.grammar, self.max_words)

  @property
  def grammar(self) -> Grammar:
    """The grammar; its V terminals are tokens 0..V-1."""
    return _grammar(self.language, self.nesting)

  @property
  def num_words(self) -> int:
    """V."""
    return len(self.grammar.terminals)

  @property
  def pad(self) -> int:
    """The token after the end."""
    return self.num_words

  @property
  def eos(self) -> int:
    """The token that ends a sentence."""
    return self.num_words + 1

  @property
  def features(self) -> tuple[str, ...]:
    """Names of the features, F of them."""
    return formal_features.names(self.language, self.grammar)

  @property
  def prompt(self) -> np.ndarray:
    """The tokens of the prefix, int32 [P]."""
    distinct = list(dict.fromkeys(self.prefix))
    number = [self.eos + 1 + distinct.index(name) for name in self.prefix]
    return np.asarray(number, np.int32)

  @property
  def length(self) -> int:
    """Tokens of a sequence: prefix, words and the end."""
    return len(self.prefix) + self.max_words + 1

  @property
  def spec(self) -> Spec:
    """int32 tokens in and out: a sequence without its last, its first."""
    tokens = jax.ShapeDtypeStruct((self.length - 1,), jnp.int32)
    size = self.eos + 1 + len(set(self.prefix))
    return Spec(tokens, tokens, size, size)

  def init(self, key: Key) -> grammar_sample.Tables:
    """The grammar as the sampler reads it; nothing is random."""
    del key
    return grammar_sample.tables(self.grammar)

  def sample(
    self,
    task_params: grammar_sample.Tables,
    key: Key,
    step: Array,
    batch_size: int,
  ) -> Batch:
    """New sentences, by one law at every step."""
    del step
    drawn = grammar_sample.sample(task_params, key, batch_size, self.max_words)
    return self._batch(drawn.tokens, drawn.length)

  def evals(
    self, task_params: grammar_sample.Tables, key: Key
  ) -> dict[str, Batch]:
    """{'held_out'}: eval_size sentences."""
    return {
      'held_out': self.sample(task_params, key, jnp.int32(0), self.eval_size)
    }

  def reference(
    self, task_params: grammar_sample.Tables, batch: Batch
  ) -> dict[str, Array]:
    """What knows the language by its words only.

    Returns:
      unigram: probabilities [B, T, output_size], how often each word is said
      and sentences end, whatever came before; of the grammar without a limit
      of length.
    """
    del task_params
    counts = np.zeros(self.spec.output_size)
    counts[: self.num_words] = grammar_lengths.expected_words(self.grammar)
    counts[self.eos] = 1
    share = jnp.asarray(counts / counts.sum(), jnp.float32)
    return {
      'unigram': jnp.broadcast_to(share, (*batch.inputs.shape, len(share)))
    }

  def read(self, sequences: Array) -> tuple[Array, Array, Array]:
    """The sentences in sequences that a model has written.

    Args:
      sequences: int tokens [B, T], T at most `length`, which begin with the
        prefix.

    Returns:
      tokens [B, T - P]; how many of them come before the end, or all if it
      does not come, [B]; whether it is a sentence: it ends, and the grammar
      has it, [B].
    """
    tokens = sequences[:, len(self.prefix) :]
    ends = tokens == self.eos
    length = jnp.where(ends.any(-1), ends.argmax(-1), tokens.shape[1])
    inside = jnp.arange(tokens.shape[1]) < length[:, None]
    words = jnp.where(inside, tokens, 0)
    known = (words < self.num_words).all(-1)
    words = jnp.minimum(words, self.num_words - 1)
    valid = grammar_parse.grammatical(self.grammar, words, length)
    return tokens, length, valid & known & ends.any(-1)

  def truth(self, tokens: Array, length: Array) -> Array:
    """The features after each word of sentences, [B, T, F].

    Args:
      tokens: of sentences, without prefix, [B, T].
      length: words of each, [B].
    """
    return formal_features.features(self.language, self.grammar, tokens, length)

  def _batch(self, words: Array, length: Array) -> Batch:
    before = len(self.prefix)
    place = jnp.arange(self.max_words + 1)
    words = jnp.pad(words, ((0, 0), (0, 1)))
    end = jnp.where(place == length[:, None], self.eos, self.pad)
    inside = place < length[:, None]
    said = jnp.where(inside, words, end)
    start = jnp.broadcast_to(self.prompt, (len(words), before))
    sequence = jnp.concatenate([start, said], 1).astype(jnp.int32)
    shifted = lambda x: jnp.pad(
      x[:, :-1], ((0, 0), (before, 0)) + ((0, 0),) * (x.ndim - 2)
    )
    targets = sequence[:, 1:]
    counts = (targets != self.pad) & (jnp.arange(self.length - 1) >= before - 1)
    info = {
      'sentence': shifted(inside).astype(jnp.float32),
      'features': shifted(self.truth(words, length)),
    }
    return Batch(sequence[:, :-1], targets, counts.astype(jnp.float32), info)


TASK = FormalLanguage
