"""`mfst track --select` from the command line to what is on disk."""

import csv
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from browser import find_chromium, open_browser
from media import make_video, noisy
from one_layer import OPTIONS
from track_pages import data_of

from mfst_jax import cli
from mfst_jax.errors import InputError
from mfst_jax.media.source import Source
from mfst_jax.media.sources import open_source
from mfst_jax.select import select_targets
from mfst_jax.tracks.files import read_record

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def still(level: int, size: tuple[int, int]) -> np.ndarray:
        return noisy(0, size)

    return make_video(tmp_path_factory.mktemp("video") / "clip.mp4", 12, size=(96, 128), picture=still)


@contextmanager
def started(video: Path, *arguments: str | Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """`mfst track --select`, and the address that it prints."""
    code = "import sys; from mfst_jax.cli import command; sys.exit(command())"  # which keeps XLA quiet
    words = [sys.executable, "-c", code, "track", str(video), "--select", "--no-browser", *map(str, arguments)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            found = re.fullmatch(
                r"draw the targets at (http://127\.0\.0\.1:\d+/[\w-]{32}/)\n", process.stderr.readline()
            )
            assert found is not None
            assert process.stderr.readline().startswith("elsewhere: ssh -L ")
            yield process, found[1]
        finally:
            process.kill()


def test_tracking_starts_in_the_chosen_frame_with_the_boxes_that_were_drawn(video: Path, tmp_path: Path):
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("chromium is not installed")
    table, page = tmp_path / "boxes.csv", tmp_path / "page.html"
    with (
        started(video, "--boxes", table, "--page", page, *OPTIONS) as (process, address),
        open_browser(chromium, tmp_path / "profile") as browser,
    ):
        browser.open(address)
        browser.wait_for("document.documentElement.dataset.state", "ready")
        browser.evaluate("show(9)")
        browser.wait_for("document.documentElement.dataset.frame", "9")
        area = browser.evaluate("stage.getBoundingClientRect().toJSON()")
        for left, top, right, bottom in [(20, 30, 50, 60), (70, 20, 110, 50)]:
            ends = [
                (area["x"] + x / 128 * area["width"], area["y"] + y / 96 * area["height"])
                for x, y in ((left, top), (right, bottom))
            ]
            browser.drag(*ends)
        browser.click("#targets li:nth-child(2) input")
        browser.send("Input.insertText", text="bike")
        browser.press("Enter")
        browser.wait_for("document.documentElement.dataset.state", "over")
        said = process.communicate(timeout=200)[1]
        assert process.returncode == 0, said
    assert said.startswith("tracked 3 frames (9-11) of 2 targets, ")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["target"]) for row in rows] == [
        (f"{frame}", name) for frame in (9, 10, 11) for name in ("1", "bike")
    ]
    given = [[float(row[side]) for side in "xywh"] for row in rows[:2]]
    np.testing.assert_allclose(given, [(20, 30, 30, 30), (70, 20, 40, 30)], atol=0.2)
    record, shown = read_record(table), data_of(page.read_text())
    assert record is not None
    assert record.first == shown["first"] == 9
    assert shown["frames"] == 3


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_ctrl_c_ends_it(video: Path):
    with started(video) as (process, _):
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert len(said.splitlines()) == 1


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The one line that `mfst track` says before any page is served."""
    assert cli.main(["track", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_port_in_use_is_said_in_one_line(video: Path, capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal(capsys, video, "--select", "--no-browser", "--port", f"{port}")
    assert line == f"mfst: --port {port}: expected a port that is free, found Address already in use"
    assert "expected 0 to 65535, found 70000" in refusal(capsys, video, "--select", "--port", "70000")


def test_what_does_not_go_together_or_cannot_be_written_is_said_before_anybody_draws(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert "--select: expected no --box beside it" in refusal(capsys, video, "--select", "--box", "1,2,3,4")
    assert "--port: expected --select beside it, found none" in refusal(capsys, video, "--port", "8123")
    assert "--no-browser: expected --select beside it" in refusal(capsys, video, "--no-browser", "--box", "1,2,3,4")
    for option, name in (("--out", "out.gif"), ("--page", "page.pdf"), ("--boxes", "nowhere/boxes.csv")):
        assert "expected" in refusal(capsys, video, "--select", option, tmp_path / name)


def test_the_boxes_on_standard_output_have_the_numbers_of_the_video(capsys: pytest.CaptureFixture[str]):
    source = Source("a", (8, 8), None, 25.0, None, lambda: (_ for _ in ()), first=9, timed=True)
    for number in (9, 10):
        row = np.array([[1, 2, 3, 4]]), np.array([0.25 * (number - 6)])
        cli._print_rows(["target"], source, number, *row, number / 25)
    assert capsys.readouterr().out.splitlines() == [
        "frame,x,y,w,h,score,lost,time",
        "9,1.0000,2.0000,3.0000,4.0000,0.7500,0,0.3600",
        "10,1.0000,2.0000,3.0000,4.0000,1.0000,0,0.4000",
    ]


def test_a_browser_that_never_comes_is_said(
    video: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def ask(address: str) -> bool:
        asked.append(address)
        return False

    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(InputError, match=r"but no browser came for 0\.2 s") as caught:
        select_targets(open_source(video), timeout=0.2, opener=ask)
    assert "\n" not in str(caught.value)
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"draw the targets at {asked[0]}"
    assert second.startswith("elsewhere: ssh -L ")
    with pytest.raises(InputError, match="no browser came"):
        select_targets(open_source(video), timeout=0.2, open_browser=False, opener=ask)
    assert len(asked) == 1
