"""Every stage of the AUTHORS preset against arrays from runs of the authors' TensorFlow code."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mfst_jax
import weight_port
from mfst_jax import boxes, localisation
from mfst_jax.config import AUTHORS, LAYERS
from mfst_jax.crops import central_exemplar, crop, mean_colour
from mfst_jax.media.sources import open_source
from mfst_jax.model import MFST
from mfst_jax.params import Params, resolve_config

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
    exemplar = network.apply(params.variables, central_exemplar(first), method="exemplar")
    second = jnp.asarray(golden["frame2_search_crops"])
    search = network.apply(params.variables, exemplar, second, method="search")
    responses = network.apply(params.variables, exemplar, search, method="responses")
    for layer in LAYERS:
        name = f"{LETTERS[model]}_{layer.replace('onv', '')}"
        response = responses[model][layer]
        assert largest_difference(exemplar.features[model][layer], golden[f"exemplar_{name}"]) < 2e-5, layer
        assert largest_difference(response, golden[f"frame2_response_{name}"]) < 2e-5, layer
        if f"frame2_response_up_{name}" in golden:
            upsampled = localisation.upsample(response, AUTHORS.upsampling)
            assert largest_difference(upsampled, golden[f"frame2_response_up_{name}"]) < 2e-5, layer


@pytest.mark.parametrize(
    ("sequence", "prepared"), [("Crossing", True), ("Deer", False), ("Deer", True), ("Skiing", True)]
)
def test_trajectory(params: Params, shared: Path, sequence: str, prepared: bool):
    with np.load(shared / "golden" / f"authors_{sequence}.npz") as arrays:
        init_box, theirs = arrays["init_box"], arrays["boxes"]
    reader = open_source(shared / "data" / "OTB" / sequence).frames()
    weights = mfst_jax.prepare(params, AUTHORS) if prepared else params
    ours = mfst_jax.track(weights, np.stack([next(reader) for _ in theirs]), init_box)
    assert np.max(np.abs(np.asarray(ours.boxes) - theirs)) < 0.01
