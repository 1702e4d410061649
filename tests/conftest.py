"""What the tests share: the devices, a toy program, and one tiny training.

Two single-threaded CPU devices, so that a block always has more than one run.
Compiled programs stay on disk, where parallel workers and later runs of the
tests find them.

`lab` trains a toy that compiles in a fraction of a second: a noisy, slightly
nonlinear descent on sum_i a_i x_i^2 / 2, with a_i drawn from the stream
'task', x(0) from 'init' and the noise from 'data'.
"""

import gc
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import build, rng, stage
from jaxsynth.train import engine as engines
from jaxsynth.train import layout as layouts
from jaxsynth.train import loop
from jaxsynth.train.program import Program
from jaxsynth.train.sweep import Sweep
from jaxsynth.trajectory import manifest, plan, saves, store
from jaxsynth.trajectory.trajectory import Trajectory
from jaxsynth.trajectory.writer import Writer

layouts.configure(cpu_devices=2)
jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)

RATE = 'optimizer.peak_lr'
# Memory maps of a process that hold compiled programs: Linux allows 65,530, and
# XLA aborts beyond.
MOST_MAPS = 20_000
_programs = []


def _listen(event, seconds, **_):
  if event.endswith('backend_compile_duration'):
    _programs.append(seconds)


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture(autouse=True)
def bounded():
  """Lets go of compiled programs, when a few dozen came, if they are many."""
  yield
  if len(_programs) < 50:
    return
  _programs.clear()
  maps = Path('/proc/self/maps')
  if maps.exists() and maps.read_bytes().count(b'\n') > MOST_MAPS:
    jax.clear_caches()
    gc.collect()


def _toy_init(run):
  x = jax.random.normal(rng.stream(run.seeds, 'init'), (5,))
  return {'x': x, 'speed': jnp.zeros(5), 'count': jnp.int32(0)}


def _toy_draw(run, t):
  """Exact numbers, the same bits however many steps are drawn at once."""
  key = rng.at(rng.stream(run.seeds, 'data'), t)
  return jax.random.randint(key, (5,), -(2**22), 2**22) / 2**20


def _toy_step(run, state, t):
  noise = _toy_draw(run, t) if run.drawn is None else run.drawn
  x, a = state['x'], run.constants['a']
  speed = 0.9 * state['speed'] + jnp.tanh(a @ x + 0.1 * noise)
  new = {
    'x': x - run.hparams.get(RATE, 0.1) * speed,
    'speed': speed,
    'count': state['count'] + 1,
  }
  return new, {'loss': 0.5 * x @ a @ x, 'noise': noise[0]}


def _toy_evaluate(run, state, t):
  return {'probe': jnp.exp(state['x'] @ run.constants['a']).sum(), 'at': t}


def _toy_constants(run):
  root = jax.random.normal(rng.stream(run.seeds, 'task'), (5, 5))
  return {'a': root @ root.T / 5}


TOY = Program(
  init=_toy_init,
  step=_toy_step,
  keep=lambda state: {'x': state['x'], 'count': state['count']},
  evaluate=_toy_evaluate,
  constants=_toy_constants,
  constant_streams=('task',),
  draw=_toy_draw,
)


def specs(seeds: Any = 3, rates: tuple = (0.1,), **fixed: int) -> list:
  """Runs of the toy: rates x seeds."""
  traced = {RATE: rates} if rates else {}
  return Sweep(seeds=seeds, fixed=fixed, traced=traced).runs()


def layout(mode: str = 'map', block: int = 2, devices: int = 2):
  """A layout built by hand, over the first so many devices."""
  return layouts.Layout(mode, block, 1, tuple(jax.devices()[:devices]))


def schedule(
  last=20,
  snapshots=(0, 1, 2, 7, 10, 11, 20),
  evals=(0, 5, 10, 20),
  branches=(),
  call_steps=6,
  call_snapshots=256,
):
  """A short schedule with snapshots on and off the cuts between calls."""
  return plan.schedule(
    last,
    snapshots,
    evals,
    branches,
    call_steps=call_steps,
    call_snapshots=call_snapshots,
  )


def index(runs: list, **more: Any) -> dict:
  """The index of a training without a config."""
  return {
    'runs': [
      {'run_id': s.id, 'seeds': dict(s.seeds), 'hparams': dict(s.hparams)}
      for s in runs
    ],
    **more,
  }


@cache
def _compiled(program, on, counts, shared):
  return _build(program, on, SimpleNamespace(**dict(counts)), shared)


_build = engines.build


def _memo(program, on, sizes, shared):
  """`engine.build`, so that equal programs of the tests compile once."""
  counts = ('max_steps', 'max_snapshots', 'max_evals')
  counts = tuple((n, getattr(sizes, n)) for n in counts)
  return _compiled(program, on, counts, shared)


def go(
  folder: Path,
  runs: list,
  *,
  program: Program = TOY,
  on=None,
  sizes=None,
  about: dict | None = None,
  **options: Any,
) -> Trajectory:
  """Trains, or goes on training, `runs` in `folder` and opens the result."""
  sizes, on = sizes or schedule(), on or layout()
  engine = _memo(program, on, sizes, options.pop('shared', False))
  with Writer(folder, index(runs, **(about or {}))) as writer:
    loop.train(engine, runs, sizes, on, writer, **options)
  return Trajectory(folder, constants=program.constants)


def contents(traj: Trajectory) -> dict[str, dict[str, np.ndarray]]:
  """Everything a training left, by run identity: bits and their labels."""
  branch = traj.branch(int(traj.metrics.step[-1]))
  names = list(manifest.read(branch)['arrays'])
  arrays = {f'state.{n}': a for n, a in store.load(branch, names).items()}
  arrays |= {f'leaf.{n}': traj.leaf(n)[:] for n in traj.leaves}
  arrays |= {f'metric.{n}': v.to_numpy() for n, v in traj.metrics.items()}
  labels = {
    'steps': traj.steps,
    'eval_steps': traj.metrics.eval_step.to_numpy(),
  }
  return {
    run: {**labels, **{n: a[i] for n, a in arrays.items()}}
    for i, run in enumerate(traj.runs.run_id)
  }


def differing(one: dict, two: dict) -> list[str]:
  """Names of what differs in a single bit between two runs' contents."""
  assert one.keys() == two.keys()
  same = lambda a, b: (
    (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
  )
  return [n for n in one if not same(one[n], two[n])]


def resign(save, **labels):
  """Writes a manifest that agrees with the files, whatever they hold."""
  body = {**manifest.read(save), **labels}
  body['files'] = {
    name: [p.stat().st_size, manifest.digest(p.read_bytes())]
    for name, p in manifest._files(save).items()
  }
  manifest.write_json(manifest.path_of(save), manifest.signed(body))


def rewrite(save, change):
  """Changes the arrays of a save, with a manifest to match."""
  body = manifest.read(save)
  arrays = store.load(save, list(body['arrays']))
  arrays = {n: change(n, a.copy()) for n, a in arrays.items()}
  shutil.rmtree(save)
  store.save(save, arrays)
  own = ('files', 'arrays', 'crc32', 'format')
  labels = {k: v for k, v in body.items() if k not in own}
  manifest.commit(save, arrays, labels)


def replace(save, change):
  """Changes the arrays of a save; only the checksums of their rows are old."""
  arrays = store.load(save, list(manifest.read(save)['arrays']))
  arrays = {n: change(n, a.copy()) for n, a in arrays.items()}
  shutil.rmtree(save)
  store.save(save, arrays)
  resign(save)


def rechain(folder):
  """Corrects every link between saves, too."""
  states = [
    *saves.committed(folder / 'branches'),
    *saves.committed(folder / 'checkpoints'),
  ]
  digests = {
    int(p.name): manifest.state_digest(manifest.read(p)) for p in states
  }
  previous, ends = None, {}
  for segment in saves.committed(folder / 'segments'):
    body = manifest.read(segment)
    start = digests.get(body['start'], body['started_from'])
    resign(segment, previous=previous, started_from=start)
    previous = ends[body['stop']] = manifest.content(manifest.read(segment))
  for state in states:
    resign(state, segment=ends.get(int(state.name)))


TINY = {
  'task': {
    'name': 'markov_mixture',
    'num_states': 3,
    'seq_len': 9,
    'max_chains': 4,
    'eval_size': 8,
    'aligned_reps': 0,
  },
  'model': {
    'name': 'transformer',
    'num_layers': 1,
    'd_model': 8,
    'num_heads': 2,
    'max_len': 8,
  },
  'train': {
    'steps': 12,
    'batch_size': 4,
    'snapshots': (0, 1, 5, 6, 11, 12),
    'evals': (0, 6, 12),
    'branches': (0, 6),
    'call_steps': 5,
  },
  'sweep': {
    'seeds': 2,
    'fixed': {'data': 7},
    'traced': {'task': {'num_chains': (2, 4)}},
  },
}


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
  """A config, built, and its trajectory: four runs of a transformer."""
  setup = build.build(TINY)
  folder = tmp_path_factory.mktemp('tiny') / 'trajectory'
  return setup, stage.train(setup, folder, quiet=True)


@pytest.fixture(scope='session')
def lab():
  """The toy and the functions above, for tests in any folder."""
  return SimpleNamespace(
    tiny=TINY,
    toy=TOY,
    specs=specs,
    layout=layout,
    schedule=schedule,
    index=index,
    go=go,
    memo=_memo,
    contents=contents,
    differing=differing,
  )


@pytest.fixture(scope='session')
def forge():
  """What an editor of a trajectory would do to cover the traces."""
  return SimpleNamespace(
    resign=resign, rewrite=rewrite, replace=replace, rechain=rechain
  )


@pytest.fixture(scope='session')
def store_server():
  """An S3 server, see fake_store.py, that this process and its own find."""
  from tests.fake_store import Store  # moto takes a second to import

  server = Store()
  with pytest.MonkeyPatch.context() as patch:
    for name, value in server.env.items():
      patch.setenv(name, value)
    yield server
  server.close()


@pytest.fixture
def remote(store_server, tmp_path):
  """(the server, the URL of a folder of this test)."""
  yield store_server, f'{store_server.url}/{tmp_path.name}'
  store_server.refuse = lambda environ: False
  store_server.ignore_conditions = False
