"""Every stage of the AUTHORS preset against arrays from runs of the authors' TensorFlow code."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import for_long_runs

import mfst_jax
import weight_port
from mfst_jax import boxes, localisation
from mfst_jax.config import LAYERS
from mfst_jax.crops import central_exemplar, crop, mean_colour
from mfst_jax.fast import AnyParams
from mfst_jax.media.sources import open_source
from mfst_jax.model import MFST
from mfst_jax.params import Params, resolve_config
from mfst_jax.presets import AUTHORS

LETTERS = {"siamfc": "s", "alexnet": "a"}

pytestmark = pytest.mark.toom_cook


@pytest.fixture(scope="module")
def params(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Params:
    path = tmp_path_factory.mktemp("weights") / "authors.safetensors"
    weight_port.convert([shared / "golden" / "weights_authors.npz"], path)
    return mfst_jax.load(path)


@pytest.fixture(scope="module")
def golden(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "golden" / "authors_Crossing.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def frames(shared: Path) -> list[np.ndarray]:
    reader = open_source(shared / "data" / "OTB" / "Crossing").frames()
    return [next(reader), next(reader)]


def regions(frame: np.ndarray, box: np.ndarray) -> jax.Array:
    """The three search crops around `box` at the first frame's scale."""
    size = jnp.asarray(frame.shape[:2], jnp.int32)
    centre, extent = boxes.to_centre(jnp.asarray(box, jnp.float32))
    side = boxes.context_side(extent, AUTHORS.context) * (255 / 127)
    fill = mean_colour(jnp.asarray(frame), size)
    crops = [crop(jnp.asarray(frame), centre, side * f, fill=fill, frame_size=size) for f in AUTHORS.scale_factors()]
    return jnp.stack(crops)


def largest_difference(ours: jax.Array, theirs: np.ndarray) -> float:
    """Relative to their largest value."""
    theirs = theirs.reshape(ours.shape)
    return float(np.max(np.abs(np.asarray(ours) - theirs)) / np.max(np.abs(theirs)))


def test_the_weights_imply_the_preset(params: Params):
    assert resolve_config(params.contents, None) == AUTHORS


@pytest.mark.parametrize("number", [1, 2])
def test_crops(golden: dict[str, np.ndarray], frames: list[np.ndarray], number: int):
    ours = regions(frames[number - 1], golden["boxes"][0])
    assert np.max(np.abs(np.asarray(ours) - golden[f"frame{number}_search_crops"])) < 0.01


@pytest.mark.parametrize("model", ["siamfc", "alexnet"])
def test_features_responses_and_upsampling(params: Params, golden: dict[str, np.ndarray], model: str):
    network = MFST(params.contents, AUTHORS)
    first = jnp.asarray(golden["frame1_search_crops"])[1]
    apply: Any = jax.jit(network.apply, static_argnames="method")
    upsample = jax.jit(localisation.upsample, static_argnums=1)
    exemplar = apply(params.variables, central_exemplar(first), method="exemplar")
    second = jnp.asarray(golden["frame2_search_crops"])
    search = apply(params.variables, exemplar, second, method="search")
    responses = apply(params.variables, exemplar, search, method="responses")
    for layer in LAYERS:
        name = f"{LETTERS[model]}_{layer.replace('onv', '')}"
        response = responses[model][layer]
        assert largest_difference(exemplar.features[model][layer], golden[f"exemplar_{name}"]) < 2e-5, layer
        assert largest_difference(response, golden[f"frame2_response_{name}"]) < 2e-5, layer
        if f"frame2_response_up_{name}" in golden:
            upsampled = upsample(response, AUTHORS.upsampling)
            assert largest_difference(upsampled, golden[f"frame2_response_up_{name}"]) < 2e-5, layer


@pytest.fixture(scope="module")
def distance(params: Params, shared: Path) -> Callable[..., float]:
    """Largest difference between our boxes and the authors' over the first `frames` of a sequence, in pixels.

    Frames are padded to one size, which changes no bit of a box, so that all sequences share a compilation; and steps
    are compiled for long runs, which here takes a third of the time.
    """
    step = jax.jit(mfst_jax.step, compiler_options=for_long_runs())

    def distance(weights: AnyParams, sequence: str, frames: int) -> float:
        with np.load(shared / "golden" / f"authors_{sequence}.npz") as arrays:
            box, theirs = arrays["init_box"], arrays["boxes"]
        assert frames <= len(theirs)
        reader = open_source(shared / "data" / "OTB" / sequence).frames()
        size = (first := next(reader)).shape[:2]
        state, ours = mfst_jax.init(weights, padded(first), box, frame_size=size), [box]
        for frame in itertools.islice(reader, frames - 1):
            state, output = step(weights, state, padded(frame))
            ours.append(np.asarray(output.box))
        return float(np.abs(np.stack(ours) - theirs[:frames]).max())

    def padded(frame: np.ndarray) -> np.ndarray:
        height, width, _ = frame.shape
        return np.pad(frame, ((0, 512 - height), (0, 768 - width), (0, 0)))

    return distance


@pytest.mark.parametrize(("sequence", "frames"), [("Crossing", 5), ("Deer", 5)])
def test_the_beginning_of_a_trajectory(params: Params, distance: Callable[..., float], sequence: str, frames: int):
    """By plain weights, whose step compiles in a third of the time."""
    assert distance(params, sequence, frames) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("sequence", "frames"), [("Crossing", 120), ("Deer", 71), ("Skiing", 81)])
def test_trajectory(params: Params, distance: Callable[..., float], sequence: str, frames: int):
    assert distance(mfst_jax.prepare(params, AUTHORS), sequence, frames) < 0.01
