"""The language of entities: its laws and its checks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth.errors import UserError
from jaxsynth.tasks.concept_percolation import SHARES, ConceptPercolation
from jaxsynth.tasks.lib import concept_checks, concept_language
from jaxsynth.tasks.lib import concept_words as words

KEY = jax.random.key(7)
# All that the published language has, in small.
FULL = ConceptPercolation(
  classes=4, max_properties=5, values=10, generic=12, private=10, verbs=3,
  modifiers=6, density=0.2, seq_len=64, eval_size=64,
)  # fmt: skip
PLAIN = ConceptPercolation(seq_len=48)
LANGUAGE = FULL.language
TABLE = words.lexicon(LANGUAGE)
KIND = {name: i for i, name in enumerate(words.KINDS)}


@pytest.fixture(scope='module')
def known():
  return jax.jit(FULL.init)(KEY)


@pytest.fixture(scope='module')
def sets(known):
  return jax.jit(FULL.evals)(known, KEY)


@pytest.fixture(scope='module')
def many(known):
  """Two thousand sentences as lists of tokens."""
  go = jax.jit(
    lambda k: concept_language.sentences(LANGUAGE, known, k, 2000, 28)
  )
  drawn = jax.tree.map(np.asarray, go(jax.random.key(1)))
  return drawn, [list(t[:n]) for t, n in zip(drawn.tokens, drawn.length)]


def whole(batch):
  """Sequences with their last token."""
  return np.concatenate([batch.inputs, batch.targets[:, -1:]], 1)


def spoken(batch):
  first, long = (np.asarray(batch.info[k]) for k in ('first', 'long'))
  return [row[f : f + n] for row, f, n in zip(whole(batch), first, long)]


def operands(batch):
  first = np.asarray(batch.info['first'])
  return [row[4 : f - 2] for row, f in zip(whole(batch), first)]


def test_the_published_language_has_its_published_sizes():
  """18,857 tokens: the 19,428 of the code less 571 that never occur."""
  task = ConceptPercolation(
    classes=10, max_properties=46, values=40, generic=80, private=20,
    verbs=20, modifiers=20, density=0.1, seq_len=128,
  )  # fmt: skip
  language = task.language
  counts = np.bincount(words.lexicon(language).kind)
  found = dict(zip(words.KINDS, counts.tolist()))
  assert found['value'] == 17_800
  assert (found['generic'], found['private']) == (800, 100)
  assert (found['verb'], found['adverb'], found['adjective']) == (100, 20, 20)
  assert language.num_tokens == 19_428 - 571
  assert (language.in_use, language.private_in_use) == (4, 2)


def test_tokens_are_numbered_without_gaps():
  starts = LANGUAGE.starts
  for name, start in starts.items():
    for c, first in enumerate(np.atleast_1d(start)):
      assert TABLE.kind[first] == KIND[name]
      assert TABLE.number[first] == 0
      assert TABLE.group[first] == (c if start.ndim else -1)
  assert (TABLE.kind >= 0).all()
  assert len(TABLE.kind) == LANGUAGE.num_tokens == FULL.spec.vocab_size


def test_a_sequence_is_prompt_sentence_and_end(sets):
  names = np.array(words.SPECIAL)
  for batch in sets.values():
    rows = whole(batch)
    np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    for row, said, info in zip(
      rows, spoken(batch), zip(batch.info['task'], batch.info['first'])
    ):
      task, first = map(int, info)
      head = ['Task:', f'T{task}', '\\n', 'Ops:']
      assert names[row[:4]].tolist() == head
      assert names[row[first - 2 : first]].tolist() == ['\\n', 'Out:']
      end = first + len(said)
      assert row[end] == words.EOS
      assert (row[end + 1 :] == words.PAD).all()
      assert (said >= 10).all()
  for name in ('free', 'unscramble', 'conditional'):
    batch = sets[name]
    length = np.asarray(batch.info['first'] + batch.info['long'])
    np.testing.assert_array_equal(batch.weights.sum(-1), length)


def test_operands_of_each_task(sets):
  assert all(o.tolist() == [words.NULL] for o in operands(sets['free']))
  moved = 0
  for said, given in zip(
    spoken(sets['unscramble']), operands(sets['unscramble'])
  ):
    assert sorted(said) == sorted(given)
    moved += said.tolist() != given.tolist()
  assert moved > 50
  orders = set()
  for said, given in zip(
    spoken(sets['conditional']), operands(sets['conditional'])
  ):
    kinds = TABLE.kind[said]
    verb = kinds == KIND['verb']
    name = (kinds == KIND['generic']) | (kinds == KIND['private'])
    after = verb.cumsum() > 0
    slots = [name & ~after, name & after, verb, kinds == KIND['value']]
    assert len(given) == sum(s.any() for s in slots)
    for slot in slots:
      if slot.any():
        assert len(set(said[slot]) & set(given)) >= 1
    orders.add(tuple(TABLE.kind[given]))
  assert len(orders) > 6


def test_tasks_have_their_shares(known):
  go = jax.jit(lambda k: FULL.sample(known, k, 0, 4000).info['task'])
  counts = np.bincount(go(KEY), minlength=3) / 4000
  np.testing.assert_allclose(counts, SHARES, atol=0.035)


def test_every_sentence_passes_every_check(known, many):
  drawn, _ = many
  room = drawn.tokens, drawn.length
  holds = jax.jit(lambda t, n: concept_checks.grammatical(LANGUAGE, t, n))
  assert holds(*room).all()
  types = jax.jit(lambda t, n: concept_checks.types(LANGUAGE, known, t, n))
  got = types(*room)
  np.testing.assert_array_equal(got['verbs'], got['relative'])
  np.testing.assert_array_equal(got['values'], got['descriptive'])
  np.testing.assert_array_equal(got['values'], got['allowed'])
  assert got['verbs'].sum() > 500
  np.testing.assert_array_equal(got['verbs'] > 0, drawn.related)


def change(rows, kind, new):
  """The first word of a kind in each row replaced, where there is one."""
  out, changed = rows.copy(), []
  for row in out:
    at = np.flatnonzero(TABLE.kind[row] == KIND[kind])
    if len(at):
      row[at[0]] = new(row[at[0]])
    changed.append(len(at) > 0)
  return out, np.array(changed)


def test_checks_find_what_is_wrong(known, many):
  drawn, _ = many
  types = jax.jit(lambda t, n: concept_checks.types(LANGUAGE, known, t, n))
  holds = jax.jit(lambda t, n: concept_checks.grammatical(LANGUAGE, t, n))
  verbs, changed = change(
    drawn.tokens,
    'verb',
    lambda v: LANGUAGE.starts['verb'][1 - TABLE.group[v]] + TABLE.number[v],
  )
  got = types(verbs, drawn.length)
  assert (got['relative'] < got['verbs'])[changed].all()
  # a value of the same property that this entity cannot have
  stay = known.places[:, :, : LANGUAGE.in_use]

  def other(v):
    c, p, i = TABLE.group[v], TABLE.prop[v], TABLE.number[v]
    return LANGUAGE.starts['value'][c] + p * 10 + (i + 5) % 10

  values, changed = change(drawn.tokens, 'value', other)
  got = types(values, drawn.length)
  np.testing.assert_array_equal(got['values'], got['descriptive'])
  missed = (got['allowed'] < got['values'])[changed].mean()
  pairs = (np.asarray(stay)[..., None] - np.asarray(stay)[..., None, :]) % 10
  assert stay.shape == (4, 4, 2)
  assert missed > 0.6
  assert (missed == 1) == (not (pairs == 5).any())
  foreign, changed = change(
    drawn.tokens,
    'value',
    lambda v: LANGUAGE.starts['value'][(TABLE.group[v] + 1) % 4],
  )
  got = types(foreign, drawn.length)
  assert (got['descriptive'] < got['values'])[changed].all()
  for kind in ('is', 'on', 'generic'):
    broken, changed = change(drawn.tokens, kind, lambda v: words.EOS)
    assert not holds(broken, drawn.length)[changed].any()
  assert not holds(drawn.tokens[:, 1:], drawn.length).any()


def test_altered_and_scrambled_sets_fail_where_they_should(known, sets):
  def rates(name):
    tokens, length = concept_checks.sentence(jnp.asarray(whole(sets[name])), 28)
    got = concept_checks.types(LANGUAGE, known, tokens, length)
    holds = concept_checks.grammatical(LANGUAGE, tokens, length)
    share = got['allowed'].sum() / got['values'].sum()
    class_ = got['descriptive'].sum() / got['values'].sum()
    return float(holds.mean()), float(class_), float(share)

  assert rates('free') == rates('unscramble') == (1, 1, 1)
  # two of ten values in use: 2/10 uniformly, 1/9 against the prior
  for name, share in (('uniform', 0.2), ('adversarial', 1 / 9)):
    got = rates(name)
    assert got[:2] == (1, 1)
    assert got[2] == pytest.approx(share, abs=0.15)
  assert rates('shuffled')[0] < 0.2
  grammar, class_, _ = rates('random_words')
  assert grammar > 0.8  # private names among objects are out of place
  assert class_ < 0.6


def test_unscrambling_is_scored():
  wanted = jnp.array([[5, 6, 6, 7, 0]] * 5)
  said = jnp.array(
    [
      [5, 6, 6, 7, 0],
      [6, 5, 6, 7, 0],
      [5, 6, 7, 7, 0],
      [5, 6, 6, 7, 8],
      [5, 6, 0, 0, 0],
    ]
  )
  length, long = jnp.array([4, 4, 4, 5, 2]), jnp.full(5, 4)
  got = concept_checks.unscrambled(said, length, wanted, long)
  assert got['exact'].tolist() == [True, False, False, False, False]
  assert got['accuracy'].tolist() == [1, 0.5, 0.75, 1, 0.5]
  assert got['overlap'].tolist() == [1, 1, 0.75, 1, 0.5]


def test_operands_are_looked_for(sets):
  rows = whole(sets['conditional'])
  assert concept_checks.conditioned(jnp.asarray(rows), 28).all()
  missing = rows.copy()
  for row, first, n in zip(
    missing,
    *(np.asarray(sets['conditional'].info[k]) for k in ('first', 'long')),
  ):
    row[first : first + n][row[first : first + n] == row[4]] = words.NULL
  assert not concept_checks.conditioned(jnp.asarray(missing), 28).any()


def test_reach_is_a_rank_among_the_values_of_a_class(known, sets):
  """With all probability on the values of its class a value is reached; with
  all of it elsewhere it is not."""
  value = sets['reach'].info['value']
  own = TABLE.group[value][:, None] == TABLE.group
  inside = jnp.asarray(own & (TABLE.kind == KIND['value']), jnp.float32)
  got = concept_checks.reached(LANGUAGE, known, inside, value)
  assert got['reached'].all()
  assert (got['rank'] == 0).all()
  got = concept_checks.reached(LANGUAGE, known, 1 - inside, value)
  assert not got['reached'].any()
  assert (got['prob'] == 0).all()


def test_words_depend_on_each_other_as_they_should(known, many):
  """Laws of values, private names and adjectives, by their keys."""
  _, rows = many
  places, private = np.asarray(known.places), np.asarray(known.private)
  alone, firsts = [], {'same': 0, 'none': 0, 'all': 0}
  for row in rows:
    kind, number = TABLE.kind[row], TABLE.number[row]
    verbs = np.flatnonzero(kind == KIND['verb'])
    names = np.flatnonzero(
      (kind == KIND['generic']) | (kind == KIND['private'])
    )
    limit = verbs[0] if len(verbs) else len(row)
    subjects = names[names < limit]
    things = names[names > limit] if len(verbs) else names[:0]
    key = number[things[0]] if len(things) else 0
    for i in subjects:
      if kind[i] == KIND['private']:
        may = (private[TABLE.group[row[i]], :2] + key) % 10
        assert number[i] in may
        alone += [number[i]] * (len(things) == 0)
    for i in np.flatnonzero(kind == KIND['value']):
      may = places[TABLE.group[row[i]], TABLE.prop[row[i]], :2]
      assert number[i] in (may + number[subjects[-1]]) % 10
    for i in np.flatnonzero(
      (kind == KIND['generic']) | (kind == KIND['value'])
    ):
      before = i > 0 and kind[i - 1] == KIND['adjective']
      outcome = TABLE.number[row[i - 1]] + 1 if before else 0
      firsts['same'] += outcome == number[i] % 7
      firsts['none'] += outcome == 0
      firsts['all'] += 1
  assert len(alone) > 20
  # One outcome of seven has .1, the others .15 each.
  assert firsts['same'] / firsts['all'] == pytest.approx(0.1, abs=0.015)
  assert firsts['none'] / firsts['all'] == pytest.approx(0.14, abs=0.02)


def test_fewer_properties_are_a_prefix_in_one_compile():
  task = ConceptPercolation()
  init = jax.jit(task.init)
  few, all_ = init(KEY, num_properties=3), init(KEY, num_properties=6)
  np.testing.assert_array_equal(few.places, all_.places)
  assert few.live.tolist() == [2] * 4
  assert all_.live.tolist() == [5] * 4
  table = words.lexicon(task.language)
  batch = jax.jit(lambda p: task.sample(p, KEY, 0, 200))(few)
  assert table.prop[whole(batch)].max() == 1


def test_reach_asks_for_pairs_that_training_has_not(known, sets):
  batch = sets['reach']
  info = {k: np.asarray(v) for k, v in batch.info.items()}
  row, column = np.nonzero(batch.weights)
  np.testing.assert_array_equal(row, np.arange(64))
  value = np.asarray(batch.targets)[row, column]
  np.testing.assert_array_equal(value, info['value'])
  for said, entity, target in zip(spoken(batch), info['entity'], value):
    kinds = [words.KINDS[k] for k in TABLE.kind[said]]
    assert kinds == ['adjective', 'generic', 'is', 'adjective', 'value']
    assert (said[1], said[4]) == (entity, target)
    assert TABLE.group[entity] == TABLE.group[target]
  places = np.asarray(known.places)[TABLE.group[value], TABLE.prop[value], :2]
  shift = (TABLE.number[value] - TABLE.number[info['entity']]) % 10
  np.testing.assert_array_equal(
    info['allowed'], (places == shift[:, None]).any(1)
  )
  assert 0.05 < info['allowed'].mean() < 0.4


def test_after_unscrambling_prompts_the_same_pairs_are_asked_for(sets):
  free, told = sets['reach'], sets['reach_unscramble']
  rows = np.concatenate([told.inputs, told.targets[:, -1:]], 1).tolist()
  before = [list(map(int, x)) for x in spoken(free)]
  for i, (row, sentence) in enumerate(zip(rows, before)):
    n = len(sentence)
    line = [words.LINE, words.OUT]
    assert row[:4] == [words.TASK, words.T0 + 1, words.LINE, words.OPS]
    assert sorted(row[4 : 4 + n]) == sorted(sentence)
    assert row[4 + n :][: n + 3] == [*line, *sentence, words.EOS]
    assert set(row[2 * n + 7 :]) <= {words.PAD}
    (at,) = np.flatnonzero(told.weights[i])
    assert told.targets[i, at] == sentence[-1] == free.info['value'][i]
  mixed = np.asarray(told.inputs)[:, 4 : 4 + n]
  assert (mixed != np.asarray(before)).any()
  order = np.argsort(mixed, 1)
  assert len(np.unique(order, axis=0)) > 10
  same = jax.tree.map(np.array_equal, free.info, told.info)
  assert [k for k, v in same.items() if not v] == ['first', 'task']


@pytest.mark.parametrize(
  ('fields', 'says'),
  [
    ({'classes': 3}, 'classes must be even'),
    ({'max_properties': 1}, 'properties must be at least 2'),
    ({'density': 0.05}, 'density must leave 1..9 of 10'),
    ({'private': 4}, 'leaves no private name'),
    ({'seq_len': 12}, 'seq_len must be at least 13'),
    ({'modifiers': 2, 'seq_len': 16}, 'seq_len must be at least 17'),
    ({'eval_size': 0}, 'eval_size'),
  ],
)
def test_impossible_sizes_are_refused(fields, says):
  with pytest.raises(UserError, match=says):
    ConceptPercolation(**fields)


def test_impossible_numbers_of_properties_are_refused():
  task = ConceptPercolation()
  for wrong in (1, 7, 2.5):
    with pytest.raises(UserError, match=r'num_properties must be in 2\.\.6'):
      task.init(KEY, num_properties=wrong)
  task.check(num_properties=4.0)
