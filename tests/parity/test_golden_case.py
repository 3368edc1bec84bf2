"""Parity without PyTorch: boxes and responses that the reference found in a small case of our own are recorded."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from golden_case import CASES, RECORDED, make_params, sampled, scene

import mfst_jax

pytestmark = pytest.mark.toom_cook


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(RECORDED) as arrays:
        return dict(arrays)


def assert_within(found: np.ndarray, expected: np.ndarray, share: float) -> None:
    """Differences in maps as a share of each map's largest value."""
    largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_array_less(np.abs(found - expected), np.broadcast_to(share * largest, expected.shape))


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str, np.ndarray, np.ndarray], None]:
    """Notes the largest difference for `tools/versions.py`: boxes in pixels, maps as shares of their largest value."""

    def note(what: str, found: np.ndarray, expected: np.ndarray) -> None:
        largest = 1.0 if what == "boxes" else np.abs(expected).max(axis=(1, 2), keepdims=True)
        record_property(f"largest difference of {what}", float((np.abs(found - expected) / largest).max()))

    return note


def run(params: mfst_jax.Params | mfst_jax.PreparedParams, config: mfst_jax.Config) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and fused maps, as they are recorded."""
    frames, truth = scene()
    state, boxes, responses = mfst_jax.init(params, frames[0], truth[0], config=config), [truth[0]], []
    for frame in frames[1:]:
        state, output = mfst_jax.step(params, state, frame)
        boxes.append(np.asarray(output.box))
        responses.append(sampled(np.asarray(output.response)))
    return np.stack(boxes), np.stack(responses)


@pytest.mark.parametrize("name", CASES)
def test_boxes_and_responses_are_those_of_the_reference(
    name: str, recorded: dict[str, np.ndarray], note: Callable[[str, np.ndarray, np.ndarray], None]
):
    contents, config = CASES[name]
    boxes, responses = run(make_params(contents), config)
    note("boxes", boxes, recorded[f"{name} boxes"])
    note("maps", responses, recorded[f"{name} responses"])
    assert_within(responses, recorded[f"{name} responses"], 1e-4)
    np.testing.assert_allclose(boxes, recorded[f"{name} boxes"], rtol=0, atol=0.01)


def test_prepared_weights_find_the_boxes_of_the_reference_too(recorded: dict[str, np.ndarray]):
    contents, config = CASES["alexnet"]
    boxes, responses = run(mfst_jax.prepare(make_params(contents), config), config)
    assert_within(responses, recorded["alexnet responses"], 1e-3)
    np.testing.assert_allclose(boxes, recorded["alexnet boxes"], rtol=0, atol=0.05)


@pytest.mark.parametrize("name", ["alexnet", "several regions"])
def test_the_reference_follows_a_target_that_moves_and_grows(name: str, recorded: dict[str, np.ndarray]):
    _, truth = scene()
    np.testing.assert_allclose(recorded[f"{name} boxes"], truth, rtol=0, atol=3)
    assert (np.diff(recorded[f"{name} boxes"][:, 2]) > 0).any()


@pytest.mark.slow
def test_the_record_is_what_the_reference_says_today(recorded: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch", reason="PyTorch is the reference: pip install 'mfst-jax[parity]'")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "tools"), *sys.path])
    again = importlib.import_module("record_golden_case").record()
    assert again.keys() == recorded.keys()
    for name, expected in recorded.items():
        largest = np.abs(expected).max()
        np.testing.assert_allclose(again[name], expected, rtol=0, atol=1e-5 * largest, err_msg=name)


def test_the_record_is_small():
    assert RECORDED.stat().st_size < 100_000
