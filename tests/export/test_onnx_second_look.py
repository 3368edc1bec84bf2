"""The second look of the ONNX graph takes the places that the tracker's second look takes, and leaves the others."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scenes import video

pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `export`")
import spox.opset.ai.onnx.v17 as op
from onnx_graphs import Graph, run

import mfst_jax
from mfst_jax import stages
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.export import onnx_crops, signature
from mfst_jax.export.onnx_localisation import Extent
from mfst_jax.export.onnx_network import Exemplar, Network
from mfst_jax.export.onnx_second_look import look_again_if_lost
from mfst_jax.export.onnx_tracker import Regions, Search
from mfst_jax.export.values import floats
from mfst_jax.presets import ALEXNET
from mfst_jax.second_look import NEIGHBOURS, Again, search_until_found
from mfst_jax.state import Output

CONFIG = replace(ALEXNET, second_look=0.5)
SIZE = np.array([24, 28], np.float32)
SIDE = float(search_side(SIZE, CONFIG.context))
AROUND = np.concatenate([np.zeros((1, 2), np.float32), NEIGHBOURS]) * np.float32(SIDE / SEARCH_SIZE)
"""Centres of the search region and of those around it, from that of the first."""
NAMES = ("box", "score", "response", "centre", "background", "searches_centre", "lost_frames")
"""What comes out. The response is the background that the search was told of."""
BACKGROUND = np.float32(0.25)
"""Mean similarity over the region of the first search."""
HEIGHT, WIDTH = 300, 400


@pytest.fixture(scope="module")
def exported() -> Graph:
    """The second look as a graph, of a search that finds in each region what it is told to find there."""

    def graph(frame, centre, scores, moves, lost_frames):
        def found_in(region, around, background):
            there = op.add(around, op.gather(moves, region))
            score = op.gather(scores, region)
            return {
                "box": op.concat([there, floats(SIZE)], axis=0),
                "score": score,
                "response": op.expand(background, op.const(np.array([272, 272]))),
                "centre": there,
                "background": floats(BACKGROUND),
                "searches_centre": op.const(True),
            }

        def search(around, background):
            offsets = op.sub(op.add(floats(AROUND), centre), around)
            distances = op.reduce_sum(op.mul(offsets, offsets), op.const(np.array([1])), keepdims=0)
            return found_in(op.arg_min(distances, axis=0, keepdims=0), around, background)

        state = {"centre": centre, "size": floats(SIZE), "scale": floats(1), "lost_frames": lost_frames}
        first = found_in(op.const(np.int64(0)), centre, floats(-1))
        found = look_again_if_lost(search, CONFIG, frame, state, first)
        return tuple(found[name] for name in NAMES)

    return Graph(graph, [(np.uint8, 3), (np.float32, 1), (np.float32, 1), (np.float32, 2), (np.int32, 0)])


@pytest.fixture(scope="module")
def state() -> mfst_jax.State:
    frame = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    box = np.array([100, 100, *SIZE], np.float32)
    return mfst_jax.init(mfst_jax.load(), frame, box, config=replace(CONFIG, alexnet_layers=("conv3",)))


@jax.jit
def expected(state: mfst_jax.State, scores: jax.Array, moves: jax.Array) -> dict[str, jax.Array]:
    """What the tracker's second look makes of such a search."""
    start = state.centre

    def search(state: mfst_jax.State, again: Again) -> tuple[mfst_jax.State, Output]:
        region = jnp.argmin(jnp.sum((start[None] + AROUND - state.centre[None]) ** 2, axis=1))
        centre, score = state.centre + moves[region], scores[region]
        response = jnp.full((272, 272), again.background)
        following = replace(state, centre=centre, background=jnp.asarray(BACKGROUND), searches_centre=jnp.array(True))
        return following, Output(jnp.concatenate([centre, state.size]), score, response)

    following, output = search_until_found(search, state, CONFIG)
    of_state = {name: getattr(following, name) for name in NAMES[3:]}
    return {"box": output.box, "score": output.score, "response": output.response, **of_state}


SCORES = st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.49, 0.5, 0.55, 0.6, 0.8, 0.9, 0.97])


@settings(max_examples=60)
@given(
    centre=st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1)),
    scores=arrays(np.float32, 9, elements=SCORES.map(np.float32)),
    moves=arrays(np.float32, (9, 2), elements=st.integers(-30, 30).map(np.float32)),
    lost_frames=st.integers(0, 30),
)
@example((200, 150), np.array([0.1, *[0.6] * 8], np.float32), np.zeros((9, 2), np.float32), 0)
@example((200, 150), np.array([0.1, *[0.6] * 4, 0.9, *[0.6] * 3], np.float32), np.zeros((9, 2), np.float32), 0)
@example((200, 150), np.array([0.1, *[0.6] * 4, 0.9, *[0.6] * 3], np.float32), np.zeros((9, 2), np.float32), 12)
@example((200, 150), np.array([0.1, *[0.6] * 4, 0.9, *[0.6] * 3], np.float32), np.zeros((9, 2), np.float32), 13)
@example((200, 150), np.array([0.5, *[0.97] * 8], np.float32), np.zeros((9, 2), np.float32), 3)
@example((200, 150), np.array([0.0, *[0.97] * 8], np.float32), np.zeros((9, 2), np.float32), 3)
@example((10, 10), np.array([0.1, *[0.97] * 8], np.float32), np.full((9, 2), -30, np.float32), 0)
@example((40, 150), np.array([0.1, 0.97, *[0.3] * 7], np.float32), np.full((9, 2), 30, np.float32), 0)
def test_a_second_look_takes_what_the_tracker_takes(
    exported: Graph, state: mfst_jax.State, centre, scores, moves, lost_frames
):
    middle = np.array(centre, np.float32)
    before = replace(state, centre=jnp.asarray(middle), lost_frames=jnp.int32(lost_frames))
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    wanted = expected(before, jnp.asarray(scores), jnp.asarray(moves))
    found = dict(zip(NAMES, exported(frame, middle, scores, moves, np.int32(lost_frames)), strict=True))
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], atol=1e-3, err_msg=name)


def test_all_regions_are_searched_in_the_first_lost_frame_and_one_in_each_later_one(exported: Graph):
    frame, centre = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.array([200, 150], np.float32)
    still = np.zeros((9, 2), np.float32)
    for region in range(8):
        scores = np.full(9, 0.1, np.float32)
        scores[1 + region] = 0.9
        for lost_frames in range(17):
            found = dict(zip(NAMES, exported(frame, centre, scores, still, np.int32(lost_frames)), strict=True))
            is_due = lost_frames in (0, region, region + 8, region + 16)
            np.testing.assert_allclose(found["centre"], centre + (AROUND[1 + region] if is_due else 0), atol=1e-3)
            assert found["lost_frames"] == (0 if is_due else lost_frames + 1)
            assert found["searches_centre"] == (not is_due)
            np.testing.assert_allclose(found["box"], [*found["centre"], *SIZE], atol=1e-3)


SEARCH = replace(
    ALEXNET, alexnet_layers=("conv5",), filter_share=0.9, recent_share=0.9, window_influence=0.9, score_slope=1.0
)
"""A search in which the window and the filters would decide where the target is, and in which no score is near 1."""
COMPARED = (
    "box",
    "score",
    "centre",
    "scale",
    "background",
    "recent.alexnet.conv5",
    "templates.pool1",
    "templates.conv5",
)


@pytest.mark.parametrize("background", [-1.0, 0.9])
def test_in_a_second_look_neither_window_nor_filters_count_and_both_backgrounds_do(background: float):
    (frame,), truth = video(0, frames=1, start=(20, 30))
    params, least = mfst_jax.load(), np.float32(background)
    state = mfst_jax.init(params, frame, truth[0], config=SEARCH)
    state = replace(state, centre=state.centre + jnp.array([24, 16], jnp.float32))
    values = signature.to_arrays(state)
    names = [name for name in values if name != "frame_size"]

    def graph(frame, least, *arrays):
        before = dict(zip(names, arrays, strict=True))
        network, extent = Network(params, SEARCH), Extent()
        sides = op.mul(op.mul(onnx_crops.search_side(before["size"], SEARCH.context), before["scale"]), floats([1]))
        crops = onnx_crops.crop(frame, before["centre"], sides, before["fill"], extent.samples)
        exemplar = Exemplar({"alexnet": {"conv5": before["exemplar.alexnet.conv5"]}}, {})
        search = Search(network, SEARCH, exemplar, before)
        found = search(before["centre"], network.features(crops.images), Regions(crops, sides), extent, least)
        return tuple(found[name] for name in COMPARED)

    @jax.jit
    def searched(params, state, frame, least):
        again = Again(jnp.array(True), least)
        return stages.search_frame(params, state, frame=frame, config=SEARCH, again=again)

    following, output = searched(params, state, jnp.asarray(frame), jnp.asarray(least))
    expected = {**signature.to_arrays(following), "box": output.box, "score": output.score}
    np.testing.assert_allclose(output.box, truth[0], atol=3)
    found = run(graph, frame, least, *(values[name] for name in names))
    for name, array in zip(COMPARED, found, strict=True):
        np.testing.assert_allclose(np.reshape(array, expected[name].shape), expected[name], atol=2e-3, err_msg=name)
