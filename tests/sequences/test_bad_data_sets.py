"""Data sets that commands refuse: one line, exit status 2, and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from data_sets import davis, mask, trackingnet, uav123
from layouts import boxes_of, write_rows

from mfst_jax.cli import main


def half_a_layout(root: Path) -> str:
    write_rows(root / "anno/a.txt", boxes_of(3))
    return f"{root}: expected anno/ and frames/ (TrackingNet), found anno/"


def two_layouts(root: Path) -> str:
    davis(uav123(root, {"bike1": boxes_of(3)}), "bear", [mask((1, 1, 2, 2))])
    kinds = "UAV123 (anno/ and data_seq/) and DAVIS (JPEGImages/ and Annotations/)"
    return f"{root}: expected one layout, found {kinds}"


def more_rows_than_frames(root: Path) -> str:
    trackingnet(root, "TEST", "a", boxes_of(6), count=4)
    return f"{root}/TEST/anno/a.txt, line 5: expected 4 lines, one a frame, found 6"


def masks_of_another_size(root: Path) -> str:
    davis(root, "bear", [mask((1, 1, 2, 2)), mask((1, 1, 2, 2), size=(5, 6))])
    return f"{root}/Annotations/480p/bear/00001.png: expected 6x4 pixels like its frame, found 6x5"


COMMANDS = {
    "track": ("track", "{root}", "--boxes", "{out}/boxes.csv"),
    "eval": ("eval", "{root}", "--out", "{out}/evaluation"),
    "track-all": ("track-all", "{root}", "--out", "{out}/tracks"),
    "train": ("train", "se_alexnet", "--data", "{root}", "--out", "{out}/run"),
}


@pytest.mark.parametrize(
    ("make", "command"),
    [
        *((make, command) for make in (half_a_layout, two_layouts) for command in COMMANDS),
        # One of many sources, or of many videos to train on, that is damaged stops the others in neither command.
        *((make, command) for make in (more_rows_than_frames, masks_of_another_size) for command in ("track", "eval")),
    ],
)
def test_a_data_set_that_cannot_be_right_ends_a_command_with_one_line(
    make: Callable[[Path], str], command: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    words = make(tmp_path / "root")
    (tmp_path / "out").mkdir()
    places = {"root": tmp_path / "root", "out": tmp_path / "out"}
    assert main([each.format(**places) for each in COMMANDS[command]]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.endswith(words)
    assert list((tmp_path / "out").iterdir()) == []
