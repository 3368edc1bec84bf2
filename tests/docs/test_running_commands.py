"""The commands of README.md and docs/ that a user types, run as they stand in a folder that holds what they name.

What measures for minutes or hours (benchmarks, studies, trainings) and what downloads is parsed alone, in
`test_documented_commands.py`.
"""

import csv
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from code_blocks import ROOT, commands
from random_weights import S
from test_documented_commands import run

import mfst_jax
import weight_port
from mfst_jax import checkpoints
from mfst_jax.media.sources import demo_source

FRAMES = 3
DOCS = ROOT / "docs"


def of_page(page: Path, *beginnings: str) -> list[str]:
    """The page's commands that begin so, in their order; each beginning has one at least."""
    found = [each for each in commands(page) if each.startswith(beginnings)]
    assert all(any(each.startswith(beginning) for each in found) for beginning in beginnings)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the first frames of the built-in clip as `video.mp4`."""
    av = pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = (length // 2 * 2 for length in next(demo_source().frames()).shape[:2])
        for frame, _ in zip(demo_source().frames(), range(FRAMES), strict=False):
            picture = av.VideoFrame.from_ndarray(frame[: stream.height, : stream.width], format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return tmp_path


def boxes(path: Path) -> np.ndarray:
    with path.open(encoding="utf-8") as file:
        return np.array([[float(row[side]) for side in "xywh"] for row in csv.DictReader(file)])


def test_tracking_a_video_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for command in of_page(ROOT / "README.md", "mfst track video.mp4"):
        if "--weights paper" not in command and "--select" not in command:  # a download; a browser
            run(shlex.split(command), monkeypatch)
    assert (folder / "tracked.mp4").stat().st_size > 1000
    np.testing.assert_array_equal(boxes(folder / "boxes.csv")[0], (158, 208, 61, 44))
    assert len(boxes(folder / "boxes.csv")) == FRAMES
    before = (folder / "page.html").read_text(encoding="utf-8")
    assert before.lower().startswith("<!doctype html>")
    for command in of_page(DOCS / "page.md", "mfst track", "mfst view"):
        run(shlex.split(command), monkeypatch)
    assert (folder / "boxes.html").is_file()


def test_several_targets(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for command in of_page(DOCS / "targets.md", "mfst track"):
        run(shlex.split(command), monkeypatch)
    assert (folder / "out.mp4").stat().st_size > 1000


def test_weights_by_name_are_listed(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
    run(["mfst", "weights"], monkeypatch)
    assert {"builtin", "paper"} <= set(capsys.readouterr().out.split())


def test_checkpoints_are_converted_as_the_page_on_weights_does(
    tmp_path: Path, random_params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    checkpoints.save(random_params(S), tmp_path / "siamfc.safetensors")
    weight_port.export("siamfc.safetensors", "plain.pth", to="torch-siamfc")
    weight_port.export("builtin", "alexnet.pth", to="torchvision-alexnet")
    state = torch.load("plain.pth", weights_only=True)
    torch.save({"model": {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}, "ema": state}, "two.pth")
    for command in of_page(DOCS / "weights.md", "python -m weight_port"):
        words = shlex.split(command)
        if words[3] != "fetch":  # downloads
            shutil.copy("two.pth" if "--prefix" in words else "plain.pth", "checkpoint.pth")
            run(words, monkeypatch)
            found = mfst_jax.load("mfst.safetensors").contents if words[3] == "convert" else None
            assert found is None or found.siamfc
    assert mfst_jax.load("mfst.safetensors").contents.describe() == "SiamFC, AlexNet (torchvision) + SE"
    assert (tmp_path / "siamfc.mat").is_file()
    printed = capsys.readouterr().out
    assert "conv5" in printed
