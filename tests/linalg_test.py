"""Decompositions of many matrices, on devices that share threads."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import linalg, stage

DECOMPOSING = """
from jaxsynth.train import layout
layout.configure(cpu_devices=2)
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from jaxsynth.analysis.nuclear_norm import complete
mesh = Mesh(jax.devices(), ('run',))
def many(key):
  left, right, mask = jax.random.split(key[0], 3)
  left = jax.random.normal(left, (512, 4, 1))
  x = left @ jax.random.normal(right, (512, 1, 4))
  seen = jax.random.uniform(mask, x.shape) < 0.7
  return jax.vmap(lambda x, seen: complete(x, seen)['gap'])(x, seen)[None]
both = jax.jit(
  jax.shard_map(
    many, mesh=mesh, in_specs=P('run'), out_specs=P('run'), check_vma=False
  )
)
keys = jax.random.split(jax.random.key(0), 2)
keys = jax.device_put(keys, NamedSharding(mesh, P('run')))
for _ in range(4):
  jax.block_until_ready(both(keys))
"""


def test_devices_that_decompose_many_matrices_do_not_wait_for_each_other():
  """They did for ever, where each device had but one of XLA's threads."""
  env = {k: v for k, v in os.environ.items() if k not in ('XLA_FLAGS', 'NPROC')}
  subprocess.run(
    [sys.executable, '-c', DECOMPOSING], check=True, timeout=120, env=env
  )


@pytest.fixture
def matrices():
  return jax.random.normal(jax.random.key(0), (2, 50, 4, 3))


def test_mapped_they_are_what_numpy_says(matrices):
  u, s, vt = jax.jit(jax.vmap(jax.vmap(linalg.svd)))(matrices)
  expected = np.linalg.svd(np.asarray(matrices), compute_uv=False)
  np.testing.assert_allclose(s, expected, atol=1e-5)
  np.testing.assert_allclose((u * s[..., None, :]) @ vt, matrices, atol=1e-5)
  alone = jax.vmap(jax.vmap(linalg.singular_values))(matrices)
  np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_mapped_over_one_argument_or_both_they_solve(matrices):
  square, right = matrices[0, :, :3] + 4 * jnp.eye(3), matrices[0, 0, :3]
  one = jax.vmap(linalg.solve, (0, None))(square, right)
  np.testing.assert_allclose(square @ one, right[None].repeat(50, 0), atol=1e-5)
  both = jax.jit(jax.vmap(linalg.solve))(square, matrices[1, :, :3])
  np.testing.assert_allclose(square @ both, matrices[1, :, :3], atol=1e-5)


def found(fn, *args):
  return list(linalg.batches(jax.jit(fn).trace(*args).jaxpr.jaxpr))


def test_batches_are_found_wherever_they_are(matrices):
  """Also within loops; what is mapped one by one is no batch."""
  plain = lambda x: jnp.linalg.svd(x, compute_uv=False)
  assert found(plain, matrices) == [('svd', (2, 50, 4, 3))]
  assert found(plain, matrices[:, :32]) == []

  def loop(x):
    fn = lambda x, _: (x + jax.vmap(plain)(x)[..., None, :], None)
    return jax.lax.scan(fn, x, None, 3)[0]

  assert found(loop, matrices) == [('svd', (2, 50, 4, 3))]
  mapped = jax.vmap(jax.vmap(linalg.singular_values))
  assert found(mapped, matrices) == []
  square = matrices[..., :3, :]
  assert [name for name, _ in found(jnp.linalg.eigh, square)] == ['eigh']
  assert [name for name, _ in found(jnp.linalg.inv, square)] == ['lu']


@pytest.mark.parametrize(
  ('devices', 'threads', 'warns'),
  [(2, '', True), (2, '3', True), (2, '4', False), (1, '', False)],
)
def test_devices_that_may_wait_are_named(
  matrices, monkeypatch, capsys, devices, threads, warns
):
  monkeypatch.setenv('NPROC', threads)
  jaxpr = jax.jit(jnp.linalg.qr).trace(matrices).jaxpr.jaxpr
  linalg.warn_of_waiting(jaxpr, devices)
  said = capsys.readouterr().err
  assert ('2 x 50 x 4 x 3 on 2 CPU devices' in said) == warns
  assert ('NPROC=4' in said) == warns


class SaidError(Exception):
  """Raised in the place of a line on the terminal."""


@pytest.fixture
def speaks(monkeypatch):
  """Notes are raised, before anything is compiled; few matrices are many."""

  def note(line):
    raise SaidError(line)

  monkeypatch.delenv('NPROC', raising=False)
  monkeypatch.setattr(linalg, '_SMALL', 1)
  monkeypatch.setattr(linalg.progress, 'note', note)


def test_a_training_says_so_before_it_compiles(tiny, speaks, tmp_path):
  program = tiny[0].program()

  def constants(run):
    q, _ = jnp.linalg.qr(jnp.ones((2, 3, 3)))
    return {**program.constants(run), 'q': q}

  with pytest.raises(SaidError, match='2 x 3 x 3 on 2 CPU devices'):
    stage.train(
      tiny[0],
      tmp_path,
      program=program._replace(constants=constants),
      quiet=True,
    )


def test_a_mapped_analysis_says_so_before_it_runs(tiny, speaks):
  def measure(params, ctx):
    return {'q': jnp.linalg.qr(jnp.ones((2, 3, 3)) * ctx.step)[0]}

  with pytest.raises(SaidError, match='2 x 3 x 3 on 2 CPU devices'):
    tiny[1].map(measure, quiet=True)
