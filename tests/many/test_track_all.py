"""The command `mfst track-all`: its tables, what it passes over, what it refuses, and sources that fail."""

import json
from pathlib import Path

import pytest
from one_layer import CHEAP
from short_clips import FRAMES, NAMES, content, track_all, write_clips, write_video

from mfst_jax import cli
from mfst_jax.errors import InputError
from mfst_jax.many import command, outcomes, tracking
from mfst_jax.tracks.files import read_table
from mfst_jax.whole_files import working_name


def no_tracking(*_: object, **__: object) -> None:
    pytest.fail("something was tracked")


def test_tables_and_records_are_those_of_mfst_track(clips: Path, whole: dict[str, bytes], tmp_path: Path):
    assert sorted(whole) == sorted([*(f"{name}.csv{end}" for name in NAMES for end in ("", ".json")), "run.json"])
    out = clips.parent / "one by one"
    out.mkdir(exist_ok=True)
    for name in NAMES[:2]:
        arguments = ["track", str(clips / name), "--boxes", str(out / f"{name}.csv"), "--set", *CHEAP]
        assert cli.main(arguments) == 0
    assert content(out).items() <= whole.items()
    assert len(content(out)) == 4


def test_a_table_of_boxes_gives_targets_first_frames_and_names(clips: Path, tmp_path: Path):
    boxes = write_video(tmp_path / "in" / "movie.mp4").with_name("boxes.csv")
    boxes.write_text(
        "target,source,x,y,w,h,first,name\n"
        "one,movie.mp4,26,24,20,24,1,two of them\n"
        "other,movie.mp4,40,10,20,20,1,two of them\n"
        f",{clips / 'ant'},25,21,22,24,,\n"
    )
    assert track_all("--boxes", boxes, "--out", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*.csv")) == ["ant.csv", "two of them.csv"]
    found = read_table(tmp_path / "out" / "two of them.csv")
    assert [(track.name, track.first, len(track.boxes)) for track in found] == [
        (name, 1, FRAMES - 1) for name in ("one", "other")
    ]
    assert [track.boxes[0].tolist() for track in found] == [[26, 24, 20, 24], [40, 10, 20, 20]]
    assert read_table(tmp_path / "out" / "ant.csv")[0].boxes[0].tolist() == [25, 21, 22, 24]
    (tmp_path / "alone").mkdir()
    arguments = ["--box", "25,21,22,24", "--boxes", str(tmp_path / "alone" / "ant.csv")]
    assert cli.main(["track", str(clips / "ant"), *arguments, "--set", *CHEAP]) == 0
    assert (tmp_path / "alone" / "ant.csv").read_bytes() == (tmp_path / "out" / "ant.csv").read_bytes()


def test_what_is_whole_is_passed_over(
    clips: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    looked, read_record = [], outcomes.read_record
    monkeypatch.setattr(command, "track_job", no_tracking)
    monkeypatch.setattr(outcomes, "read_record", lambda table: (looked.append(table.stem), read_record(table))[1])
    assert track_all(clips, "--out", clips.parent / "whole") == 0
    assert content(clips.parent / "whole") == whole
    assert looked == [*NAMES]  # each record once
    said = capsys.readouterr().err
    assert "4 of 4 sources are tracked already" in said
    assert "tracked 0 of 4 sources, 0 frames" in said


def damaged(folder: Path, what: str) -> None:
    """The table `bee.csv` as something may have left it."""
    table, record = folder / "bee.csv", folder / "bee.csv.json"
    if what == "no record":
        record.unlink()
    elif what == "no table":
        table.unlink()
    elif what == "another box":
        table.write_text(table.read_text().replace("0,24.", "0,25.", 1))
    elif what == "not complete":
        record.write_text(json.dumps(json.loads(record.read_text()) | {"complete": False}))
    elif what == "half a record":
        record.write_text(record.read_text()[:50])
    else:
        working_name(table).mkdir()
        (working_name(table) / "new.csv").write_text("frame,")
        record.unlink()
        table.unlink()


@pytest.mark.parametrize(
    "what", ["no record", "no table", "another box", "not complete", "half a record", "killed while it wrote"]
)
def test_what_is_not_whole_is_tracked_again(
    clips: Path, whole: dict[str, bytes], what: str, monkeypatch: pytest.MonkeyPatch
):
    out, again, track_job = clips.parent / what, [], command.track_job
    out.mkdir()
    for name, data in whole.items():
        (out / name).write_bytes(data)
    damaged(out, what)
    monkeypatch.setattr(command, "track_job", lambda job, *rest: (again.append(job.name), track_job(job, *rest))[1])
    assert track_all(clips, "--out", out) == 0
    assert content(out) == whole
    assert again == ["bee"]


@pytest.mark.parametrize("moment", [0, 5])
def test_a_run_that_is_interrupted_goes_on_to_the_same_bytes(
    clips: Path, whole: dict[str, bytes], moment: int, monkeypatch: pytest.MonkeyPatch
):
    out, seen, follow_all = clips.parent / f"interrupted {moment}", [], tracking.follow_all

    def hear(*_: object) -> None:
        seen.append(0)
        if len(seen) > moment:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracking, "follow_all", lambda *rest, **options: follow_all(*rest, **options, hear=hear))
        assert track_all(clips, "--out", out) == 130
    last = NAMES[moment // FRAMES]
    assert len(read_table(out / f"{last}.csv")[0].boxes) == moment % FRAMES + 1  # the boxes until then are there
    assert not json.loads((out / f"{last}.csv.json").read_text())["complete"]
    assert track_all(clips, "--out", out) == 0
    assert content(out) == whole


def test_another_run_is_refused_in_the_same_place(
    clips: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(command, "track_job", no_tracking)
    out = clips.parent / "whole"
    assert track_all(clips, "--out", out, "--stop-when-lost", 3) == 2
    expected = f"mfst: {out}/run.json: expected the same run as before, or another --out, found"
    assert capsys.readouterr().err == f"{expected} stop_when_lost 3 instead of null\n"
    assert cli.main(["track-all", str(clips), "--out", str(out), "--set", "scale_step=1.05"]) == 2
    assert "config.scale_step 1.05 instead of" in capsys.readouterr().err
    assert content(out) == whole


def test_a_folder_with_tables_of_others_is_refused(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "mine.csv").write_text("1,2\n")
    assert track_all(clips, "--out", tmp_path) == 2
    assert "expected no tables but those of this run, found mine.csv and no run.json" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_table_of_another_source_is_not_taken_for_ones_own(
    clips: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(command, "track_job", no_tracking)
    other = write_clips(tmp_path / "other", names=("bee",))
    assert track_all(other, "--out", clips.parent / "whole") == 2
    assert f"bee.csv: expected a table of {other}/bee, or another --out, found one of" in capsys.readouterr().err
    assert content(clips.parent / "whole") == whole


def test_sources_that_fail_do_not_stop_the_others_and_are_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture):
    clips, out = write_clips(tmp_path / "clips", names=NAMES[:3]), tmp_path / "out"
    images = clips / "ant" / "img" / "0003.bmp", clips / "bee" / "img" / "0001.bmp"
    sound = [path.read_bytes() for path in images]
    for path, data in zip(images, sound, strict=True):
        path.write_bytes(data[:100])
    assert track_all(clips, "--out", out) == 1
    said = capsys.readouterr().err
    for name, path in zip(NAMES, images, strict=False):
        (line,) = (out / "failed" / f"{name}.txt").read_text().splitlines()
        assert str(path) in line
        assert f"\n{name}: {line}\n" in said
    assert "tracked 3 of 3 sources" in said
    assert "; 2 failed" in said
    assert len(read_table(out / "ant.csv")[0].boxes) == 2  # what was tracked until then
    assert not (out / "bee.csv").exists()
    assert json.loads((out / "cat.csv.json").read_text())["complete"]
    for path, data in zip(images, sound, strict=True):
        path.write_bytes(data)
    assert track_all(clips, "--out", out) == 0
    assert "1 of 3 sources are tracked already" in capsys.readouterr().err
    assert not [*(out / "failed").iterdir()]
    assert len(read_table(out / "ant.csv")[0].boxes) == len(read_table(out / "bee.csv")[0].boxes) == FRAMES


def test_whatever_is_wrong_with_one_source_the_others_are_tracked(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    follow_all = tracking.follow_all

    def odd(source, *rest, **options):
        if source.name == "bee":
            raise MemoryError("no room\nfor bee")
        return follow_all(source, *rest, **options)

    monkeypatch.setattr(tracking, "follow_all", odd)
    assert track_all(clips, "--out", tmp_path / "out") == 1
    assert "\nbee: MemoryError: no room for bee\n" in capsys.readouterr().err
    assert len([*(tmp_path / "out").glob("*.csv")]) == 3


def test_where_nothing_can_be_written_the_run_ends(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    """On a full disk each source would fail, and the reason could not be kept."""

    def full(*_: object, **__: object) -> None:
        raise InputError("expected to write it, found No space left on device")

    monkeypatch.setattr(tracking, "follow_all", full)
    monkeypatch.setattr("mfst_jax.many.outcomes.write_atomically", full)
    assert track_all(clips, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.endswith("mfst: expected to write it, found No space left on device\n")


def test_a_command_that_cannot_be_right_does_nothing(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    for arguments, expected in (
        ([], "SOURCES: expected at least one"),
        ([clips, "--processes", 2, "--process", 2], "--process: expected 0 to 1, found 2"),
        ([clips, "--stop-when-lost", 0], "--stop-when-lost: expected a number of frames of at least 1"),
        ([clips, "--weights", tmp_path / "none"], "none"),
        ([clips / "nothing"], "found no such file"),
    ):
        assert track_all(*arguments, "--out", tmp_path / "out") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("mfst: ")
        assert expected in line
    assert not (tmp_path / "out").exists()
