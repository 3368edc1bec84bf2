"""What the command `mfst track` refuses, in one line, and what an error on the way leaves."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from clip_folders import rows, write_clip
from one_layer import ONE_LAYER
from PIL import Image

from mfst_jax import cli
from mfst_jax.errors import InputError
from mfst_jax.program.box_arguments import refuse_spaced_box


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, np.ndarray]:
    return write_clip(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.mp4", "--box", "1,2,3,4"], "nowhere.mp4"),
        (["{clip}", "--box", "1,2,3"], "--box: expected four numbers x,y,w,h, or name=x,y,w,h, found '1,2,3'"),
        (["{clip}", "--box", "900,900,10,10"], "expected it to overlap the frame of 160 x 120 pixels"),
        (["{clip}", "--box", "a=1,2,3,4", "--box", "a=5,6,7,8"], "--box: expected a name for each target, found 'a'"),
        (["{clip}", "--box", "1,2,3,4", "--box", "b=900,1,9,9"], "box of b: expected it to overlap the frame of 160 x"),
        (["{clip}", "--box", "a,b=1,2,3,4"], "--box: expected a name without a comma for target 1, found 'a,b'"),
        (["{clip}", "--box", "10,10,0,10"], "width and height above 0"),
        (["{clip}", "--box", "nan,10,10,10"], "finite"),
        (["{clip}/img/*.png"], "--box: expected x,y,w,h"),
        (["{clip}", "--first", "-1"], "expected to start at a frame from 0 on, found -1"),
        (["{clip}", "--first", "4"], "--select to draw it, as Patch has no true box of frame 4"),
        (["{clip}", "--first", "4", "--box", "1,2,30,40"], "source Patch: expected a frame 4, found fewer frames"),
        (["{clip}", "--first", "1", "--select"], "--first: expected no --select beside it"),
        (
            ["{clip}", "--preset", "paper", "--set", "se=true"],
            "config.se: expected weights with SE-blocks for 'siamfc', found SiamFC (AlexNet's layers), AlexNet",
        ),
        (["{clip}", "--set", "speed=9"], "setting 'speed'"),
        (
            ["{clip}", "--box", "158", "208", "61", "44"],
            "without spaces, such as --box 158,208,61,44, found '158 208 61",
        ),
        (
            ["{clip}", "--box", "a=1,", "2,", "3,", "4", "--box", "5,6,7,8"],
            "such as --box a=1,2,3,4, found 'a=1, 2, 3, 4'",
        ),
        (["{clip}", "--box", "-9,1,8", ".5", "--preset", "paper"], "such as --box -9,1,8,.5, found"),
        (["{clip}", "--set", "scale_step=fast"], "scale_step: expected a number, found 'fast'"),
        (["{clip}", "--weights", "nowhere"], "nowhere"),
        (["{clip}", "--out", "{clip}/nowhere/out.mp4"], "expected an existing folder"),
        (["{clip}", "--out", "{clip}/out.gif"], "found '.gif'"),
        (["{clip}", "--boxes", "{clip}/nowhere/boxes.csv"], "expected an existing folder"),
        (["{clip}", "--boxes", "/dev/null"], "found a folder or a device"),
        (["{clip}", "--boxes", "{clip}/boxes.xlsx"], "boxes.xlsx: expected one of .csv .mot.txt .json, found '.xlsx'"),
        (["{clip}", "--boxes", "{clip}/x.mp4", "--out", "{clip}/x.mp4"], "expected another file than --out"),
        (["{clip}", "--page", "{clip}/nowhere/page.html"], "expected an existing folder"),
        (["{clip}", "--page", "{clip}/page.pdf"], "expected one of .html .htm, found '.pdf'"),
        (["{clip}", "--boxes", "{clip}/x.html", "--page", "{clip}/x.html"], "expected another file than --boxes"),
        (["{clip}", "--stop-when-lost", "0"], "--stop-when-lost: expected a number of frames of at least 1, found 0"),
        (["{clip}/img/0001.png", "--out", "{clip}/img/0001.png"], "expected another file than SOURCE"),
        (["{clip}/**.png", "--box", "1,1,9,9"], "glob"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    folder, _ = clip
    assert cli.main(["track", *(argument.replace("{clip}", str(folder)) for argument in arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("mfst: ")
    assert message in line


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    assert cli.main(["track", str(loop), "--box", "1,1,9,9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mfst: ")
    assert "loop.mp4" in line


@pytest.mark.parametrize("name", ["track", "track-all", "eval", "demo", "doctor", "info", "export", "bench"])
def test_only_what_tracks_says_that_tracks_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
):
    monkeypatch.setattr(cli.tyro.extras, "subcommand_cli_from_dict", Mock(side_effect=KeyboardInterrupt))
    assert cli.main([name]) == 130
    kept = "; what was tracked until then is written" if name in ("track", "track-all", "eval", "demo") else ""
    assert capsys.readouterr().err == f"mfst: interrupted{kept}\n"


@pytest.mark.usefixtures("one_layer_by_default")
@pytest.mark.parametrize("harm", ["size", "unreadable"])
def test_what_was_tracked_before_an_error_is_kept(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str], harm: str
):
    folder, _ = clip
    bad = folder / "img" / "0003.png"
    if harm == "size":
        Image.open(bad).crop((0, 0, 159, 120)).save(bad)
    else:
        bad.write_bytes(bad.read_bytes()[:200])
    boxes, movie = tmp_path / "boxes.csv", tmp_path / "out.mp4"
    assert cli.main(["track", str(folder), "--boxes", str(boxes), "--out", str(movie)]) == 2
    assert "0003.png" in capsys.readouterr().err
    assert [row["frame"] for row in rows(boxes)] == ["0", "1"]
    assert movie.stat().st_size > 0


@pytest.mark.usefixtures("one_layer_by_default")
def test_boxes_on_standard_output_come_as_they_are_found(
    clip: tuple[Path, np.ndarray], capsys: pytest.CaptureFixture[str]
):
    folder, _ = clip
    (folder / "img" / "0003.png").write_bytes(b"")
    assert cli.main(["track", str(folder)]) == 2
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["frame", "0", "1"]


def test_an_error_before_the_first_frame_leaves_older_files_alone(clip: tuple[Path, np.ndarray], tmp_path: Path):
    folder, _ = clip
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("older\n")
    assert cli.main(["track", str(folder), "--boxes", str(boxes), "--box", "900,900,10,10"]) == 2
    assert boxes.read_text() == "older\n"


def test_a_preset_may_have_capitals_and_an_unknown_one_is_refused_with_all_names_in_order(
    clip: tuple[Path, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, _ = clip
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    for name, boxes in (("alexnet", small), ("ALEXNET", large)):
        settings = ["--preset", name, "--set", *ONE_LAYER]
        assert cli.main(["track", str(folder), *settings, "--boxes", str(boxes)]) == 0
    assert large.read_text() == small.read_text()
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["track", str(folder), "--preset", "best"])
    assert ended.value.code == 2
    printed = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (
        "--preset: expected one of paper, authors, siamfc, alexnet, realtime, adaptive, adaptive_conv5, "
        "adaptive_alexnet, found 'best'" in printed
    )


@pytest.mark.parametrize("arguments", [["1,2,3,4", "0"], ["1", "0"], ["a=1,2,3,4", "5,6,7,8"], ["1,2,3,4"], []])
def test_a_number_after_a_whole_box_is_the_source(arguments: list[str]):
    refuse_spaced_box(["--box", *arguments])


@pytest.mark.parametrize("arguments", [["--box=1,2,3,4", "0"], ["--box=a=1,2,3,4"], ["--boxes=1", "2", "3", "4"]])
def test_a_box_after_a_sign_of_equality_is_whole(arguments: list[str]):
    refuse_spaced_box(arguments)


@pytest.mark.parametrize("arguments", [["--box=1,", "2,3,4"], ["--box=1", "2", "3", "4"], ["--box", "1,", "2,3,4"]])
def test_a_box_with_spaces_is_refused_with_how_to_write_it(arguments: list[str]):
    with pytest.raises(InputError, match="such as --box 1,2,3,4, found"):
        refuse_spaced_box(arguments)
