"""Labels and the balanced logistic loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfst_jax.train.losses import balanced_logistic, labels


def test_thirteen_cells_around_the_centre_are_positive_at_a_radius_of_16():
    found = labels()
    cells = {(int(i) - 8, int(j) - 8) for i, j in np.argwhere(found)}
    assert cells == {(i, j) for i in range(-8, 9) for j in range(-8, 9) if abs(i) + abs(j) <= 2}
    circle = {(i, j) for i in range(-8, 9) for j in range(-8, 9) if i**2 + j**2 <= 4}
    assert cells == circle  # as in SiamFC's paper


def test_positive_cells_are_a_diamond():
    assert labels(24.0).sum() == 25  # |dx| + |dy| <= 3
    assert labels(0.0).sum() == 1


def test_the_loss_by_hand():
    positive = jnp.asarray(labels())
    response = jnp.where(positive, 2.0, -1.0)
    # 13 cells share 1/2 at log(1 + e^-2), the other 276 share 1/2 at log(1 + e^-1).
    expected = 0.5 * np.log1p(np.exp(-2)) + 0.5 * np.log1p(np.exp(-1))
    np.testing.assert_allclose(balanced_logistic(response, positive), expected, rtol=3e-6)


def test_no_knowledge_costs_log_2_and_each_kind_of_cell_weighs_a_half():
    positive = jnp.asarray(labels())
    np.testing.assert_allclose(balanced_logistic(jnp.zeros((3, 17, 17)), positive), np.log(2), rtol=3e-6)
    gradient = jax.grad(lambda response: balanced_logistic(response, positive))(jnp.zeros((17, 17)))
    # d/dr log(1 + exp(-y r)) = -y / 2 at 0
    assert float(jnp.sum(jnp.where(positive, gradient, 0))) == pytest.approx(-0.25, rel=1e-6)
    assert float(jnp.sum(jnp.where(positive, 0, gradient))) == pytest.approx(0.25, rel=1e-6)


def test_large_responses_do_not_overflow():
    positive = jnp.asarray(labels())
    response = jnp.where(positive, -1e4, 1e4)
    np.testing.assert_allclose(balanced_logistic(response, positive), 1e4, rtol=3e-6)
