"""Probes against numpy's and scikit-learn's least squares and ridge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge

from jaxsynth.analysis import probes

X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)


def test_least_squares_is_numpys():
  expected = np.linalg.lstsq(X, Y, rcond=None)[0]
  np.testing.assert_allclose(probes.fit(X, Y), expected, atol=1e-5)


@pytest.mark.parametrize('ridge', [0.3, 30.0])
def test_ridge_is_scikit_learns(ridge):
  expected = Ridge(alpha=ridge, fit_intercept=False).fit(X, Y).coef_.T
  np.testing.assert_allclose(probes.fit(X, Y, ridge), expected, atol=1e-5)


def test_a_column_of_ones_is_an_intercept():
  fitted = LinearRegression().fit(X, Y + 5)
  probe = probes.fit(probes.with_ones(X), Y + 5)
  np.testing.assert_allclose(probe[:-1], fitted.coef_.T, atol=1e-4)
  np.testing.assert_allclose(probe[-1], fitted.intercept_, atol=1e-4)


def test_dependent_columns_give_the_least_norm():
  twice = np.concatenate([X, X], 1)
  probe = np.asarray(probes.fit(twice, Y))
  np.testing.assert_allclose(probe[:6], probe[6:], atol=1e-4)
  expected = np.linalg.lstsq(X, Y, rcond=None)[0]
  np.testing.assert_allclose(2 * probe[:6], expected, atol=1e-4)
  # Nor does a ridge that is nothing beside the rest break it.
  small = np.asarray(probes.fit(twice, Y, 1e-9))
  np.testing.assert_allclose(small, probe, atol=1e-4)


def test_a_probe_of_what_is_linear_reads_it_and_noise_it_does_not():
  w = jax.random.normal(jax.random.key(0), (6, 3))
  exact = probes.score(probes.fit(X, X @ w), X[:9], X[:9] @ w)
  assert float(exact['unexplained']) < 1e-9
  assert float(exact['cosine']) == pytest.approx(1, abs=1e-5)
  noise = probes.score(jnp.zeros((6, 3)), X, Y)
  assert float(noise['mse']) == pytest.approx(float((Y**2).mean()), rel=1e-5)
  assert float(noise['unexplained']) >= 1
  # The cosine has no sign and no scale.
  away = probes.score(-7 * probes.fit(X, X @ w), X, X @ w)
  assert float(away['cosine']) == pytest.approx(1, abs=1e-5)
