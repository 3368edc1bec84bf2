"""What is written, and that no half-written file is ever seen."""

import csv
from unittest.mock import Mock

import av
import numpy as np
import pytest
from PIL import Image

from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.media import writers
from mfst_jax.media.drawing import contact_sheet, draw
from mfst_jax.media.writers import AtomicFile, VideoWriter, save_image
from mfst_jax.tracks.tables import CsvTable

GREY = np.full((90, 120, 3), 128, np.uint8)
NAN = float("nan")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def is_colour(frame, colour):
    return (frame == np.array(colour, np.uint8)).all(axis=-1)


# Video


@pytest.mark.parametrize("suffix", sorted(writers.CODECS))
def test_video_round_trip(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with VideoWriter(path, fps=30000 / 1001) as video:
        for level in range(12):
            video.write(np.full((90, 120, 3), 20 * level, np.uint8))
        assert not path.exists()
    frames = decoded(path)
    assert len(frames) == 12
    for level, frame in enumerate(frames):
        assert frame.shape == (90, 120, 3)
        assert abs(frame.mean() - 20 * level) < 6
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(29.97, abs=0.1)
        assert stream.codec_context.pix_fmt == "yuv420p"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_colon_in_the_name_is_no_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter("12:30.mp4", fps=25) as video:
        video.write(GREY)
    assert len(decoded(tmp_path / "12:30.mp4")) == 1


def test_odd_sizes_are_padded_with_the_last_row_and_column(tmp_path):
    frame = np.zeros((45, 63, 3), np.uint8)
    frame[-1], frame[:, -1] = 255, 255
    with VideoWriter(tmp_path / "odd.mp4", fps=25) as video:
        for _ in range(3):
            video.write(frame)
    (first, *_) = decoded(tmp_path / "odd.mp4")
    assert first.shape == (46, 64, 3)
    assert first[-1].mean() > 200
    assert first[:, -1].mean() > 200
    assert first[5:40, 5:55].mean() < 20


def test_an_exception_keeps_the_frames_so_far(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"an older file")
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, fps=25) as video:  # noqa: PT012
        for _ in range(4):
            video.write(GREY)
        assert path.read_bytes() == b"an older file"
        raise KeyboardInterrupt
    assert len(decoded(path)) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_no_frame_makes_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4", fps=25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"out\.mp4: expected frames of 120x90 pixels, found 60x90"):  # noqa: PT012, SIM117
        with VideoWriter(tmp_path / "out.mp4", fps=25) as video:
            video.write(GREY)
            video.write(GREY[:, :60])
    assert len(decoded(tmp_path / "out.mp4")) == 1


@pytest.mark.parametrize("frame", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3))])
def test_what_is_no_frame_is_refused_in_words(tmp_path, frame):
    with (
        pytest.raises(InputError, match=r"out\.mp4, frame: expected uint8 RGB \[height"),
        VideoWriter(tmp_path / "out.mp4", fps=25) as video,
    ):
        video.write(frame)
    with pytest.raises(InputError, match=r"^frame: expected "):
        draw(frame, (1, 1, 2, 2))


def test_a_video_without_a_with_block_is_refused_as_it_would_never_appear(tmp_path):
    with pytest.raises(InputError, match="expected a `with` block around what is written, found none"):
        VideoWriter(tmp_path / "out.mp4", fps=25).write(np.zeros((9, 9, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_failing_encoder_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match=r"expected to write it, found") as caught:  # noqa: SIM117
        with VideoWriter(tmp_path / "out.mp4", fps=25) as video:
            video.write(np.zeros((2, 20000, 3), np.uint8))  # wider than H.264 allows
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -5, NAN, float("inf")])
def test_fps_must_be_usable(tmp_path, fps):
    with pytest.raises(InputError, match="frames per second"):
        VideoWriter(tmp_path / "out.mp4", fps=fps)


@pytest.mark.parametrize("name", ["out.gif", "out", "out.mp4.txt"])
def test_unknown_video_suffix(tmp_path, name):
    with pytest.raises(InputError, match=r"expected one of \.avi \.mkv"):
        VideoWriter(tmp_path / name, fps=25)


@pytest.mark.parametrize("suffix", sorted(writers.CODECS))
def test_a_missing_encoder_is_found_before_any_work(tmp_path, monkeypatch, suffix):
    codec, _ = writers.CODECS[suffix]
    monkeypatch.setitem(writers.CODECS, suffix, (f"{codec}-of-another-build", {}))
    missing = rf"out{suffix}: expected an FFmpeg with the encoder {codec}-of-another-build, which writes {suffix}, "
    with pytest.raises(InputError, match=missing):
        VideoWriter(tmp_path / f"out{suffix}", fps=25)
    assert list(tmp_path.iterdir()) == []


def test_whatever_keeps_a_video_from_opening_closes_its_file(tmp_path, monkeypatch):
    container = Mock()
    container.add_stream.side_effect = KeyboardInterrupt
    monkeypatch.setattr(av, "open", Mock(return_value=container))
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "out.mp4", fps=25) as video:
        video.write(GREY)
    container.close.assert_called_once_with()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_av")
def test_a_missing_av_names_the_extra(tmp_path):
    with pytest.raises(MissingExtraError, match=r"mfst-jax\[video\]"):
        VideoWriter(tmp_path / "out.mp4", fps=25)


# Where they go


MAKERS = {
    "out.csv": CsvTable,
    "out.mp4": lambda path: VideoWriter(path, 25),
    "out.png": lambda path: save_image(Image.new("RGB", (4, 4)), path),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("trouble", ["an existing folder", "the name of a file", "a folder that can be written to"])
def test_the_target_is_checked_before_any_work(tmp_path, monkeypatch, name, trouble):
    path = tmp_path / "sub" / name
    if trouble == "the name of a file":
        path.mkdir(parents=True)
    elif trouble == "a folder that can be written to":
        path.parent.mkdir()
        monkeypatch.setattr(writers.os, "access", lambda *_: False)
    with pytest.raises(InputError, match=f"{name}: expected {trouble}"):
        MAKERS[name](path)


def test_a_hyphen_is_not_taken_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="boxes -: expected the name of a file, found the sign for a pipe"):
        CsvTable("-")


# Pictures


def test_a_picture_comes_back(tmp_path):
    save_image(Image.fromarray(GREY), tmp_path / "sheet.PNG")
    with Image.open(tmp_path / "sheet.PNG") as saved:
        np.testing.assert_array_equal(np.asarray(saved), GREY)
    assert len(list(tmp_path.iterdir())) == 1


def test_save_image_refuses_an_unknown_suffix_and_cleans_up(tmp_path):
    sheet = contact_sheet([(0, GREY)])
    with pytest.raises(InputError, match=r"image .*sheet\.doc: expected one of"):
        save_image(sheet, tmp_path / "sheet.doc")
    with pytest.raises(InputError, match="expected to write it, found cannot write mode"):
        save_image(sheet.convert("CMYK"), tmp_path / "sheet.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_its_format_cannot_hold_is_refused(tmp_path):
    too_wide = r"image .*wide\.webp: expected to write it, found encoding error 5: Image size exceeds WebP limit"
    with pytest.raises(InputError, match=too_wide):
        save_image(Image.new("RGB", (17_000, 2)), tmp_path / "wide.webp")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, OSError])
def test_a_file_whose_beginning_is_not_written_is_closed(tmp_path, error):
    target = AtomicFile("boxes", tmp_path / "out.csv")
    with pytest.raises(InputError if error is OSError else error), target.opening() as file:
        raise error
    assert file.closed
    assert list(tmp_path.iterdir()) == []
