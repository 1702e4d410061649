"""Concept percolation: a formal language with types, and three tasks on it.

Grammar, the types that relations demand, and which values go with which entity
are three regularities of one language (`concept_language`), of very different
sizes. The published account: a network learns them one after the other,
suddenly, and generalises to pairs of entity and value that it never saw once
those it did see connect nearly all of them, as in percolation.

Source: Lubana, Kawaguchi, Dick and Tanaka (2024), "A percolation model of
emergence: analyzing transformers trained on a formal language", arXiv
2408.12578, and its code, EkdeepSLubana/ConceptPercolation, which is followed
where the two differ (the paper's grammar has its modifiers as symbols).

Process, of a sequence:

  Task: Tk \\n Ops: <operands> \\n Out: <sentence> <eos> <pad> ...

  T0  free generation, no operands but <null>              probability 0.2
  T1  unscrambling: all tokens of the sentence, shuffled   0.4
  T2  conditional generation: of each kind that occurs,    0.4
      subject, object, verb, value, one; shuffled

  model  reads all but the last token, predicts all but the first; every token
         but the padding counts in the loss, the operands too

Evaluation sets, all of sentences as in training unless said otherwise; info
holds the `task`, the class `group` of the subjects, whether the sentence is
`related` (has a verb), and where its `first` token stands and how `long` it
is:

  in_distribution         the mixture of tasks
  free, unscramble, conditional   one task each
  uniform, adversarial    T0, values drawn by an altered prior
  shuffled, random_words  T0, a sentence out of order; each word replaced by
                          one of its kind, whatever the class
  reach                   T0, "adjective entity is adjective value" with any
                          value of any property of the class, so that most
                          pairs never occur in training. Only the value has a
                          weight; info has its `value`, its `entity`, and
                          whether the pair is `allowed` in the language
  reach_unscramble        the same sentences after T1: all their words stand,
                          out of order, among the operands

Glossary: entity, what a name names; allowed, of an entity and a value: the
language has sentences with both; see `concept_language` for the others.
"""

import zlib
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxsynth.errors import UserError
from jaxsynth.tasks.lib import concept_language as lib
from jaxsynth.tasks.lib import concept_predictors as predictors
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_sequences import (
  AROUND,
  last_words,
  random_words,
  sequences,
  shuffled,
)
from jaxsynth.tasks.lib.grammar import shortest
from jaxsynth.types import Array, Batch, Key, Spec

SHARES = (0.2, 0.4, 0.4)  # of T0, T1 and T2


@dataclass(frozen=True)
class ConceptPercolation:
  """Sequences of the language of entities; see the module's docstring.

  The sizes of the language are described at `concept_words.Language`.

  Attributes:
    classes: C, half of subjects. Published: 10.
    max_properties: the most properties of a class; a swept number is masked
      within it. Published: 46.
    values: V of a property. Published: 40.
    generic: G names of a class. Published: 80.
    private: R names of a subject class; 0 for none. Published: 20.
    verbs: of a pair of classes. Published: 20.
    modifiers: adverbs, and as many adjectives; 0 for none. Published: 20.
    density: share of the values that an entity can have. Published: 0.1.
    seq_len: tokens l of a sequence; inputs and targets have l - 1.
      Published: 128.
    eval_size: sequences in each evaluation set. Published: 128, and 1000 in
      `reach`.
  """

  classes: int = 4
  max_properties: int = 6
  values: int = 10
  generic: int = 12
  private: int = 0
  verbs: int = 4
  modifiers: int = 0
  density: float = 0.2
  seq_len: int = 40
  eval_size: int = 64

  def __post_init__(self):
    if self.eval_size < 1:
      raise UserError('eval_size must be at least 1')
    grammar = words.skeleton(self.language.modifiers > 0)
    least = AROUND + 2 * int(shortest(grammar)[0])
    if self.seq_len < least:
      raise UserError(f'seq_len must be at least {least}, got {self.seq_len}')

  @property
  def language(self) -> words.Language:
    """The sizes of the language."""
    return words.Language(
      classes=self.classes,
      properties=self.max_properties,
      values=self.values,
      generic=self.generic,
      private=self.private,
      verbs=self.verbs,
      modifiers=self.modifiers,
      density=self.density,
    )

  @property
  def spec(self) -> Spec:
    """int32 tokens [l - 1] in and out; predictions over the vocabulary."""
    tokens = jax.ShapeDtypeStruct((self.seq_len - 1,), jnp.int32)
    size = self.language.num_tokens
    return Spec(tokens, tokens, size, size)

  def check(self, num_properties=None):
    """Raises UserError for a number of properties that `init` cannot honour."""
    least, most = self.language.least_properties, self.max_properties
    if num_properties not in (None, *range(least, most + 1)):
      raise UserError(
        f'num_properties must be in {least}..{most} (max_properties), got '
        f'{num_properties}'
      )

  def init(
    self, key: Key, num_properties: Array | int | None = None
  ) -> lib.Facts:
    """Which values go together; fewer properties are a prefix of more.

    Args:
      key: of the language.
      num_properties: descriptive properties of each class, those that become
        names included; None for max_properties. May be traced.

    Raises:
      UserError: a value that is not traced fails `check`.
    """
    if not isinstance(num_properties, jax.core.Tracer):
      self.check(num_properties)
    if num_properties is None:
      num_properties = self.max_properties
    return lib.facts(self.language, key, num_properties)

  def sample(
    self, task_params: lib.Facts, key: Key, step: Array, batch_size: int
  ) -> Batch:
    """Training sequences, by one law at every step."""
    del step
    task = _tasks(_named(key, 'task'), batch_size)
    made = lib.sentences(
      self.language, task_params, _named(key, 'words'), batch_size, self._room
    )
    return sequences(
      self.language, _named(key, 'operands'), task, made, self.seq_len
    )

  def evals(self, task_params: lib.Facts, key: Key) -> dict[str, Batch]:
    """The evaluation sets listed in the module's docstring."""
    language, size = self.language, self.eval_size
    at = lambda name: _named(key, name)
    # All sentences at once, and all sequences: each compiles once.
    prior = jnp.repeat(jnp.array([0, *range(len(lib.PRIORS))]), size)
    made = lib.sentences(
      language, task_params, at('words'), len(prior), self._room, prior
    )
    part = lambda tree, i: jax.tree.map(
      lambda x: x[i * size : (i + 1) * size], tree
    )
    mixed, normal, uniform, adversarial = (part(made, i) for i in range(4))
    scrambled = shuffled(at('shuffled'), normal.tokens, normal.length)
    other = random_words(language, at('random_words'), normal.tokens)
    reach, about = self._reach(task_params, at('reach'))
    zero = jnp.zeros(size, jnp.int32)
    sets = {
      'in_distribution': (_tasks(at('task'), size), mixed),
      'free': (zero, normal),
      'unscramble': (zero + 1, normal),
      'conditional': (zero + 2, normal),
      'uniform': (zero, uniform),
      'adversarial': (zero, adversarial),
      'shuffled': (zero, normal._replace(tokens=scrambled)),
      'random_words': (zero, normal._replace(tokens=other)),
      'reach': (zero, reach),
    }
    task, made = jax.tree.map(lambda *x: jnp.concatenate(x), *sets.values())
    batch = sequences(language, at('operands'), task, made, self.seq_len)
    batches = {name: part(batch, i) for i, name in enumerate(sets)}
    found = batches['reach']
    last = found.info['first'] + reach.length - 1
    only = jnp.arange(1, self.seq_len) == last[:, None]
    batches['reach'] = found._replace(
      weights=only.astype(jnp.float32), info=found.info | about
    )
    count = 5 if language.modifiers else 3
    told = last_words(at('reach_unscramble'), reach, count, self.seq_len)
    batches['reach_unscramble'] = told._replace(info=told.info | about)
    return batches

  def reference(self, task_params: lib.Facts, batch: Batch) -> dict[str, Array]:
    """Predictions of three who know the language to different degrees.

    Of the sentence they predict each next token from those before it, but not
    from the operands: for T0 `descriptive` is the Bayes optimum (short of
    what follows from the limit on length, and, where there are private names,
    of what these tell about the words after them).

    Args:
      task_params: from `init`.
      batch: only its inputs [B, T] are read, and T may be any length.

    Returns:
      grammar, relative, descriptive: probabilities [B, T, output_size]; see
      `concept_predictors`.
    """
    return predictors.predictions(
      self.language, task_params, batch.inputs, SHARES
    )

  @property
  def _room(self) -> int:
    """Tokens of a sentence, S: it stands twice in a sequence of T1."""
    return (self.seq_len - AROUND) // 2

  def _reach(
    self, known: lib.Facts, key: Key
  ) -> tuple[lib.Sentences, dict[str, Array]]:
    """Sentences of one entity and any value of its class, and about them."""
    language, num = self.language, self.eval_size
    uniform = jax.random.uniform(key, (6, num))
    below = lambda i, count: jnp.floor(uniform[i] * count).astype(jnp.int32)
    first = {k: jnp.asarray(v) for k, v in language.starts.items()}
    group = below(0, language.classes)
    entity, value = below(1, language.generic), below(2, language.values)
    prop = below(3, known.live[group])
    name = first['generic'][group] + entity
    token = first['value'][group] + prop * language.values + value
    said = [name, jnp.full(num, words.SPECIAL.index('is')), token]
    if language.modifiers:
      one, two = (first['adjective'] + below(i, self.modifiers) for i in (4, 5))
      said = [one, *said[:2], two, token]
    tokens = jnp.stack(said, 1).astype(jnp.int32)
    tokens = jnp.pad(tokens, ((0, 0), (0, self._room - len(said))))
    long = jnp.full(num, len(said), jnp.int32)
    made = lib.Sentences(tokens, long, group, jnp.zeros(num, bool))
    allowed = lib.allowed(language, known, group, entity, prop, value)
    return made, {'value': token, 'entity': name, 'allowed': allowed}


def _tasks(key: Key, num: int) -> Array:
  """Tasks drawn by their shares, int32 [num]."""
  uniform = jax.random.uniform(key, (num, 1))
  return (uniform >= np.cumsum(SHARES)[:-1]).sum(-1, dtype=jnp.int32)


def _named(key: Key, name: str) -> Key:
  """The key of one named draw: adding a draw changes no other."""
  return jax.random.fold_in(key, zlib.crc32(name.encode()))


TASK = ConceptPercolation
