"""The quick start, the conventions and the tutorials: their Python blocks, run on the first frames of the clip."""

import shlex
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import jax
import jaxtyping
import numpy as np
import pytest
from code_blocks import ROOT, commands, python_blocks
from media import end_sources_after
from one_layer import SMALL
from test_documented_commands import run

import mfst_jax
from mfst_jax import padding
from mfst_jax.media.sources import demo_source
from mfst_jax.sequences import places_in, read_sequence
from mfst_jax.sequences.layouts import folders_in

DOCS = ROOT / "docs"
BOX = np.float32([158, 208, 61, 44])


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # JAX fills trees with other things


@pytest.fixture
def truth() -> np.ndarray:
    found = demo_source().ground_truth
    assert found is not None
    return found


@pytest.fixture
def frames() -> list[np.ndarray]:
    return list(islice(demo_source().frames(), 11))


@pytest.fixture
def run_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict]:
    """Runs the blocks of a page in a folder of their own, with sources that end early, and returns its names."""

    def run_page(name: str, count: int, **names) -> dict:
        end_sources_after(count, monkeypatch)
        monkeypatch.chdir(tmp_path)
        for block in python_blocks(DOCS / name):
            exec(compile(block, name, "exec"), names)
        return names

    return run_page


def test_the_quick_start_follows_the_car_in_three_ways(run_page, truth, capsys):
    names = run_page("quick_start.md", 3)
    np.testing.assert_allclose(names["result"].box, truth[:3], atol=6)
    np.testing.assert_allclose(names["last"], names["result"].box[-1], atol=1e-3)
    assert capsys.readouterr().out.endswith("lost in frames []\n")


def test_the_conventions_are_those_of_the_tracker(run_page, frames):
    names = run_page("conventions.md", 3, first=frames[0], second=frames[10])
    np.testing.assert_array_equal(names["centre"], [11, 22])
    np.testing.assert_array_equal(names["first_pixel"], [10, 20])
    np.testing.assert_array_equal(names["last_pixel"], [12, 24])
    np.testing.assert_array_equal(names["as_otb"], [11, 21, 3, 5])
    np.testing.assert_array_equal(names["as_corners"], [10, 20, 13, 25])
    before, after, place_in_frame = names["before"], names["after"], names["place_in_frame"]
    np.testing.assert_array_equal(place_in_frame(before, 135.5, 135.5), before.centre)
    assert np.abs(after.centre - before.centre).max() > 12
    np.testing.assert_allclose(names["place"], after.centre, atol=4)  # the window moves the peak a little
    # The search region reaches from one end of its samples to the other: 255 of them, 510 of the map's.
    w, h = BOX[2:]
    side = np.sqrt((w + (w + h) / 2) * (h + (w + h) / 2)) * 255 / 127
    reach = place_in_frame(before, 135.5 + 255, 135.5 + 255) - place_in_frame(before, 135.5 - 255, 135.5 - 255)
    np.testing.assert_allclose(reach, [side, side], rtol=1e-5)


def test_frames_of_opencv_are_turned_around(run_page, frames, truth):
    names = run_page(
        "tutorials/own_video.md", 3, first_of_opencv=frames[0][..., ::-1], second_of_opencv=frames[1][..., ::-1]
    )
    np.testing.assert_allclose(names["box"], truth[1], atol=6)


def test_targets_that_come_later_have_rows_from_there_on(run_page, truth):
    tracks = run_page("tutorials/several_targets.md", 4)["tracks"]
    assert [row[0] for row in tracks["car"]] == [1, 2, 3]
    assert [row[0] for row in tracks["tree"]] == [3]
    np.testing.assert_allclose([row[1:] for row in tracks["car"]], truth[1:4], atol=6)


@pytest.mark.usefixtures("one_layer_by_default")
def test_padded_videos_of_two_sizes_in_one_call_have_the_boxes_of_each_alone(run_page, frames):
    clip = np.stack(frames[:2])
    result = run_page("tutorials/pipeline.md", 3, clip=clip)["result"]
    params = mfst_jax.prepare(mfst_jax.load())
    for row, (height, width) in zip(result.box, ((300, 560), (360, 640)), strict=True):
        padded = np.stack([padding.pad(frame[:height, :width]) for frame in clip])
        alone = mfst_jax.track(params, padded, BOX, frame_size=(height, width))
        np.testing.assert_allclose(row, alone.box, rtol=0, atol=2e-3)


def test_a_changed_frame_moves_the_box_to_the_right(run_page, frames, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mfst_jax, "ALEXNET", SMALL)
    names = run_page("tutorials/image_gradient.md", 3, first=frames[0], second=frames[1])
    moved = np.asarray(names["moved"])
    assert np.abs(moved - frames[1]).max() == 4
    assert jax.jit(names["x_of"])(moved) > names["x"] + 0.1


def test_tensors_in_memory_become_weights(run_page, tmp_path: Path, capsys):
    names = run_page("tutorials/pytorch_checkpoint.md", 3)
    assert capsys.readouterr().out == "Params(AlexNet (torchvision))\n"
    kernel = names["params"].variables["params"]["alexnet"]["conv3"]["kernel"]
    np.testing.assert_array_equal(kernel, names["tensors"]["features.6.weight"].transpose(2, 3, 1, 0))


def test_the_clip_becomes_four_sequences(run_page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, truth):
    blocks = python_blocks(DOCS / "tutorials" / "train_on_your_data.md")
    assert len(blocks) == 1
    short(blocks[0], 2, tmp_path, monkeypatch)
    folders = [folder for part in ("data", "held_out") for folder in folders_in(tmp_path / part)]
    found = {place.name: read_sequence(place) for folder in folders for place in places_in(folder)}
    assert list(found) == ["first", "second", "fourth", "third"]
    np.testing.assert_allclose(found["second"].ground_truth, truth[2:4], rtol=1e-5)
    np.testing.assert_allclose(found["fourth"].ground_truth, truth[6:8], rtol=1e-5)
    assert [len(sequence.frames) for sequence in found.values()] == [2, 2, 2, 2]


def short(block: str, length: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the block that writes sequences, with sequences of another length."""
    assert block.count("LENGTH = 30") == 1
    monkeypatch.chdir(folder)
    exec(compile(block.replace("LENGTH = 30", f"LENGTH = {length}"), "<sequences>", "exec"), {})


def test_the_clip_is_scored(run_page, capsys):
    names = run_page("tutorials/evaluate_and_compare.md", 3)
    assert names["found"].shape == (3, 4)
    assert "precision 1.000" in capsys.readouterr().out
    assert names["worst"] in (1, 2)


@pytest.mark.slow  # compiles a training step and three ways to track
def test_training_and_comparing_as_the_tutorials_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    (block,) = python_blocks(DOCS / "tutorials" / "train_on_your_data.md")
    short(block, 8, tmp_path, monkeypatch)
    for page in ("train_on_your_data.md", "evaluate_and_compare.md"):
        for command in commands(DOCS / "tutorials" / page):
            if "runs/mine" not in command:  # twenty minutes
                run(shlex.split(command), monkeypatch)
    trained = mfst_jax.load("runs/trial/best.safetensors").contents.describe()
    assert trained == "SiamFC (AlexNet's layers), AlexNet (torchvision) + SE"
    printed = capsys.readouterr().out
    assert "held-out loss: " in printed
    assert printed.count("ahead of, in success AUC") == 2
