"""What every analysis promises, checked on every module of the folder.

A new module of `jaxsynth.analysis` is found by its file name; nothing here is
edited. Each offers `examples(key)`: function name -> arguments, small ones
that take milliseconds, for every public function it defines. Arguments that
are arrays, or pytrees of nothing else, are traced and mapped; all others
(sizes, names, functions, a context) are static. Shapes must not depend on the
key. With these arguments a function

- returns an array, or a dict from names to arrays, all finite;
- says the same of two sets of arguments at once, compiled and under vmap, as
  of each, not compiled.

Its docstring names every argument, gives shapes and says what is returned;
the module's docstring cites a source.
"""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsynth import lookup

PACKAGE = 'jaxsynth.analysis'
MODULES = {
  name: lookup.get(PACKAGE, name, 'examples').__globals__
  for name in lookup.names(PACKAGE)
}


def public(module):
  """The functions that a module defines and offers."""
  return sorted(
    name
    for name, value in module.items()
    if inspect.isfunction(value)
    and value.__module__ == module['__name__']
    and not name.startswith('_')
    and name != 'examples'
  )


CASES = [(m, f) for m, module in MODULES.items() for f in public(module)]
ids = lambda case: '.'.join(case)


def is_array(value):
  return isinstance(value, jax.Array)


def is_traced(argument):
  leaves = jax.tree.leaves(argument)
  return bool(leaves) and all(map(is_array, leaves))


def split(arguments):
  """The traced arguments, and how to call a function on others like them."""
  traced = {i: a for i, a in enumerate(arguments) if is_traced(a)}

  def call(function, given):
    full = [given.get(i, a) for i, a in enumerate(arguments)]
    return function(*full)

  return traced, call


def close(got, expected):
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5),
    got,
    expected,
  )


@pytest.mark.parametrize('name', MODULES)
def test_every_public_function_has_an_example(name):
  given = MODULES[name]['examples'](jax.random.key(0))
  assert sorted(given) == public(MODULES[name])


@pytest.mark.parametrize('name', MODULES)
def test_module_cites_its_source(name):
  doc = MODULES[name]['__doc__']
  assert re.search(r'^Source: .+', doc, re.MULTILINE)


@pytest.mark.parametrize('case', CASES, ids=ids)
def test_docstring_is_complete(case):
  function = MODULES[case[0]][case[1]]
  doc = inspect.getdoc(function)
  arguments, returns = re.search(
    r'\nArgs:\n(.*?)\n\nReturns:\n(.*)', doc, re.DOTALL
  ).groups()
  for name in inspect.signature(function).parameters:
    assert re.search(rf'^\s+{name}: ', arguments, re.MULTILINE), name
  shape = r'\[[^\]]*\]|entries of'
  assert re.search(shape, arguments), 'no shape of an argument'
  assert re.search(shape, returns), 'no shape of a result'


@pytest.mark.parametrize('case', CASES, ids=ids)
def test_compiled_and_mapped_equal_eager(case):
  module, name = MODULES[case[0]], case[1]
  function = module[name]
  traced, call = split(module['examples'](jax.random.key(0))[name])
  other, _ = split(module['examples'](jax.random.key(1))[name])
  eager = [call(function, given) for given in (traced, other)]

  single = {'value': eager[0]} if is_array(eager[0]) else eager[0]
  assert isinstance(single, dict)
  for key, value in single.items():
    assert isinstance(key, str)
    assert is_array(value), key
    assert not jnp.issubdtype(value.dtype, jnp.floating) or bool(
      jnp.isfinite(value).all()
    ), key

  stack = lambda *x: jnp.stack(x)
  both = jax.tree.map(stack, traced, other)
  mapped = jax.jit(jax.vmap(lambda given: call(function, given)))
  close(mapped(both), jax.tree.map(stack, *eager))
