"""The optimiser beside its formulas, and accumulation as accelerators do it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_se_blocks import correlations

from mfst_jax.params import Params
from mfst_jax.train.backbone import Backbone
from mfst_jax.train.recipe import Recipe
from mfst_jax.train.steps import TrainState, init, optimiser, train_step

CHANGES = {"learning_rate": 0.1, "final_learning_rate": 0.01, "warmup_steps": 1, "epochs": 2, "pairs_per_epoch": 8}
RATES = (0.05, 0.01)
"""Learning rates of the two steps: half of the first one in the warm-up, then the final one."""


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_two_steps_are_those_of_the_formulas(kind):
    recipe = Recipe(
        model="siamfc",
        trains="backbone",
        optimiser=kind,
        momentum=0.8,
        clip_norm=2.0,
        weight_decay=0.3,
        anchor=0.4,
        bias_rate=5.0,
        **CHANGES,
    )
    draw = np.random.default_rng(0).normal
    start = {"kernel": draw(size=(2, 3)), "bias": draw(size=3), "of_response": draw()}
    gradients = [{name: share * draw(size=np.shape(each)) for name, each in start.items()} for share in (5.0, 0.1)]
    norms = [np.sqrt(sum(np.sum(np.square(each)) for each in of_step.values())) for of_step in gradients]
    assert norms[0] > 2 > norms[1]  # the first is clipped

    expected, means, squares = dict(start), dict.fromkeys(start, 0.0), dict.fromkeys(start, 0.0)
    for number, (of_step, norm, rate) in enumerate(zip(gradients, norms, RATES, strict=True), start=1):
        for name, each in of_step.items():
            gradient = each * min(1, 2 / norm)
            decay = 0.3 * expected[name] if name == "kernel" else 0.0
            decay = decay + 0.4 * (expected[name] - start[name])
            own_rate = 5.0 if name == "of_response" else 1.0
            if kind == "adamw":
                means[name] = 0.8 * means[name] + 0.2 * gradient
                squares[name] = 0.999 * squares[name] + 0.001 * np.square(gradient)
                mean, square = means[name] / (1 - 0.8**number), squares[name] / (1 - 0.999**number)
                change = own_rate * (mean / (np.sqrt(square) + 1e-8) + decay)
            else:
                change = means[name] = 0.8 * means[name] + own_rate * (gradient + decay)
            expected[name] = expected[name] - rate * change

    now, state = as_trainable(start), optimiser(recipe).init(as_trainable(start))
    for of_step in gradients:
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser(recipe).update(as_trainable(of_step), state, now)
        now = jax.tree.map(jnp.add, now, updates)
    for found, wanted in zip(jax.tree.leaves(now), jax.tree.leaves(as_trainable(expected)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_parts_in_a_scan_as_on_accelerators_add_up_as_unrolled_ones_do(params: Params, monkeypatch):
    recipe = Recipe(model="alexnet", batch_size=4, accumulation=2, se_dropout=0.25)
    batch = jax.tree.map(lambda each: each.reshape(2, 2, *each.shape[1:]), correlations(4, seed=0, signal=0.02))

    def one_step() -> TrainState:
        return jax.jit(partial(train_step, recipe=recipe))(init(recipe, params), None, batch, jax.random.key(0))

    unrolled = one_step()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    for found, expected in zip(jax.tree.leaves(one_step()), jax.tree.leaves(unrolled), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def as_trainable(arrays) -> Backbone:
    """A backbone of one kernel and its bias, and the bias of its response."""
    kernel, bias, of_response = (jnp.float32(arrays[name]) for name in ("kernel", "bias", "of_response"))
    return Backbone({"conv5": {"kernel": kernel, "bias": bias}}, {"conv5": of_response})
