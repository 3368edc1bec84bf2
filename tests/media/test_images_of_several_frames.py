"""Image files that hold several frames: all of them are read, in time, or it is said how many there are."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from media import noisy, read_until_error, save
from PIL import Image
from PIL.TiffImagePlugin import AppendingTiffWriter, ImageFileDirectory_v2

from mfst_jax.errors import InputError
from mfst_jax.media.images import TAIL, read_image
from mfst_jax.media.sources import open_source

FRAMES = [noisy(8 * number) for number in range(5)]
EXACT = {"a.png": {}, "a.webp": {"lossless": True}, "a.tif": {}, "packed.tiff": {"compression": "tiff_lzw"}}
"""How Pillow writes frames that come back as they were."""
TIMED = {"a.gif": {}, "a.png": {}, "a.webp": {"lossless": True}, "a.avif": {}}


def write(path, frames=FRAMES, **options):
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, **options)
    return path


def patch(frame, place, colour):
    """A copy of the frame with a square of one colour."""
    changed = frame.copy()
    changed[place : place + 8, place : place + 8] = colour
    return changed


@pytest.mark.parametrize("name", EXACT)
def test_every_frame_comes_back_exactly(tmp_path, name):
    source = open_source(write(tmp_path / name, **EXACT[name]))
    for frame, expected in zip(source.frames(), FRAMES, strict=True):
        np.testing.assert_array_equal(frame, expected)
    assert (source.count, source.size, source.name) == (5, (48, 64), name)


@pytest.mark.parametrize("name", ["a", "a.mp4", "a.jpg"])
@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tif", "avif"])
def test_the_content_tells_such_a_file_whatever_its_name(tmp_path, kind, name):
    path = write(tmp_path / f"made.{kind}").rename(tmp_path / name)
    source = open_source(path)
    assert source.count == len(list(source.frames())) == 5


@pytest.mark.usefixtures("without_av")
def test_a_gif_without_delays_is_read_whole(tmp_path):
    path = write(tmp_path / "a.gif")
    assert b"\x21\xf9\x04" not in path.read_bytes()  # no frame says how long
    source = open_source(path)
    assert (source.count, source.fps) == (5, 10)
    frames = list(source.frames())
    assert len(frames) == 5
    for frame, expected in zip(frames, FRAMES, strict=True):
        assert np.abs(frame.astype(int) - expected).mean() < 12  # 256 colours


def test_frames_of_a_gif_are_whole_pictures(tmp_path):
    grey = np.full((48, 64, 3), 100, np.uint8)
    expected = [grey, patch(grey, 5, (255, 0, 0)), patch(grey, 20, (0, 255, 0)), grey]
    for number, disposal in enumerate([0, 1, 2]):  # of each, only what differs from the last is stored
        path = write(tmp_path / f"{number}.gif", expected, disposal=disposal, duration=40, loop=3)
        for frame, picture in zip(open_source(path).frames(), expected, strict=True):
            np.testing.assert_array_equal(frame, picture)


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize(
    ("milliseconds", "rate"),
    [
        (40, 25),
        ([20, 20, 40, 500, 420], 5),
        (10, 10),  # browsers show frames of up to 10 ms for 100
    ],
)
def test_the_rate_is_that_of_the_delays_in_the_mean(tmp_path, name, milliseconds, rate):
    source = open_source(write(tmp_path / name, duration=milliseconds, **TIMED[name]))
    assert source.fps == pytest.approx(rate)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tif"])
def test_one_frame_is_a_still(tmp_path, name):
    source = open_source(write(tmp_path / name, FRAMES[:1]))
    assert (source.count, source.fps, len(list(source.frames()))) == (1, 25, 1)
    assert read_image(tmp_path / name).shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "packed.tiff"])
def test_every_frame_is_upright(tmp_path, name):
    exif = Image.Exif()
    exif[0x0112] = 7  # mirrored along the other diagonal to view
    source = open_source(write(tmp_path / name, exif=exif, **EXACT[name]))
    for frame, stored in zip(source.frames(), FRAMES, strict=True):
        np.testing.assert_array_equal(frame, stored[::-1, ::-1].transpose(1, 0, 2))


def test_the_picture_before_an_animation_is_not_a_frame_of_it(tmp_path):
    write(tmp_path / "a.png", [noisy(60), *FRAMES], default_image=True, duration=40)
    source = open_source(tmp_path / "a.png")
    assert source.count == 5
    np.testing.assert_array_equal(next(source.frames()), FRAMES[0])


# Pillow's writer closes its file twice, which Python tells from 3.13 on.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [1, 4])  # of reduced resolution, a mask
def test_previews_and_masks_among_the_pages_of_a_tiff_are_passed_over(tmp_path, kind):
    with AppendingTiffWriter(str(tmp_path / "a.tif"), new=True) as file:
        for frame, subfile in [(FRAMES[0], 0), (FRAMES[1][:24, :32], kind), (FRAMES[2], 0)]:
            tags = ImageFileDirectory_v2()
            tags[254] = subfile
            Image.fromarray(frame).save(file, "TIFF", tiffinfo=tags)
            file.newFrame()
    source = open_source(tmp_path / "a.tif")
    assert source.count == 2
    for frame, expected in zip(source.frames(), FRAMES[0:3:2], strict=True):
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize("name", EXACT)
def test_a_file_of_several_frames_among_images_is_refused(tmp_path, name):
    save(tmp_path / "0.png", noisy(0))
    write(tmp_path / f"1{name}", **EXACT[name])
    read, message = read_until_error(open_source(tmp_path))
    assert read == 1
    assert message.endswith(f"1{name}: expected one frame, found 5; a file of several is a source of its own")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif", "packed.tiff"])
def test_a_file_cut_short_gives_its_good_frames_first(tmp_path, name, share):
    path = write(tmp_path / name, **EXACT.get(name, {}))
    whole = list(open_source(path).frames())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    frames = []
    with pytest.raises(InputError, match=rf"image .*{name}.*: expected .*, found ") as caught:
        frames.extend(open_source(path).frames())
    assert "\n" not in str(caught.value)
    read, _ = read_until_error(open_source(path))
    assert int(5 * share) - 1 <= read <= 5 * share
    frames = open_source(path).frames()
    for expected in whole[:read]:
        np.testing.assert_array_equal(next(frames), expected)


def test_a_gif_that_ends_after_a_frame_but_has_no_end_is_cut_short(tmp_path):
    data = write(tmp_path / "a.gif").read_bytes()
    assert data.endswith(b"\x00;")
    (tmp_path / "a.gif").write_bytes(data[:-1])
    read, message = read_until_error(open_source(tmp_path / "a.gif"))
    assert read == 5
    assert message.endswith("a.gif: expected more frames or an end mark, found 5, then the end of the file")


@pytest.mark.parametrize("more", [1, TAIL, 3 * TAIL + 5])
def test_padding_after_the_end_of_a_gif_is_passed_over_without_reading_the_file_whole(tmp_path, monkeypatch, more: int):
    path = write(tmp_path / "a.gif")
    with path.open("ab") as file:
        file.write(bytes(more))
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=MemoryError))
    assert len(list(open_source(path).frames())) == 5
    with path.open("ab") as file:
        file.write(b"\1")
    with pytest.raises(InputError, match="expected more frames or an end mark, found 5"):
        list(open_source(path).frames())


def test_a_comment_of_any_encoding_does_not_matter(tmp_path):
    write(tmp_path / "a.gif", comment="Größe".encode("latin-1"), duration=40)
    assert len(list(open_source(tmp_path / "a.gif").frames())) == 5


def test_further_pictures_in_a_jpeg_are_no_frames(tmp_path):
    smooth = [np.full((48, 64, 3), 40 * number, np.uint8) for number in range(3)]
    write(tmp_path / "a.mpo", smooth)
    path = (tmp_path / "a.mpo").rename(tmp_path / "a.jpg")
    with Image.open(path) as file:
        assert file.n_frames == 3
    source = open_source(path)
    assert (source.count, len(list(source.frames()))) == (1, 1)
    assert abs(read_image(path).astype(int)).max() < 5
