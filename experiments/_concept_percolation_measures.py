"""What the study `concept_percolation` measures at every snapshot of a run.

  written   what the network writes for each task, and whether it is right
  foretold  where its probability goes, in sentences and for unseen pairs
  known     what three who know the language more or less predict
  metrics   losses at the evaluations, of sentences by altered priors

Source: Lubana, Kawaguchi, Dick and Tanaka (2024), arXiv 2408.12578, and its
code; the comparison with predictors is ours.
"""

import functools

import jax
import jax.numpy as jnp
import xarray as xr

from jaxsynth import build
from jaxsynth.generate import generate
from jaxsynth.studies.study import Bench
from jaxsynth.tasks.lib import concept_checks as checks
from jaxsynth.tasks.lib import concept_words as words
from jaxsynth.tasks.lib.concept_word_laws import KIND, read

TASKS = ('free', 'unscramble', 'conditional')
# A rate over fewer words than one in so many sentences is taken for zero.
FEW = 8
SETS = ('free', 'uniform', 'adversarial', 'shuffled', 'random_words')
REACH = ('reach', 'reach_unscramble')
LEVELS = ('grammar', 'relative', 'descriptive')


def written(task, model):
  """The analysis of what a network writes, sampled at temperature 1.

  Args:
    task: a ConceptPercolation.
    model: the network.

  Returns:
    fn(params, ctx) -> rates, by task [3]: grammatical, of all sentences;
    relative, of all verbs, descriptive and allowed, of all values that were
    written, 0 where these were fewer than one in eight sentences; and of what
    the tasks ask for []: exact, sentences unscrambled; accuracy, their tokens
    in place; conditioned, sentences that parse and have all operands.
  """
  language, room = task.language, task.seq_len

  def measure(params, ctx):
    batches = [ctx.evals[name] for name in TASKS]
    join = lambda part: jnp.concatenate([part(b) for b in batches])
    prompts = join(lambda b: b.inputs)
    rows = len(prompts) // len(TASKS)
    made = generate(
      model,
      params,
      prompts,
      task.seq_len,
      given=join(lambda b: b.info['first']),
      key=ctx.key,
      stop=(words.EOS,),
      padding=words.PAD,
    ).tokens
    tokens, length = checks.sentence(made, room)
    by_task = lambda x: x.reshape(len(TASKS), rows)
    counts = checks.types(
      language, ctx.constants['task_params'], tokens, length
    )
    totals = {name: by_task(x).sum(1) for name, x in counts.items()}
    enough = lambda of: totals[of] >= max(rows // FEW, 1)
    rate = lambda name, of: jnp.where(
      enough(of), totals[name] / jnp.maximum(totals[of], 1), 0.0
    )
    truth = jnp.concatenate([prompts, join(lambda b: b.targets[:, -1:])], 1)
    truth = truth[rows : 2 * rows]  # of unscrambling
    one = slice(rows, 2 * rows)
    same = checks.unscrambled(
      tokens[one], length[one], *checks.sentence(truth, room)
    )
    right = by_task(checks.grammatical(language, tokens, length))
    asked = right[2] & checks.conditioned(made[2 * rows :], room)
    return {
      'grammatical': right.mean(1),
      'relative': rate('relative', 'verbs'),
      'descriptive': rate('descriptive', 'values'),
      'allowed': rate('allowed', 'values'),
      'exact': same['exact'].mean(),
      'accuracy': same['accuracy'].mean(),
      'conditioned': asked.mean(),
    }

  return measure


def foretold(task):
  """The analysis of where a network's probability goes.

  Returns:
    fn(params, ctx) -> all []: loss of the tokens of sentences in free
    generation, nats; verbs, objects, values: of the probability that goes to
    a part of speech where one stands, the share of the right class; reached:
    of pairs of entity and value that the language does not have, how many
    have a value among the 1.5 |K| most probable tokens; unseen, seen:
    probability of the value of such pairs, and of allowed ones, over 1 / |K|;
    and these three of prompts whose operands are the words, _unscramble.
  """
  table = words.lexicon(task.language)
  kind = jnp.asarray(table.kind)
  group = jnp.asarray(table.group)

  def measure(params, ctx):
    known = ctx.constants['task_params']
    batch = ctx.evals['free']
    probs = jax.nn.softmax(ctx.apply(params, batch.inputs).prediction)
    state = read(task.language, batch.inputs)
    place = jnp.arange(1, task.seq_len)
    inside = (place >= batch.info['first'][:, None]) & (batch.weights > 0)
    mean = lambda x, mask: (
      jnp.where(mask, x, 0).sum() / jnp.maximum(mask.sum(), 1)
    )
    own = jnp.take_along_axis(probs, batch.targets[..., None], 2)[..., 0]
    told = {'loss': mean(-jnp.log(own), inside)}
    wanted = batch.info['group'][:, None, None]
    for name, part, right in (
      ('verbs', 'verb', wanted),
      ('objects', 'generic', wanted + task.language.half),
      ('values', 'value', wanted),
    ):
      of_kind = jnp.where(kind == KIND[part], probs, 0)
      share = jnp.where(group == right, of_kind, 0).sum(-1) / of_kind.sum(-1)
      here = inside & (kind[batch.targets] == KIND[part])
      if name == 'objects':
        here &= state.verb
      told[name] = mean(share, here)
    both = [ctx.evals[name] for name in REACH]
    reach = jax.tree.map(lambda *x: jnp.concatenate(x), *both)
    last = reach.weights.argmax(1)
    probs = jax.nn.softmax(ctx.apply(params, reach.inputs).prediction)
    probs = jnp.take_along_axis(probs, last[:, None, None], 1)[:, 0]
    value = reach.info['value']
    found = checks.reached(task.language, known, probs, value)
    over = found['prob'] * known.live[group[value]] * task.values
    unseen = ~reach.info['allowed']
    for name, x, mask in (
      ('reached', found['reached'], unseen),
      ('unseen', over, unseen),
      ('seen', over, ~unseen),
    ):
      free, unscramble = map(mean, jnp.split(x, 2), jnp.split(mask, 2))
      told |= {name: free, f'{name}_unscramble': unscramble}
    return told

  return measure


def known(task):
  """The analysis of what three who know the language predict.

  Returns:
    fn(params, ctx) -> loss [3], nats for each token of sentences in free
    generation, of those in LEVELS.
  """

  def measure(params, ctx):
    del params
    batch = ctx.evals['free']
    place = jnp.arange(1, task.seq_len)
    inside = (place >= batch.info['first'][:, None]) & (batch.weights > 0)
    laws = task.reference(ctx.constants['task_params'], batch)
    own = lambda law: jnp.take_along_axis(law, batch.targets[..., None], 2)
    nll = [-jnp.log(own(laws[name])[..., 0]) for name in LEVELS]
    losses = [jnp.where(inside, x, 0).sum() / inside.sum() for x in nll]
    return {'loss': jnp.stack(losses)}

  return measure


def metrics(traj) -> xr.Dataset:
  """Losses of whole sequences at the evaluations [run, step], by set."""
  full = traj.metrics
  return xr.Dataset(
    {name: full[f'{name}/loss'].rename(eval_step='step') for name in SETS}
  )


def measure(
  bench: Bench, stage: str, config, wanted: tuple[str, ...] = ('curves',)
) -> dict[str, xr.Dataset]:
  """Trains a stage and computes its results, runs by seed.

  Args:
    bench: the bench.
    stage: its name.
    config: what it trains.
    wanted: of 'curves', which is `written` and `foretold` in one pass over
      the snapshots, 'known' and 'metrics'.
  """
  traj = bench.train(stage, config)
  setup = build.build(config)
  task = setup.task
  write, tell = written(task, setup.model), foretold(task)
  rates = ('grammatical', 'relative', 'descriptive', 'allowed')
  compute = {
    'curves': lambda: traj.map(
      lambda params, ctx: write(params, ctx) | tell(params, ctx),
      dims={name: ('task',) for name in rates},
      coords={'task': list(TASKS)},
      title='writing',
    ),
    'known': lambda: (
      traj.sel(steps=[traj.steps[0]])
      .map(
        known(task),
        dims={'loss': ('level',)},
        coords={'level': list(LEVELS)},
        title='predictors',
      )
      .isel(step=0, drop=True)
    ),
    'metrics': lambda: metrics(traj),
  }
  seeds = traj.runs['seed.init'].to_numpy()
  by_seed = lambda fn: fn().assign_coords(run=seeds)
  return {
    name: bench.measure(
      f'{stage}_{name}', functools.partial(by_seed, compute[name])
    )
    for name in wanted
  }
