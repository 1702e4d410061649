"""Diffusion against what is known of Gaussians and of DDPM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxsynth import diffusion

KEY = jax.random.key(0)
MEAN, VARIANCE = np.array([0.7, -0.2, 0.0]), np.array([0.04, 0.5, 1.0])


def answer(z, gamma, mean=MEAN, variance=VARIANCE):
  """E[noise | z] where x ~ N(mean, variance)."""
  a, b = diffusion.scales(gamma)
  return b * (z - a * mean) / (a**2 * variance + b**2)


def test_scales_keep_the_variance_and_gamma_is_noise_over_signal():
  gamma = jnp.linspace(-12.0, 12.0, 25)
  a, b = diffusion.scales(gamma)
  np.testing.assert_allclose(a**2 + b**2, 1, rtol=1e-6)
  np.testing.assert_allclose(jnp.log(b**2 / a**2), gamma, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('gamma', [jnp.asarray([-4.0, 0.0, 3.0]), 1.5])
def test_what_is_noised_can_be_cleaned(gamma):
  x, noise = jax.random.normal(KEY, (2, 3, 4, 4, 2))
  z = diffusion.noised(x, jnp.asarray(gamma), noise)
  back = diffusion.clean(z, jnp.asarray(gamma), noise)
  np.testing.assert_allclose(back, x, atol=2e-5)


def test_times_are_evenly_spaced():
  time = np.sort(diffusion.antithetic(KEY, 8))
  assert 0 <= time[0] <= time[-1] < 1
  np.testing.assert_allclose(np.diff(time), 1 / 8, atol=1e-6)


def test_discrete_time_is_that_of_ddpm():
  """The last share of signal that a thousand published steps leave is known."""
  gamma = diffusion.ddpm(1000)
  np.testing.assert_allclose(1 / (1 + np.exp(gamma[-1])), 4.0358e-5, rtol=1e-3)
  np.testing.assert_allclose(1 / (1 + np.exp(gamma[0])), 1 - 1e-4, rtol=1e-6)
  assert (np.diff(gamma) > 0).all()


def test_the_way_back_is_the_posterior_of_ddpm():
  """Equations 6 and 7 of Ho, Jain and Abbeel, in their own symbols."""
  beta = np.linspace(0.01, 0.3, 6)
  kept = np.cumprod(1 - beta)
  gamma = np.log1p(-kept) - np.log(kept)
  t = 4
  x, noise, fresh = np.random.default_rng(0).standard_normal((3, 5))
  z = np.sqrt(kept[t]) * x + np.sqrt(1 - kept[t]) * noise
  mean = (
    np.sqrt(kept[t - 1]) * beta[t] * x
    + np.sqrt(1 - beta[t]) * (1 - kept[t - 1]) * z
  ) / (1 - kept[t])
  variance = (1 - kept[t - 1]) / (1 - kept[t]) * beta[t]
  got = diffusion.back(z, gamma[t], gamma[t - 1], noise, fresh)
  np.testing.assert_allclose(got, mean + np.sqrt(variance) * fresh, atol=1e-5)


def test_the_way_back_to_no_noise_is_what_is_clean():
  z, noise, fresh = jax.random.normal(KEY, (3, 4, 2))
  now = jnp.asarray(-1.5)
  np.testing.assert_allclose(
    diffusion.back(z, now, -jnp.inf, noise, fresh),
    diffusion.clean(z, now, noise),
    rtol=1e-5,
  )


def test_prior_and_reconstruction_against_other_formulas():
  x = np.array([[0.5, -1.0], [2.0, 0.0]])
  end, start, resolution = 1.0, -3.0, 0.1
  a, b = (float(s) for s in diffusion.scales(jnp.asarray(end)))

  def divergence(mean):  # by quadrature
    p, q = stats.norm(mean, b), stats.norm()
    f = lambda z: p.pdf(z) * (p.logpdf(z) - q.logpdf(z))
    return integrate.quad(f, -10, 10)[0]

  expected = [sum(divergence(a * v) for v in row) for row in x]
  np.testing.assert_allclose(
    diffusion.prior_loss(jnp.asarray(x), end), expected, rtol=1e-4
  )
  off = np.exp(start / 2) * np.random.default_rng(0).standard_normal((200_000,))
  sampled = -stats.norm(0, resolution).logpdf(off).mean()
  got = diffusion.reconstruction_loss(2, start, jnp.asarray(resolution))
  np.testing.assert_allclose(got, 2 * sampled, rtol=0.01)


def test_the_bound_of_the_best_denoiser_is_the_entropy():
  """Up to what the schedule's start blurs: half log(1 + exp(start) / v)."""
  start, end, count = -9.0, 12.0, 60_000
  keys = jax.random.split(KEY, 3)
  x = MEAN + np.sqrt(VARIANCE) * jax.random.normal(keys[0], (count, 3))
  gamma = diffusion.linear(start, end, diffusion.antithetic(keys[1], count))
  noise = jax.random.normal(keys[2], x.shape)
  z = diffusion.noised(x, gamma, noise)
  parts = diffusion.diffusion_loss(
    start, end, noise, answer(z, gamma[:, None])
  ).mean()
  among = lambda g: 0.5 * np.log1p(VARIANCE * np.exp(-g)).sum()
  np.testing.assert_allclose(parts, among(start) - among(end), rtol=0.02)
  bound = parts + diffusion.prior_loss(x, jnp.asarray(end)).mean()
  bound += diffusion.reconstruction_loss(3, start, jnp.exp(start / 2))
  entropy = 0.5 * np.log(2 * np.pi * np.e * VARIANCE).sum()
  blurred = 0.5 * np.log1p(np.exp(start) / VARIANCE).sum()
  np.testing.assert_allclose(bound, entropy + blurred, atol=0.2)


def recursion(gammas, mean, variance):
  """Mean and variance of each entry of `sample` under the best denoiser.

  Every step is linear in z, so both follow exactly.
  """
  m, v = np.zeros_like(mean), np.ones_like(variance)
  sigmoid = lambda g: 1 / (1 + np.exp(-g))
  for i, now in enumerate(gammas):
    a, b = np.sqrt(sigmoid(-now)), np.sqrt(sigmoid(now))
    slope = b / (a**2 * variance + b**2)  # noise = slope (z - a mean)
    last = i == len(gammas) - 1
    then = -np.inf if last else gammas[i + 1]
    c = 1.0 if last else -np.expm1(then - now)
    out = 1.0 if last else np.sqrt(sigmoid(-then))
    keep = out / a * (1 - b * c * slope)
    m = keep * m + out / a * b * c * slope * a * mean
    v = keep**2 * v + (0.0 if last else sigmoid(then) * c)
  return m, v


@pytest.mark.parametrize('kind', ['continuous', 'ddpm'])
def test_the_sampler_has_the_moments_of_the_best_denoiser(kind):
  gammas = np.linspace(10.0, -7.0, 41)
  if kind == 'ddpm':
    gammas = diffusion.ddpm(50)[::-1]
  mean, variance = recursion(gammas, MEAN, VARIANCE)
  count = 20_000
  draw = lambda key: diffusion.sample(
    answer, jnp.asarray(gammas, jnp.float32), key, (count, 3)
  )
  x = np.asarray(jax.jit(draw)(KEY), np.float64)
  error = np.sqrt(variance / count)
  assert (abs(x.mean(0) - mean) < 4 * error).all()
  np.testing.assert_allclose(x.var(0), variance, rtol=4 * np.sqrt(2 / count))
  np.testing.assert_allclose(mean, MEAN, atol=0.01)


def test_many_steps_of_the_sampler_end_at_the_data():
  gammas = np.linspace(14.0, -12.0, 4001)
  mean, variance = recursion(gammas, MEAN, VARIANCE)
  np.testing.assert_allclose(mean, MEAN, atol=1e-3)
  np.testing.assert_allclose(variance, VARIANCE, rtol=5e-3)
