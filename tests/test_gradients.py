"""Gradients of `step` and `track` in the image and in the weights."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import for_long_runs
from one_layer import SMALL, SOFT

import mfst_jax
from mfst_jax.config import Config
from mfst_jax.fast import AnyParams
from mfst_jax.params import Params


@pytest.fixture(scope="module")
def state(params: Params, clip: Any) -> mfst_jax.State:
    frames, box = clip
    return mfst_jax.init(params, frames[0], box, config=SOFT)


def test_a_response_and_a_box_have_gradients_in_the_image(params: Params, clip: Any, state: mfst_jax.State):
    image = clip[0][1].astype(jnp.float32)

    @jax.jit
    def picked(params: Params, image: jax.Array, config: Config) -> jax.Array:
        _, output = mfst_jax.step(params, state, image, config=config)
        return jnp.stack([output.response[100, 120], output.score, *output.box])

    gradients = jax.jit(jax.jacrev(picked, argnums=1))(params, image, SOFT)
    sizes = [float(jnp.max(jnp.abs(gradient))) for gradient in gradients]
    assert np.isfinite(sizes).all()
    response, score, x, y, width, height = sizes
    assert min(response, score, x, y) > 0
    assert (width, height) == (0, 0)  # the scale is one of a few

    # The derivative along a direction, against differences.
    direction = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    low, high = (picked(params, image + step * direction, SOFT) for step in (-0.5, 0.5))
    slopes = jnp.einsum("khwc,hwc->k", gradients, direction)
    np.testing.assert_allclose(slopes[:4], (high - low)[:4], rtol=0.1, atol=1e-4)


def test_the_highest_sample_itself_has_no_gradient(params: Params, clip: Any, state: mfst_jax.State):
    gradient = jax.grad(
        lambda image: mfst_jax.step(params, state, image, config=SMALL)[1].box[0],
    )(clip[0][1].astype(jnp.float32))
    assert not np.asarray(gradient).any()


@pytest.mark.slow  # a response's is in tests/test_tracker.py
def test_boxes_have_a_gradient_in_the_weights(params: Params, clip: Any):
    frames, box = clip

    def miss(params: Params, config: Config) -> jax.Array:
        found = mfst_jax.track(params, frames[:2], box, config=config)
        return jnp.sum(jnp.square(found.box[-1] - box))

    # Without optimisation, the gradients of convolutions run for half a minute.
    gradient = jax.jit(jax.grad(miss), compiler_options=for_long_runs())(params, SOFT)
    assert gradient.contents == params.contents
    sizes = {
        name: float(jnp.max(jnp.abs(layer["kernel"])))
        for name, layer in gradient.variables["params"]["alexnet"].items()
    }
    assert np.isfinite(list(sizes.values())).all()
    assert min(sizes[name] for name in ("conv1", "conv2", "conv3")) > 0
    assert sizes["conv5"] == 0  # not in use


# Where a second look may follow, both are programs of their own for the first one too, whose sums round otherwise.
@pytest.mark.parametrize(
    ("second_look", "tolerance"),
    [(0.0, 1e-4), pytest.param(0.5, 1e-3, marks=pytest.mark.slow)],
    ids=["without a second look", "with one"],
)
def test_checkpoint_gives_the_same_gradient(
    params: Params, clip: Any, state: mfst_jax.State, second_look: float, tolerance: float
):
    image = clip[0][1].astype(jnp.float32)

    def gradient(step: Callable[..., Any], config: Config) -> jax.Array:
        def place(image: jax.Array, params: Params) -> jax.Array:
            return step(params, state, image, config=config)[1].box[0]

        options = for_long_runs() if second_look else None  # which otherwise runs for a minute
        return jax.jit(jax.grad(place), compiler_options=options)(image, params)

    config = dataclasses.replace(SOFT, second_look=second_look)
    plain, again = (gradient(step, config) for step in (mfst_jax.step, jax.checkpoint(mfst_jax.step)))
    np.testing.assert_allclose(again, plain, atol=tolerance * float(jnp.max(jnp.abs(plain))))


def test_prepared_weights_have_a_gradient_in_the_image(params: Params, clip: Any, state: mfst_jax.State):
    image = clip[0][1].astype(jnp.float32)

    def place(image: jax.Array, weights: AnyParams) -> jax.Array:
        return mfst_jax.step(weights, state, image, config=SOFT)[1].box[0]

    weights = (params, mfst_jax.prepare(params, SOFT, platform="gpu"))
    plain, prepared = (jax.jit(jax.grad(place))(image, each) for each in weights)
    np.testing.assert_allclose(prepared, plain, atol=1e-3 * float(jnp.max(jnp.abs(plain))))
