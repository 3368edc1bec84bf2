"""The second look of the ONNX graph takes the places that the tracker's second look takes, and leaves the others."""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scenes import video

pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `export`")
from onnx_graphs import Graph

import mfst_jax
from mfst_jax import second_look
from mfst_jax.boxes import from_centre
from mfst_jax.config import ALEXNET
from mfst_jax.export import onnx_second_look
from mfst_jax.export.onnx_network import Exemplar, Network
from mfst_jax.state import Output

# A slope of 1 keeps scores near 1/2, so that the background decides on which side of it they are.
CONFIG = replace(ALEXNET, alexnet_layers=("conv3",), second_look=0.5, score_slope=1.0)
NAMES = (*onnx_second_look.CHANGED, "searches_centre")
CLIP, TRUTH = video(0, frames=1, start=(90, 60))
BEYOND = np.array([-20, 40, 24, 28], np.float32)
"""A box of which a sixth is in the frame, and not its centre."""


class Case(NamedTuple):
    """A first search's score and background, the target, and the frame in which a second look follows."""

    score: float
    background: float
    box: np.ndarray = TRUTH[0]
    blank: bool = False
    taken: bool = False


CASES = {
    "found": Case(0.1, 0.2, taken=True),
    "not asked for": Case(0.5, -3.0),
    "not surely higher": Case(0.3, 0.2),
    "too low": Case(0.0, 0.95),
    "blank": Case(0.0, 0.0, blank=True),
    "beyond the frame": Case(0.1, 0.2, box=BEYOND),
}


@pytest.fixture(scope="module")
def exported() -> Graph:
    """The second look as a graph."""
    network, kinds = Network(mfst_jax.load(), CONFIG), np.float32

    def graph(frame, fill, features, centre, size, before, score, background, box, scale, searches_centre):
        exemplar = Exemplar({"alexnet": {"conv3": features}}, {})
        state = {"centre": centre, "size": size, "scale": before}
        first = {"box": box, "score": score, "background": background, "centre": centre, "scale": scale}
        first["searches_centre"] = searches_centre
        found = onnx_second_look.look_again_if_lost(network, CONFIG, frame, fill, exemplar, state, first)
        return tuple(found[name] for name in NAMES)

    floats = [(kinds, axes) for axes in (1, 3, 1, 1, 0, 0, 0, 1, 0)]
    return Graph(graph, [(np.uint8, 3), *floats, (np.bool_, 0)])


@jax.jit
def tracked(params, state, frame, first):
    return second_look.look_again_if_lost(params, state, frame, CONFIG, first)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_second_look_takes_what_the_tracker_takes(case: Case, exported: Graph):
    params = mfst_jax.load()
    state = mfst_jax.init(params, CLIP[0], case.box, config=CONFIG)
    frame = np.full_like(CLIP[0], 90) if case.blank else CLIP[0]
    state = replace(state, centre=jnp.array([50, 50], jnp.float32))
    box = from_centre(state.centre, state.size * 0.9)
    following = replace(state, scale=jnp.float32(0.9), background=jnp.float32(case.background))
    following = replace(following, searches_centre=jnp.array(True))
    first = following, Output(box, jnp.float32(case.score), jnp.zeros((272, 272), jnp.float32))

    following, output = tracked(params, state, jnp.asarray(frame), first)
    features = state.exemplar.features["alexnet"]["conv3"]
    found = exported(
        *(frame, state.fill, features, state.centre, state.size, state.scale),
        *(np.float32(case.score), np.float32(case.background), box, np.float32(0.9), np.array(True)),
    )
    expected = output.box, output.score, following.centre, following.scale, following.searches_centre
    assert (not following.searches_centre) == case.taken
    for name, ours, theirs in zip(NAMES, found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3, err_msg=name)
    if case.taken:
        np.testing.assert_allclose(found[0], case.box, atol=3)
