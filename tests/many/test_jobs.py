"""What the sources of `mfst track-all` stand for, and the table of boxes that they begin with."""

from pathlib import Path

import numpy as np
import pytest
from data_sets import trackingnet
from layouts import boxes_of, otb, write_images, write_rows

from mfst_jax.errors import InputError
from mfst_jax.many.box_table import read_box_table
from mfst_jax.many.jobs import find_jobs
from mfst_jax.targets import Target

HEADER = "source,x,y,w,h"


def table(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def names(jobs) -> list[str]:
    return [job.name for job in jobs]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Videos (whose content nobody looks at), sequences and folders of images, in the current folder."""
    for name in ("v10.mp4", "v2.MKV", ".hidden.mp4", "notes.txt"):
        (tmp_path / "videos").mkdir(exist_ok=True)
        (tmp_path / "videos" / name).touch()
    otb(tmp_path / "otb", "Deer", boxes_of(3))
    otb(tmp_path / "otb", "Ant", boxes_of(3))
    for number in (1, 2):
        otb(tmp_path / "otb", "Jogging", boxes_of(3), file=f"groundtruth_rect.{number}.txt")
    write_images(tmp_path / "images", range(3))
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["videos"], ["v2", "v10"]),
        (["videos/*.mp4"], ["v10"]),
        (["videos/v*"], ["v2", "v10"]),
        (["*/v10.mp4", "videos/v2.MKV", "./videos/v10.mp4"], ["v10", "v2"]),
        (["otb"], ["Ant", "Deer", "Jogging-1", "Jogging-2"]),
        (["otb/*"], ["Ant", "Deer", "Jogging-1", "Jogging-2"]),
        (["otb/Deer", "otb#Jogging-2"], ["Deer", "Jogging-2"]),
        (["images"], ["images"]),
        (["images/*.jpg"], ["images"]),
    ],
)
def test_a_source_stands_for_what_is_in_it_in_natural_order(tree: Path, sources: list[str], expected: list[str]):
    rows = [f"{path},1,2,3,4" for path in ("videos/v10.mp4", "videos/v2.MKV", "images", "images/*.jpg")]
    jobs, _ = find_jobs(sources, table(tree, *rows))
    assert names(jobs) == expected
    annotated = [not job.targets for job in jobs]
    assert annotated == ["otb" in source for job, source in zip(jobs, [job.source for job in jobs], strict=True)]


def test_what_is_not_among_the_sources_is_said(tree: Path):
    path = table(tree, "videos/v10.mp4,1,2,3,4", "videos/v2.MKV,1,2,3,4", "otb/Deer,9,9,9,9")
    jobs, notes = find_jobs(["videos/v10.mp4"], path)
    assert names(jobs) == ["v10"]
    assert notes == [f"boxes {path}: sources in it that are not among SOURCES: videos/v2.MKV, otb/Deer"] or notes == [
        f"boxes {path}: sources in it that are not among SOURCES: {tree}/videos/v2.MKV, {tree}/otb/Deer"
    ]
    assert find_jobs(["videos", "otb"], path)[1] == []


def test_sources_of_a_table_are_found_from_its_folder(tree: Path, monkeypatch: pytest.MonkeyPatch):
    path = table(tree / "videos", "v10.mp4,1,2,3,4", "../images,5,6,7,8.5", f"{tree}/otb/Deer,1,1,9,9")
    monkeypatch.chdir(tree / "otb")
    jobs, notes = find_jobs([], path)
    assert (names(jobs), notes) == (["v10", "images", "Deer"], [])
    assert [job.targets for job in jobs[:2]] == [(Target("target", (1, 2, 3, 4)),), (Target("target", (5, 6, 7, 8.5)),)]
    source, targets = jobs[1].open()
    assert (source.count, targets[0].box) == (3, (5, 6, 7, 8.5))


def test_rows_of_one_source_are_its_targets(tmp_path: Path):
    header = "name, target ,first,source,more,x,y,w,h"
    path = table(tmp_path, "a, car ,3,b.mp4,?,1,2,3,4", "a,,3,b.mp4,?,5,6,7,8", header=header)
    (start,) = read_box_table(path).values()
    assert (start.name, start.first, start.source) == ("a", 3, str(tmp_path / "b.mp4"))
    assert start.targets == (Target("car", (1, 2, 3, 4)), Target("2", (5, 6, 7, 8)))


def test_spaces_after_commas_do_not_matter_and_boxes_may_be_smaller_than_a_pixel(tmp_path: Path):
    path = table(tmp_path, 'b.mp4, 1, 2, 0.5, 0.25, "a b"', header=HEADER + ", name")
    (start,) = read_box_table(path).values()
    assert (start.name, start.targets) == ("a b", (Target("target", (1, 2, 0.5, 0.25)),))


def test_a_sequence_begins_with_its_own_first_true_box(tree: Path):
    jobs, _ = find_jobs(["otb"])
    source, (target,) = jobs[1].open()
    assert source.name == "Deer"
    np.testing.assert_array_equal(target.box, boxes_of(3)[0])


def test_a_sequence_whose_target_is_not_there_at_first_fails_by_itself(tree: Path):
    write_rows(tree / "otb" / "Deer" / "groundtruth_rect.txt", np.array([[0, 0, 0, 0], [5, 5, 9, 9], [5, 5, 9, 9]]))
    jobs, _ = find_jobs(["otb/Deer"])
    with pytest.raises(
        InputError, match=r"source otb/Deer: expected a box to start from in --boxes, as the target is absent"
    ):
        jobs[0].open()


@pytest.mark.parametrize(
    ("sources", "rows", "expected"),
    [
        ([], None, "SOURCES: expected at least one, or --boxes with a table that names them, found none"),
        (["videos"], None, "--boxes: expected a table with a box for each video and folder of images without true "
         "boxes, found none for 2 of 2: videos/v2.MKV, videos/v10.mp4"),
        (["videos", "otb"], ["videos/v10.mp4,1,2,3,4"], "found none for 1 of 6: videos/v2.MKV"),
        (["none.mp4"], None, "source 'none.mp4': expected a video, images, a sequence, or a folder or glob of them, "
         "found no such file"),
        (["none/*.mp4"], None, "found no such file"),
        (["http://example.org/a.mp4"], None, "expected files, found an address, which mfst track follows"),
        (["0"], None, "source '0': expected files, found a webcam, which mfst track follows"),
        ([], ["gone.mp4,1,2,3,4"], "gone.mp4: expected a video, images or a sequence, found no such file"),
        (["empty"], None, "source empty: expected videos (.3gp"),
        ([], ["videos/v10.mp4,1,2,3,4", "images/../videos/v10.mp4,1,2,3,4", "other/v10.mp4,1,2,3,4"],
         "other/v10.mp4: expected a video, images or a sequence, found no such file"),
        (["a\0b"], None, "source 'a\\x00b': expected a video"),
        ([], ["**x,1,2,3,4"], "found no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_tracked_is_said_before_any_work(
    tree: Path, sources: list[str], rows: list[str] | None, expected: str
):
    with pytest.raises(InputError) as error:
        find_jobs(sources, None if rows is None else table(tree, *rows))
    assert expected in str(error.value)


def test_videos_beside_an_image_are_found_by_a_glob_which_the_error_names(tree: Path):
    write_images(tree / "videos", [0])
    boxes = table(tree, "videos/v10.mp4,1,2,3,4")
    with pytest.raises(InputError, match=r"; videos beside the images in videos are found by videos/\*\.MKV$"):
        find_jobs(["videos"], boxes)
    assert names(find_jobs(["videos/*.mp4"], boxes)[0]) == ["v10"]


@pytest.mark.parametrize("source", ["set", "set/TRAIN_0", "set/TRAIN_0/frames/bee"])
def test_a_sequence_of_a_data_set_is_found_from_it_and_from_its_images(tree: Path, source: str):
    """TrackingNet has its boxes apart from the images."""
    trackingnet(tree / "set", "TRAIN_0", "bee", boxes_of(3))
    jobs, _ = find_jobs([source])
    assert names(jobs) == ["bee"]
    opened, (target,) = jobs[0].open()
    assert (opened.name, opened.count) == ("bee", 3)
    np.testing.assert_array_equal(target.box, boxes_of(3)[0])


def test_sources_of_one_name_need_others(tree: Path):
    (tree / "more").mkdir()
    (tree / "more" / "v10.avi").touch()
    rows = ["videos/v10.mp4,1,2,3,4,", "more/v10.avi,1,2,3,4,"]
    with pytest.raises(InputError) as error:
        find_jobs([], table(tree, *rows, header=HEADER + ",name"))
    assert "as each has a table v10.csv, found" in str(error.value)
    assert str(error.value).endswith("a column `name` in --boxes gives them others")
    jobs, _ = find_jobs([], table(tree, rows[0], rows[1] + "other", header=HEADER + ",name"))
    assert names(jobs) == ["v10", "other"]


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "n" * 201, "tab\there"])
def test_a_name_is_that_of_a_file(tree: Path, name: str):
    with pytest.raises(InputError, match="expected a name for its table that a file can have"):
        find_jobs([], table(tree, f"images,1,2,3,4,{name}", header=HEADER + ",name"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected a header with the columns source,x,y,w,h, found none called source or x or y or w or h"),
        ("source,x,y,w\n", "found none called h"),
        (f"{HEADER}\n", "expected a row for each source and target, found none"),
        (f"{HEADER}\na,1,2,3\n", "line 2: expected a source, a box x,y,w,h of some size"),
        (f"{HEADER}\na,1,2,3,4,5\n", "line 2: expected"),
        (f"{HEADER}\na,1,2,3,4\na,1,2,x,4\n", "line 3: expected"),
        (f"{HEADER}\na,1,2,0,4\n", "found 'a,1,2,0,4'"),
        (f"{HEADER}\na,1,2,nan,4\n", "found 'a,1,2,nan,4'"),
        (f"{HEADER}\na,1,2,3,1e10\n", "found 'a,1,2,3,1e10'"),
        (f"{HEADER}\n,1,2,3,4\n", "expected the path of a source, found ''"),
        (f"{HEADER},first\na,1,2,3,4,-1\n", "maybe the number of its frame"),
        (f"{HEADER},first\na,1,2,3,4,1.5\n", "maybe the number of its frame"),
        (f"{HEADER},first\na,1,2,3,4,1\na,1,2,3,4,2\n", "line 3: expected the first frame and the name that a has in"),
        (f"{HEADER},target\na,1,2,3,4,b\na,1,2,3,4,b\n", "targets of a: expected a name for each target, found 'b'"),
        (f'{HEADER}\n"a,1,2,3,4\n', "expected"),
        ("\xff", "found none called source"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_box_table(path)
    assert str(error.value).startswith(f"boxes {path}")
    assert expected in str(error.value)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path):
    for data in (b"\xff\xfe\x00", b"\x00" * 100):
        (tmp_path / "boxes.csv").write_bytes(data)
        with pytest.raises(InputError, match="expected a "):
            read_box_table(tmp_path / "boxes.csv")
    with pytest.raises(InputError, match="No such file"):
        read_box_table(tmp_path / "none.csv")
