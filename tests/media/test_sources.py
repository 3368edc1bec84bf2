"""Sources of frames: folders, globs, ground truth beside them, webcams, the demo clip."""

import errno
import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from layouts import boxes_of, from_one, otb, write_images, write_rows
from media import cut, make_video, noisy, read_until_error, save
from PIL import Image

import mfst_jax
from mfst_jax.errors import InputError
from mfst_jax.media import video_sources
from mfst_jax.media.decoding import LARGEST_FRAME
from mfst_jax.media.sources import demo_source, open_source

ROOT = Path(__file__).parents[2]


def test_sources_can_be_compared_and_be_keys():
    """Each is equal to itself alone: what they read cannot be compared."""
    one, other = demo_source(), demo_source()
    assert one != other
    assert {one: 1, other: 2}[one] == 1


# Folders, globs, single images


@pytest.mark.parametrize("kind", ["folder", "text", "glob", "recursive glob"])
def test_images_come_in_natural_order(tmp_path, monkeypatch, kind):
    for number in (10, 2, 1, 33):
        save(tmp_path / "clip" / f"img{number}.png", noisy(number))
    (tmp_path / "clip" / "notes.txt").write_text("")
    (tmp_path / "clip" / "._img1.png").write_text("")
    monkeypatch.chdir(tmp_path / "clip")
    given = {
        "folder": Path(),
        "text": str(tmp_path / "clip"),
        "glob": "../clip/*",
        "recursive glob": f"{tmp_path}/**/i*.png",
    }
    source = open_source(given[kind])
    frames = list(source.frames())
    for frame, number in zip(frames, (1, 2, 10, 33), strict=True):
        np.testing.assert_array_equal(frame, noisy(number))
    assert (source.size, source.count, source.fps, source.ground_truth) == ((48, 64), 4, 25.0, None)
    if "glob" not in kind:
        assert source.name == "clip"
    assert source.files == ("img1.png", "img2.png", "img10.png", "img33.png")
    np.testing.assert_array_equal(next(source.frames()), frames[0])  # each call starts anew


@pytest.mark.parametrize("start", ["", "{here}/"])
def test_images_of_several_folders_are_named_from_the_one_that_they_share(tmp_path, monkeypatch, start):
    for name in ("a/1.png", "b/c/1.png"):
        save(tmp_path / name, noisy(1))
    monkeypatch.chdir(tmp_path)
    assert open_source(start.format(here=tmp_path) + "**/*.png").files == ("a/1.png", "b/c/1.png")


def test_a_single_image_is_a_source(tmp_path):
    save(tmp_path / "a.PNG", noisy(1))
    assert [frame.shape for frame in open_source(tmp_path / "a.PNG").frames()] == [(48, 64, 3)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("empty", "nothing"),
        ("texts", "a.txt"),
        ("empty/*.png", "no such file, nor any that matches it as a pattern"),
        ("texts/*", "1 other entries"),
        ("missing", "no such file"),
        ("missing.mp4", "no such file"),
        ("x" * 300, "File name too long"),
        ("pipe", "a pipe, which cannot be read twice: save what it brings as a file first"),
        ("link.mp4", "a link to nowhere, which does not exist"),
        ("clip[1].mp4", "no such file, nor any that matches it as a pattern"),
        ("texts/%04d.png", "no such file; numbers that count are written as a *"),
    ],
)
def test_sources_without_frames(tmp_path, given, found):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    (tmp_path / "link.mp4").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=f"{re.escape(given)}.*: expected .* found {found}"):
        open_source(f"{tmp_path}/{given}")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("-", "a pipe, which cannot be read twice: save what it brings as a file first"),
        ("ftp://localhost/v?ch=1", "an address: save what it leads to as a file first"),
        ("concat:/a.ts|/b.ts", "an address: save what it leads to as a file first"),
        ("udp://localhost/clip[1]*.mp4", "an address: save what it leads to as a file first"),
        ("file:///tmp/a.mp4", "an address: give the path alone"),
        ("/dev/null", "a device"),
    ],
)
def test_what_is_not_supported_is_said(given, found):
    with pytest.raises(InputError, match=rf"^source '{re.escape(given)}': expected a video, .*, found {found}$"):
        open_source(given)


def test_names_that_exist_are_no_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        save(Path("take[1]") / f"{number}.png", noisy(number))
        save(Path("take1") / f"{number + 10}.png", noisy(number + 10))
    save(Path("take[1]") / "[0].png", noisy(50))
    make_video(Path("take[2].mp4"), 3)

    def levels(given):
        return [round((frame.mean() - noisy(0).mean()) / 3) for frame in open_source(given).frames()]

    assert levels("take[1]") == levels("take[1]/*") == levels(tmp_path / "take[1]" / "*g") == [0, 1, 2, 3, 50]
    assert levels("take[1]/[0].png") == levels("*/[[]0].png") == [50]
    assert levels("take[1]/[13].png") == [1, 3]
    assert levels("take1/1[02].png") == [10, 12]
    assert levels("take[2].mp4") == pytest.approx([0, 1, 2], abs=1)
    assert levels("take[[]1]/[1-3].png") == [1, 2, 3]
    (Path("take[1]")).rename("other")
    assert levels("take[1]/*") == [10, 11, 12, 13]


def test_the_empty_source_is_not_the_current_folder():
    with pytest.raises(InputError, match=r"source '': expected .*, found an empty text$"):
        open_source("")


def test_a_first_image_that_is_unreadable_fails_at_once(tmp_path):
    (tmp_path / "1.png").write_text("no image")
    with pytest.raises(InputError, match=r"1\.png"):
        open_source(tmp_path)


def test_an_unreadable_image_fails_in_its_turn(tmp_path):
    for number in range(4):
        save(tmp_path / f"{number}.png", noisy(number))
    cut(tmp_path / "2.png", 0.5)
    read, message = read_until_error(open_source(tmp_path))
    assert read == 2
    assert "2.png" in message


def test_a_frame_of_another_size_is_refused(tmp_path):
    save(tmp_path / "1.png", noisy(1))
    save(tmp_path / "2.png", noisy(1)[:40])
    read, message = read_until_error(open_source(tmp_path))
    assert read == 1
    assert message.endswith("2.png: expected 64x48 pixels like the first frame, found 64x40")


def test_a_file_that_cannot_be_opened_is_named_for_what_it_is_called(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.mp4").write_bytes(b"")
    save(tmp_path / "a.png", noisy(1))
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(InputError, match=r"^video .*a\.mp4: expected "):
        open_source(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"^image .*a\.png: expected .*, found Permission denied$"):
        open_source(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_an_archive_of_images_is_to_be_unpacked(tmp_path, kind):
    for number in (1, 2, 10):
        save(tmp_path / "frames" / f"{number}.jpg", noisy(number))
    path = shutil.make_archive(str(tmp_path / "frames"), kind, tmp_path / "frames")
    with pytest.raises(InputError, match=r"video .*frames\..*: expected a video, found an archive: unpack it first"):
        open_source(path)


# Sequences: tests/sequences has how they are read


def test_a_sequence_brings_its_true_boxes(tmp_path):
    for number in range(1, 4):
        save(tmp_path / "Deer" / "img" / f"{number:04}.jpg", noisy(number))
    (tmp_path / "Deer" / "groundtruth_rect.txt").write_text("11\t21\t30\t40\r\n12\t22\t30\t40\r\n")
    source = open_source(tmp_path / "Deer")
    assert (source.name, source.count) == ("Deer", 3)
    assert source.ground_truth is not None
    assert source.ground_truth.dtype == np.float32
    np.testing.assert_array_equal(source.ground_truth, [[10, 20, 30, 40], [11, 21, 30, 40], [np.nan] * 4])
    truth = tmp_path / "Deer" / "groundtruth_rect.txt"
    assert source.notes == (f"{truth}, line 3: expected 3 lines, one a frame, found 2",)


def test_of_otb_david_only_the_annotated_images_are_frames(tmp_path):
    otb(tmp_path, "David", boxes_of(471), range(1, 771))
    save(tmp_path / "David/img/0300.jpg", np.full((4, 6, 3), 200, np.uint8))
    source = open_source(tmp_path / "David")
    assert source.count == len(source.ground_truth) == 471
    assert next(source.frames()).mean() == pytest.approx(200, abs=2)
    np.testing.assert_array_equal(source.ground_truth, boxes_of(471))
    assert source.notes == ("David: 0300.jpg to 0770.jpg, which have true boxes, of 770 images",)


def test_of_two_targets_none_is_taken_and_both_are_named(tmp_path):
    otb(tmp_path, "Jogging", boxes_of(3), file="groundtruth_rect.1.txt")
    write_rows(tmp_path / "Jogging/groundtruth_rect.2.txt", from_one(boxes_of(3) + 5))
    source = open_source(tmp_path / "Jogging")
    assert (source.count, source.ground_truth) == (3, None)
    assert source.lacks == (
        "Jogging has 2 targets (groundtruth_rect.1.txt: 10,20,30,40; groundtruth_rect.2.txt: 15,25,35,45; "
        f"'{tmp_path}/Jogging#Jogging-1' takes one)"
    )


def test_a_folder_without_images_may_have_sequences_in_it(tmp_path):
    otb(tmp_path / "airplane", "airplane-1", boxes_of(3))
    with pytest.raises(InputError, match=r"found sequences one folder deeper, such as .*airplane/airplane-1$"):
        open_source(tmp_path / "airplane")
    with pytest.raises(InputError, match=r"found sequences two folders deeper, such as .*airplane/airplane-1$"):
        open_source(tmp_path)
    write_images(tmp_path / "clip/frames", (1, 2))
    with pytest.raises(InputError, match=r"found frames/, with images in .*clip/frames$"):
        open_source(tmp_path / "clip")


# Webcams


def test_a_webcam_that_is_not_there():
    with pytest.raises(InputError, match="webcam 97: expected"):
        open_source("97")


@pytest.mark.skipif(sys.platform != "linux", reason="devices have other names")
def test_a_webcam_without_a_device_is_none():
    with pytest.raises(InputError, match=r"^webcam 97: expected a camera at /dev/video97, found none$"):
        open_source("97")


@pytest.mark.parametrize(
    ("platform", "address", "options"),
    [
        ("linux", "/dev/video0", {"format": "v4l2"}),
        ("darwin", "0", {"format": "avfoundation", "options": {"max_pixels": str(LARGEST_FRAME), "framerate": "30"}}),
    ],
)
def test_a_webcam_is_opened_the_way_of_the_platform(tmp_path, monkeypatch, platform, address, options):
    path = make_video(tmp_path / "camera.mp4", 5)
    plain, asked = av.open, []

    def camera(*positional, **named):
        asked.append((*positional, named))
        return plain(str(path))

    monkeypatch.setattr(av, "open", camera)
    monkeypatch.setattr(video_sources.sys, "platform", platform)
    source = open_source("0")
    assert (source.name, source.size, source.count, source.fps) == ("webcam 0", (48, 64), None, 25.0)
    assert len(list(source.frames())) == 5
    assert {(given, repr({key: more[key] for key in options})) for given, more in asked} == {(address, repr(options))}


@pytest.mark.skipif(sys.platform != "linux", reason="devices have other names")
def test_a_webcam_s_device_is_that_webcam():
    with pytest.raises(InputError, match="webcam 97: expected"):
        open_source("/dev/video97")


def test_a_path_goes_before_a_webcam(tmp_path, monkeypatch):
    save(tmp_path / "0" / "a.png", noisy(1))
    monkeypatch.chdir(tmp_path)
    assert open_source("0").count == 1


# The demo clip


def test_demo_clip():
    source = demo_source()
    assert (source.name, source.size, source.count, source.fps) == ("demo", (360, 640), 150, 25.0)
    truth = source.ground_truth
    assert truth is not None
    assert truth.shape == (150, 4)
    assert truth.dtype == np.float32
    assert (truth[:, :2] >= 0).all()
    assert (truth[:, :2] + truth[:, 2:] <= (640, 360)).all()
    middle = truth[:, :2] + truth[:, 2:] / 2
    assert np.hypot(*np.diff(middle, axis=0).T).max() < 10
    assert 1.5 < truth[-1, 2] / truth[0, 2] < 1.7
    frames = source.frames()
    (x, y, w, h), first = truth[0].round().astype(int), next(frames).astype(int)
    rim = 12
    around = first[y - rim : y + h + rim, x - rim : x + w + rim]
    ys, xs = np.nonzero(around[..., 0] - around[..., 1] > 60)  # the car is the only red thing there
    found = (xs.min() - rim, ys.min() - rim, xs.max() + 1 - rim, ys.max() + 1 - rim)
    np.testing.assert_allclose(found, (0, 0, w, h), atol=3)
    assert sum(1 for _ in frames) == 149


def test_the_script_makes_the_ground_truth_of_the_demo_clip(tmp_path):
    script = runpy.run_path(str(ROOT / "tools" / "render_demo_clip.py"))
    script["write_ground_truth"](tmp_path / "demo.csv")
    made = np.loadtxt(tmp_path / "demo.csv", delimiter=",", skiprows=1)
    kept = np.loadtxt(Path(mfst_jax.__file__).parent / "assets" / "demo.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(made, kept, atol=0.0011)  # three decimals
