"""Exported trackers give the boxes of `track`: ONNX by ONNX Runtime, StableHLO by a process with nothing but JAX."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
from one_layer import SMALL
from scenes import video

import mfst_jax
from mfst_jax.cli import main
from mfst_jax.config import Config
from mfst_jax.crops import SEARCH_SIZE, search_side
from mfst_jax.export import signature, stablehlo
from mfst_jax.export.files import read_metadata, write
from mfst_jax.export.running import open_exported
from mfst_jax.padding import pad
from mfst_jax.params import Contents, Params, contents_for
from mfst_jax.presets import ALEXNET, AUTHORS, PAPER, PRESETS, REALTIME, SIAMFC

pytest.importorskip("flatbuffers", reason="flatbuffers is not installed: the extra `export`")

FRAMES, TRUTH = video(0, frames=4)


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trees may hold shapes for arrays."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def export_onnx(params: Params, config: Config, path: Path) -> Path:
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra `export`")
    from mfst_jax.export import onnx_tracker

    model = onnx_tracker.make(params, config, signature.metadata(None, params, config))
    write(path, model.SerializeToString())
    return path


def followed(path: Path, frames: np.ndarray = FRAMES, box: np.ndarray = TRUTH[0]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and scores of all frames but the first."""
    tracker = open_exported(path)
    tracker.init(frames[0], box)
    found = [(tracker.update(frame), tracker.score) for frame in frames[1:]]
    return np.stack([box for box, _ in found]), np.array([score for _, score in found])


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(ALEXNET, marks=pytest.mark.slow, id="alexnet"),
        pytest.param(replace(REALTIME, scale_step=1.0375), marks=pytest.mark.slow, id="realtime"),
        pytest.param(replace(ALEXNET, alexnet_layers=("conv4",), alexnet_fusion="hard"), id="one layer"),
        pytest.param(PAPER, marks=pytest.mark.slow, id="paper"),
        pytest.param(replace(AUTHORS, models=("alexnet",)), marks=pytest.mark.slow, id="authors"),
        pytest.param(replace(SIAMFC, peak_temperature=0.02), marks=pytest.mark.slow, id="siamfc"),
    ],
)
def test_onnx_gives_the_boxes_of_track(config: Config, random_params, tmp_path: Path):
    contents = contents_for(config, "caffe" if config.se_statistics == "each" else "torchvision")
    params = random_params(contents)
    path = export_onnx(params, config, tmp_path / "a.onnx")
    boxes, scores = followed(path)
    expected = mfst_jax.track(params, FRAMES, TRUTH[0], config=config)
    np.testing.assert_allclose(boxes, expected.box[1:], atol=0.05)
    np.testing.assert_allclose(scores, expected.score[1:], atol=2e-3)


@pytest.fixture(scope="module")
def jump() -> tuple[np.ndarray, np.ndarray]:
    """Frames and true boxes of a target that goes farther, from the second frame to the third, than a step searches."""
    slow, far = video(0, frames=2, start=(12, 30)), video(0, frames=2, start=(80, 60))
    frames, boxes = (np.concatenate(parts) for parts in zip(slow, far, strict=True))
    samples = np.abs(boxes[2] - boxes[1])[:2] * SEARCH_SIZE / search_side(boxes[0, 2:], ALEXNET.context)
    assert 64 < samples.max() < 176
    return frames, boxes


ALL_ON = replace(ALEXNET, second_look=0.5, filter_share=0.3, recent_share=0.5, centre_search=8.0)
"""A second look, correlation filters and recent features."""


@pytest.fixture(scope="module")
def tracked_jump(jump: tuple[np.ndarray, np.ndarray]) -> mfst_jax.Result:
    """The track of that target, which a second look finds; without one it is lost."""
    frames, truth = jump
    params = mfst_jax.load()
    found, lost = (
        mfst_jax.track(params, frames, truth[0], config=replace(ALL_ON, second_look=least)) for least in (0.5, 0.0)
    )
    np.testing.assert_allclose(found.box, truth, atol=2)
    assert np.min(found.score) > 0.9
    assert np.abs(np.asarray(lost.box) - truth)[2:].max(axis=1).min() > 30  # no overlap
    assert np.max(lost.score[2:]) < 0.5
    return found


@pytest.mark.slow  # the parts are in test_onnx_second_look.py and test_onnx_correlation_filter.py, filters below
def test_onnx_finds_a_target_that_jumps_by_a_second_look_and_learns_what_it_looks_like(
    jump, tracked_jump: mfst_jax.Result, tmp_path: Path
):
    frames, truth = jump
    tracker = open_exported(export_onnx(mfst_jax.load(), ALL_ON, tmp_path / "a.onnx"))
    tracker.init(frames[0], truth[0])
    first = state_of(tracker)
    for number, frame in enumerate(frames[1:], start=1):
        np.testing.assert_allclose(tracker.update(frame), tracked_jump.box[number], atol=0.05)
        np.testing.assert_allclose(tracker.score, tracked_jump.score[number], atol=2e-3)
    check_state(tracker, tracked_jump.state)
    for name in ("recent.alexnet.conv5", "templates.pool1", "templates.conv5"):
        assert np.abs(state_of(tracker)[name] - first[name]).max() > 0.01


def test_filters_of_onnx_take_part_in_where_the_target_is(tmp_path: Path):
    frames, truth = video(3, frames=3, velocity=(9, 7))
    params, config = mfst_jax.load(), replace(ALEXNET, alexnet_layers=("conv5",), filter_share=0.9)
    expected, without = (
        mfst_jax.track(params, frames, truth[0], config=replace(config, filter_share=share)) for share in (0.9, 0.0)
    )
    assert np.abs(np.asarray(expected.box - without.box)).max() > 0.2
    path = export_onnx(params, config, tmp_path / "a.onnx")
    boxes, scores = followed(path, frames, truth[0])
    np.testing.assert_allclose(boxes, expected.box[1:], atol=0.05)
    np.testing.assert_allclose(scores, expected.score[1:], atol=2e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_stablehlo_finds_a_target_that_jumps_by_a_second_look(jump, tracked_jump: mfst_jax.Result, tmp_path: Path):
    frames, truth = jump
    params, path = mfst_jax.load(), tmp_path / "a.stablehlo"
    write(path, stablehlo.make(params, ALL_ON, signature.metadata(None, params, ALL_ON), frames.shape[1:3]))
    boxes, scores = followed(path, frames, truth[0])
    np.testing.assert_allclose(boxes, tracked_jump.box[1:], atol=0.05)
    np.testing.assert_allclose(scores, tracked_jump.score[1:], atol=2e-3)


def large_constants(graph: Any) -> list[bytes]:
    """Constants of over 10 kB of an ONNX graph and of its branches."""
    found: list[bytes] = []
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        if len(attribute.t.raw_data) > 10_000:
            found.append(attribute.t.raw_data)
        found += large_constants(attribute.g)
    return found


def test_the_weights_are_in_an_onnx_model_once_though_several_branches_use_them(random_params):
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    from mfst_jax.export import onnx_tracker

    params = random_params(Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True))
    config = replace(REALTIME, second_look=0.5, filter_share=0.3, recent_share=0.5, se_statistics="each")
    model = onnx_tracker.make(params, config, signature.metadata(None, params, config))
    constants = large_constants(model.graph)
    assert len(constants) > 20
    assert len(set(constants)) == len(constants)


def test_onnx_takes_frames_of_any_size_and_blank_ones_move_nothing(tmp_path: Path):
    path = export_onnx(mfst_jax.load(), ALEXNET, tmp_path / "a.onnx")
    boxes, _ = followed(path)
    wide = np.pad(FRAMES, ((0, 0), (0, 31), (0, 77), (0, 0)), mode="edge")
    far, _ = followed(path, wide)
    assert np.abs(far - boxes).max() < 4  # the mean colour differs, and so does what lies around
    blank = np.concatenate([FRAMES[:1], np.zeros_like(FRAMES[:2])])
    still, scores = followed(path, blank)
    np.testing.assert_array_equal(still, np.stack([TRUTH[0]] * 2))
    np.testing.assert_array_equal(scores, 0)


def test_the_state_of_onnx_is_that_of_init(tmp_path: Path):
    config = replace(ALEXNET, filter_share=0.3, recent_share=0.5)
    tracker = open_exported(export_onnx(mfst_jax.load(), config, tmp_path / "a.onnx"))
    tracker.init(FRAMES[0], TRUTH[0])
    check_state(tracker, mfst_jax.init(mfst_jax.load(), FRAMES[0], TRUTH[0], config=config))


def state_of(tracker: Any) -> dict[str, np.ndarray]:
    """Arrays of the state of an ONNX model at work."""
    return {name.removeprefix("state."): array for name, array in tracker._state.items()}


def check_state(tracker: Any, state: mfst_jax.State) -> None:
    """The state of an ONNX model at work is that of the tracker."""
    expected, found = signature.to_arrays(state), state_of(tracker)
    assert found.keys() == expected.keys() - {"frame_size"}
    for name, array in found.items():
        assert array.shape == expected[name].shape, name
        assert array.dtype == expected[name].dtype, name
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


LOADER = """
import sys, zipfile, json
import numpy as np
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("mfst_jax", "flax"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import jax, jax.export
archive = zipfile.ZipFile(sys.argv[1])
init, step = (jax.export.deserialize(bytearray(archive.read(f"{name}.bin"))) for name in ("init", "step"))
given = np.load(sys.argv[2])
state = init.call(given["frames"][0], given["box"], given["size"])
boxes = []
for frame in given["frames"][1:]:
    state, output = step.call(state, frame)
    boxes.append(np.asarray(output["box"]).tolist() + [float(output["score"])])
assert not {"mfst_jax", "flax"} & {name.split(".")[0] for name in sys.modules}
print(json.dumps({"boxes": boxes, "platforms": [init.platforms, step.platforms]}))
"""


def tracked_by_jax_alone(path: Path, folder: Path) -> dict:
    """Boxes and scores [frame][5] of all frames but the first, by a process without flax and this package."""
    padded = np.stack([pad(frame) for frame in FRAMES])
    size = np.array(FRAMES.shape[1:3], np.int32)
    np.savez(folder / "given.npz", frames=padded, box=TRUTH[0], size=size)
    command = [sys.executable, "-c", LOADER, str(path), str(folder / "given.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("unchecked")
def test_stablehlo_gives_the_boxes_of_track_in_a_process_with_nothing_but_jax(tmp_path: Path):
    params = mfst_jax.load()
    content = stablehlo.make(params, SMALL, signature.metadata(None, params, SMALL), FRAMES.shape[1:3])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in ("init.bin", "step.bin"):
            assert b".py" not in archive.read(name), "it names source files of the machine that made it"
    path = tmp_path / "a.stablehlo"
    write(path, content)
    found = tracked_by_jax_alone(path, tmp_path)
    assert found["platforms"] == [["cpu", "cuda", "tpu"]] * 2
    expected = mfst_jax.track(params, FRAMES, TRUTH[0], config=SMALL)
    np.testing.assert_allclose(np.array(found["boxes"])[:, :4], expected.box[1:], atol=1e-3)
    np.testing.assert_allclose(np.array(found["boxes"])[:, 4], expected.score[1:], atol=1e-3)

    about = read_metadata(path)
    assert about["frame_shape"] == [256, 256, 3]
    assert about["weights"] == "SiamFC (AlexNet's layers), AlexNet (torchvision)"
    boxes, _ = followed(path)
    np.testing.assert_allclose(boxes, np.array(found["boxes"])[:, :4], atol=1e-3)
    large = np.zeros((300, 100, 3), np.uint8)
    with pytest.raises(mfst_jax.InputError, match="up to 256x256 pixels, found 100x300"):
        open_exported(path).init(large, TRUTH[0])
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["mfst.json", "init.bin", "step.bin"]


@pytest.mark.slow
@pytest.mark.parametrize("config", [pytest.param(PAPER, id="paper"), pytest.param(REALTIME, id="realtime")])
@pytest.mark.usefixtures("unchecked")
def test_stablehlo_of_both_backbones_and_their_se_blocks_gives_the_boxes_of_track_too(
    config: Config, random_params, tmp_path: Path, capsys: pytest.CaptureFixture
):
    contents = Contents(siamfc=True, alexnet="torchvision", siamfc_se=True, alexnet_se=True)
    mfst_jax.save(random_params(contents), tmp_path / "pair.safetensors")
    out, (name,) = tmp_path / "pair.stablehlo", [name for name, each in PRESETS.items() if each == config]
    arguments = ["--to", "stablehlo", "--out", str(out), "--weights", str(tmp_path / "pair.safetensors")]
    arguments += ["--preset", name, "--frame-size", f"{FRAMES.shape[2]}x{FRAMES.shape[1]}", "--set", "scale_count=1"]
    assert main(["export", *arguments]) == 0
    assert "SE" in capsys.readouterr().err
    about = read_metadata(out)
    assert about["config"]["models"] == ["siamfc", "alexnet"]
    found = np.array(tracked_by_jax_alone(out, tmp_path)["boxes"])
    loaded = mfst_jax.load(tmp_path / "pair.safetensors")
    expected = mfst_jax.track(loaded, FRAMES, TRUTH[0], config=replace(config, scale_count=1))
    np.testing.assert_allclose(found[:, :4], expected.box[1:], atol=1e-2)
    np.testing.assert_allclose(found[:, 4], expected.score[1:], atol=1e-3)
