"""Labels are the teacher's; a full batch is the whole set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxsynth.errors import UserError
from jaxsynth.tasks.linear_teacher import LinearTeacher

TASK = LinearTeacher(num_inputs=4, num_classes=3, num_points=60)
KEY = jax.random.key(3)


def test_training_points_are_separable():
  teacher = TASK.init(KEY)
  x, y = np.asarray(teacher.points), np.asarray(teacher.labels)
  assert LogisticRegression(C=1e8, max_iter=10_000).fit(x, y).score(x, y) == 1
  chosen = (x.astype(float) @ np.asarray(teacher.matrix, float)).argmax(1)
  np.testing.assert_array_equal(y, chosen)


def test_a_full_batch_is_every_point_once():
  teacher = TASK.init(KEY)
  batch = TASK.sample(teacher, jax.random.key(1), jnp.int32(0), 60)
  order = np.lexsort(np.asarray(batch.inputs).T)
  known = np.lexsort(np.asarray(teacher.points).T)
  np.testing.assert_array_equal(batch.inputs[order], teacher.points[known])
  np.testing.assert_array_equal(batch.targets[order], teacher.labels[known])


def test_label_noise_replaces_that_share_and_no_held_out_label():
  task = LinearTeacher(num_points=6000, num_classes=4)
  clean, noisy = task.init(KEY), task.init(KEY, label_noise=0.4)
  np.testing.assert_array_equal(clean.points, noisy.points)
  changed = float((clean.labels != noisy.labels).mean())
  assert abs(changed - 0.4 * 3 / 4) < 0.02  # one in four is drawn right
  held = task.evals(noisy, jax.random.key(1))['held_out']
  right = task.reference(noisy, held)['teacher'].argmax(-1)
  np.testing.assert_array_equal(held.targets, right)


def test_mistakes():
  with pytest.raises(UserError, match='batch_size=61 exceeds'):
    TASK.sample(TASK.init(KEY), KEY, jnp.int32(0), 61)
  with pytest.raises(UserError, match='label_noise must lie'):
    TASK.check(label_noise=1.5)
  with pytest.raises(UserError, match='num_classes must be at least 2'):
    LinearTeacher(num_classes=1)
