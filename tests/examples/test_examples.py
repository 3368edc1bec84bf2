"""The scripts in examples/, run as a reader would run them, on the first frames of the built-in clip."""

import importlib.util
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import zipfile
from functools import wraps
from pathlib import Path
from unittest.mock import MagicMock

import jaxtyping
import numpy as np
import pytest
import tyro
from media import end_sources_after, make_video, noisy, save
from PIL import Image
from tracked import boxes_of, write_tracked

import mfst_jax
import weight_port
from mfst_jax import cli, media
from mfst_jax.media.sources import demo_source
from mfst_jax.tracks import read_table

EXAMPLES, DOCS = (Path(__file__).parents[2] / name for name in ("examples", "docs"))
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
FRAMES = 3
NUMBER = r"-?\d+\.\d+"
OTHERS = ("fiftyone", "grain", "onnxruntime", "supervision")
"""Packages that examples are about, which need not be installed."""


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # JAX fills trees with other things


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    end_sources_after(FRAMES, monkeypatch)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    """Runs a script with these arguments and returns the lines that it prints."""

    def run(name: str, *arguments: str | Path) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(NUMBER, line)]


def truth() -> np.ndarray:
    boxes = demo_source().ground_truth
    assert boxes is not None
    return boxes[:FRAMES]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_example_has_less_than_40_lines_and_a_test(script: Path):
    assert len(script.read_text(encoding="utf-8").splitlines()) < 40
    assert f'"{script.name}"' in Path(__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_commands_on_top_of_an_example_are_commands_that_it_takes(script: Path, monkeypatch: pytest.MonkeyPatch):
    for package in OTHERS:
        monkeypatch.setitem(sys.modules, package, MagicMock())  # of which none is called here
    names = runpy.run_path(str(script))
    commands = re.findall(r"^python examples/(\S+)(.*)$", names["__doc__"], re.MULTILINE)
    assert commands
    for name, arguments in commands:
        assert name == script.name
        called: list[str] = []
        main = wraps(names["main"])(lambda *_, **__: called.append(name))  # noqa: B023
        tyro.cli(main, args=shlex.split(arguments))
        assert called == [name]


def test_following_an_object(run, tmp_path: Path):
    lines = run("follow_an_object.py")
    np.testing.assert_allclose([numbers(line)[:4] for line in lines], truth()[1:], atol=6)
    assert all(numbers(line)[4] > 0.5 and "lost" not in line for line in lines)
    for number, frame in enumerate(demo_source().frames()):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    assert run("follow_an_object.py", "--video", tmp_path, "--box", "158,208,61,44") == lines
    blank = np.zeros_like(frame)
    Image.fromarray(blank).save(tmp_path / "2.png")
    assert run("follow_an_object.py", "--video", tmp_path)[1].endswith("score 0.00  lost?")


def test_several_targets(run):
    car, tree = run("several_targets.py")
    assert car.startswith("car: moved by ")
    assert tree.startswith("tree: moved by ")
    expected = np.linalg.norm(truth()[-1, :2] - truth()[0, :2])
    np.testing.assert_allclose(numbers(car)[0], expected, atol=6)
    assert 0 <= numbers(tree)[0] < 10  # it stands; the camera moves
    assert run("several_targets.py", *["--boxes", "158", "208", "61", "44", "--names", "car"]) == [car]


@pytest.mark.usefixtures("one_layer_by_default")
def test_inside_a_pipeline(run):
    lines = run("inside_a_pipeline.py", "--count", FRAMES)
    assert [line.split(":")[0] for line in lines] == ["as it is", "mirrored"]
    centres = truth()[:, :2] + truth()[:, 2:] / 2
    speed = np.mean(np.linalg.norm(np.diff(centres, axis=0), axis=1))
    np.testing.assert_allclose([numbers(line)[0] for line in lines], speed, atol=1.5)


@pytest.mark.usefixtures("one_layer_by_default")  # without optimisation, a gradient through nine regions runs for long
def test_gradient_of_the_image(run, tmp_path: Path):
    (line,) = run("gradient_of_the_image.py", "--picture", tmp_path / "saliency.png")
    area, share = numbers(line)
    np.testing.assert_allclose(area, 100 * 61 * 44 / (640 * 360), atol=0.1)
    assert 10 * area < share < 100
    with Image.open(tmp_path / "saliency.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape == (360, 640)
    assert shown[208:252, 158:219].mean() > 10 * shown.mean()
    assert not shown[:, 400:].any()  # outside the search region nothing counts


def test_porting_a_checkpoint(run, tmp_path: Path):
    weight_port.export("builtin", tmp_path / "alexnet.pth", to="torchvision-alexnet")
    out = tmp_path / "ported.safetensors"
    first, *rest = run("port_a_checkpoint.py", tmp_path / "alexnet.pth", "--out", out)
    assert first == f"{out} holds AlexNet (torchvision)"
    np.testing.assert_allclose([numbers(line)[:4] for line in rest], truth()[1:], atol=6)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of the clip's first frames."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(demo_source().frames()):
        Image.fromarray(frame).save(folder / f"{number}.png")
    return folder


@pytest.mark.usefixtures("one_layer_by_default")
def test_tracking_with_onnx(run, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: the extra `export`")
    pytest.importorskip("spox", reason="spox is not installed: the extra `export`")
    model = tmp_path / "mfst.onnx"
    assert cli.main(["export", "--to", "onnx", "--out", str(model)]) == 0
    lines = run("track_with_onnx.py", model, pictures, "158,208,61,44")
    assert [line.split()[0] for line in lines] == [f"{number}.png" for number in range(FRAMES)]
    found = np.array([numbers(line.split(" ", 1)[1]) for line in lines])
    np.testing.assert_array_equal(found[0], (158, 208, 61, 44, 1))
    np.testing.assert_allclose(found[:, :4], truth(), atol=6)
    tracker = mfst_jax.Tracker()
    frames = demo_source().frames()
    tracker.init(next(frames), (158, 208, 61, 44))
    np.testing.assert_allclose(found[1:, :4], [tracker.update(frame) for frame in frames], atol=0.05)

    other = onnx.load(model)
    other.metadata_props[0].value = '{"format": 99}'
    onnx.save(other, model)
    with pytest.raises(SystemExit) as end:
        run("track_with_onnx.py", model, pictures, "158,208,61,44")
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"{model}: expected a tracker of format 2, found 99\n")


@pytest.mark.slow
def test_tracking_with_stablehlo(run, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    pytest.importorskip("flatbuffers", reason="flatbuffers is not installed: the extra `export`")
    program = tmp_path / "mfst.stablehlo"
    arguments = ["--frame-size", "640x360", "--preset", "alexnet", "--set", "alexnet_layers=conv5", "scale_count=1"]
    assert cli.main(["export", "--to", "stablehlo", "--out", str(program), *arguments]) == 0
    lines = run("track_with_stablehlo.py", program, pictures, "158,208,61,44")
    assert [line.split()[0] for line in lines] == [f"{number}.png" for number in range(1, FRAMES)]
    np.testing.assert_allclose([numbers(line.split(" ", 1)[1])[:4] for line in lines], truth()[1:], atol=6)

    with zipfile.ZipFile(program, "w") as archive:
        archive.writestr("mfst.json", '{"format": 99}')
    with pytest.raises(SystemExit) as end:
        run("track_with_stablehlo.py", program, pictures, "158,208,61,44")
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"{program}: expected a tracker of format 2, found 99\n")


@pytest.mark.filterwarnings("ignore")  # of grain and its parts
def test_clips_for_training(run, pictures: Path, tmp_path: Path):
    pytest.importorskip("grain", reason="grain is not installed: the extra `train`")
    tables = [write_tracked(tmp_path / f"{name}.csv", pictures, FRAMES, names=("car", "tree")) for name in "ab"]
    lines = run("clips_for_training.py", *tables, "--length", FRAMES, "--batch", "3")
    assert lines == [f"({count}, {FRAMES}, 128, 128, 3) uint8 mean score 0.90" for count in (3, 1)]


@pytest.mark.filterwarnings("ignore")  # of supervision and its parts
def test_annotating_with_supervision(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    (tmp_path / "black").mkdir()
    for number in range(FRAMES):
        Image.new("RGB", (96, 80)).save(tmp_path / "black" / f"{number}.png")
    table = write_tracked(tmp_path / "boxes.csv", tmp_path / "black", FRAMES, names=("car", "tree"))
    header, *_ = table.read_text().splitlines()
    rows = ["0,10,40,3,5,0.9,0,car", "0,nan,nan,nan,nan,nan,1,tree", "1,10.4,39.6,2.8,5,0.9,0,car"]
    rows += ["1,60,50,20,10,0.25,1,tree", "2,nan,nan,nan,nan,nan,1,car", "2,nan,nan,nan,nan,nan,1,tree"]
    table.write_text("\n".join([header, *rows]) + "\n")

    detections = runpy.run_path(str(EXAMPLES / "annotate_with_supervision.py"))["detections"]
    tracks = read_table(table)
    first, second, third = (detections(tracks, row) for row in range(3))
    np.testing.assert_array_equal(first.xyxy, [(10, 40, 13, 45)])
    assert (first.area.tolist(), first.tracker_id.tolist()) == ([15], [1])
    assert sv.crop_image(np.zeros((80, 96, 3), np.uint8), first.xyxy[0]).shape == (5, 3, 3)  # pixels 40 to 44, 10 to 12
    np.testing.assert_allclose(second.confidence, (0.9, 0.25))
    assert (second.tracker_id.tolist(), second["class_name"].tolist()) == ([1, 2], ["car", "tree"])
    assert len(third) == 0

    written: list[np.ndarray] = []
    monkeypatch.setattr(media.VideoWriter, "write", lambda _, frame: written.append(frame))
    assert run("annotate_with_supervision.py", table, tmp_path / "out.mp4") == []
    assert len(written) == FRAMES
    outline = np.ones((5, 3), bool)
    outline[1:-1, 1] = False
    for frame, below in zip(written, (90, 50, 90), strict=True):  # names stand above the boxes, up to their first row
        drawn = frame.any(axis=2)
        np.testing.assert_array_equal(drawn[41:45, 10:13], outline[1:] if frame is not written[2] else 0 * outline[1:])
        assert not drawn[45:below, :58].any()
        assert not drawn[41:45, 13:58].any()
    assert len({*map(tuple, written[1][[44, 59], [10, 60]].tolist())}) == 2  # a colour for each


def test_tracks_in_fiftyone(tmp_path: Path):
    """In a process and with a database of its own, as it takes its time to begin and leaves both running."""
    found = importlib.util.find_spec("fiftyone")
    if found is None or found.origin is None:
        pytest.skip("FiftyOne is not installed")
    if "FIFTYONE_DATABASE_URI" not in os.environ and not (Path(found.origin).parent / "db/bin/mongod").is_file():
        pytest.skip("FiftyOne is installed without its database")
    video = make_video(tmp_path / "clip.mp4", 8)
    table = write_tracked(tmp_path / "a.csv", video, 5, first=2, names=("car", "tree"), scores={("tree", 4): 0.25})
    for number in range(FRAMES):
        save(tmp_path / "frames" / f"{number}.png", noisy(number))
    write_tracked(tmp_path / "boxes.json", tmp_path / "frames", FRAMES)
    page = " ".join((DOCS / "toolkits.md").read_text(encoding="utf-8").split())
    (statement,) = re.findall(r"`(fo\.Dataset\.from_dir\(.*?\))`", page)
    (lost,) = re.findall(r"`(dataset\.filter_labels\(.*?\))`", page)
    name = f"mfst-jax-tests-{os.getpid()}"
    program = f"""
import json, runpy, sys
import fiftyone as fo
sys.argv = ["tracks_in_fiftyone.py", {name!r}, {str(table)!r}]
try:
    runpy.run_path({str(EXAMPLES / "tracks_in_fiftyone.py")!r}, run_name="__main__")
    dataset = fo.load_dataset({name!r})
    (sample,), lost = dataset, {lost}.values("frames.tracks.detections.label", unwind=True)
    boxes = {{
        number: [[box.label, box.index, box.lost, box.confidence, *box.bounding_box] for box in frame.tracks.detections]
        for number, frame in sample.frames.items()
    }}
    images = {statement}
    found = [(image.filepath, image.detections.detections[0]) for image in images]
    more = [[path, box.label, box["track_id"], box.confidence, *box.bounding_box] for path, box in found]
    images.delete()
    print(json.dumps([sample.filepath, lost, boxes, more]))
finally:
    fo.delete_dataset({name!r})
"""
    private = {"FIFTYONE_DATABASE_DIR": str(tmp_path / "database"), "FIFTYONE_DO_NOT_TRACK": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **private}, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    path, lost, boxes, images = json.loads(done.stdout.splitlines()[-1])
    assert (path, lost) == (str(video), ["tree"])
    assert [*boxes] == ["3", "4", "5", "6", "7"]
    assert [box[:3] for box in boxes["5"]] == [["car", 1, False], ["tree", 2, True]]
    expected = [[score, *boxes_of(5, place)[2] / (64, 48, 64, 48)] for place, score in enumerate((0.9, 0.25))]
    np.testing.assert_allclose([box[3:] for box in boxes["5"]], expected, atol=1e-5)
    assert [image[0] for image in images] == [str(tmp_path / "frames" / f"{number}.png") for number in range(FRAMES)]
    assert [image[1:4] for image in images] == [["object", 1, 0.9]] * FRAMES
    np.testing.assert_allclose([image[4:] for image in images], boxes_of(FRAMES) / (64, 48, 64, 48), atol=1e-5)
