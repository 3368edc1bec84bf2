"""Configurations that search for the scale otherwise, what regions of two sizes share, and how close boxes are."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import mfst_jax
from mfst_jax.config import Config, Layer
from mfst_jax.fast import AnyParams
from mfst_jax.network import bind
from mfst_jax.params import Params
from mfst_jax.presets import ALEXNET
from mfst_jax.search import search_regions
from mfst_jax.state import State

SEVERAL = Config(models=("alexnet",), score_midpoint=ALEXNET.score_midpoint, score_slope=ALEXNET.score_slope)
"""A with the paper's three search regions a frame."""
BY_FEATURES = replace(SEVERAL, scale_search="features", scale_step=1.075, scale_penalty=0.985)


def check_middles(
    params: Params, config: Config, frames: np.ndarray, box: np.ndarray, small: tuple[int, int], large: tuple[int, int]
) -> None:
    """Asserts that responses of a smaller region are the middle of those of a larger one, with all kinds of weights.

    `small` and `large` are samples on a side of each region, and cells on a side of its response maps.
    """
    state, prepared = mfst_jax.init(params, frames[0], box, config=config), mfst_jax.prepare(params, config)
    margin = (large[1] - small[1]) // 2
    for weights, seldom in ((params, False), (prepared, False), (prepared, True)):

        @partial(jax.jit, static_argnames="samples")
        def responses(weights: AnyParams, state: State, samples: int, seldom: bool = seldom) -> dict[Layer, jax.Array]:
            images = search_regions(state, jnp.asarray(frames[1]), config, samples).images
            return bind(weights, config).match(state.exemplar, images, seldom=seldom)[0]["alexnet"]

        of_small, of_large = (responses(weights, state, samples=size[0]) for size in (small, large))
        for layer, maps in of_large.items():
            assert of_small[layer].shape == (1, small[1], small[1])
            assert maps.shape == (1, large[1], large[1])
            middle = maps[:, margin:-margin, margin:-margin]
            np.testing.assert_allclose(of_small[layer], middle, atol=2e-5 * float(jnp.max(of_small[layer])))


# Boxes in pixels that came by different compilations of the same arithmetic.
CLOSE = {"rtol": 0, "atol": 2e-3}
