"""What a video's header says of its frames: how they are shown, how many there are in a second, which are its own."""

import io
import struct
from fractions import Fraction
from itertools import accumulate

import av
import numpy as np
import pytest
from av.stream import Disposition
from media import KINDS, make_video, noisy
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media import decoding
from mfst_jax.media.sources import open_source

# Orientation


def with_display_matrix(path, a, b, c, d):
    """The MP4 at `path`, asking for what is stored at (x, y) to be shown at (a x + c y, b x + d y), but for a shift."""
    data = bytearray(path.read_bytes())
    matrix = [round(a * 65536), round(b * 65536), 0, round(c * 65536), round(d * 65536), 0, 0, 0, 1 << 30]
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)  # ISO 14496-12, 8.3.2
    path.write_bytes(data)
    return path


def moved(pixels, a, b, c, d):
    """The picture with each pixel where the matrix puts it."""
    ys, xs = np.indices(pixels.shape[:2])
    shown_xs, shown_ys = a * xs + c * ys, b * xs + d * ys
    shown_xs, shown_ys = shown_xs - shown_xs.min(), shown_ys - shown_ys.min()
    shown = np.zeros((shown_ys.max() + 1, shown_xs.max() + 1, 3), np.uint8)
    shown[shown_ys, shown_xs] = pixels
    return shown


EIGHT = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


@pytest.mark.parametrize("matrix", EIGHT)
def test_every_orientation_of_a_video_is_honoured(tmp_path, matrix):
    path = make_video(tmp_path / "a.mp4", 3)
    stored = list(open_source(path).frames())
    source = open_source(with_display_matrix(path, *matrix))
    for frame, pixels in zip(source.frames(), stored, strict=True):
        np.testing.assert_array_equal(frame, moved(pixels, *matrix))
        assert frame.flags.c_contiguous
        assert source.size == frame.shape[:2]


def test_a_quarter_turn_clockwise_brings_the_left_edge_to_the_top(tmp_path):
    path = make_video(tmp_path / "a.mp4", 1)
    (stored,) = open_source(path).frames()
    (shown,) = open_source(with_display_matrix(path, 0, 1, -1, 0)).frames()
    np.testing.assert_array_equal(shown[0], stored[::-1, 0])


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (0.985, 0.174, -0.174, 0.985), (2, 0, 0, 2)])
def test_matrices_of_no_whole_turn_leave_the_picture_as_it_is(tmp_path, matrix):
    path = make_video(tmp_path / "a.mp4", 1)
    (stored,) = open_source(path).frames()
    (shown,) = open_source(with_display_matrix(path, *matrix)).frames()
    np.testing.assert_array_equal(shown, stored)


def test_pictures_with_exif_in_a_video_are_turned(tmp_path):
    smooth = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for number in range(3):
            Image.fromarray(smooth).save(data := io.BytesIO(), "JPEG", exif=exif)
            packet = av.Packet(data.getvalue())
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            container.mux(packet)
    frames = list(open_source(tmp_path / "a.avi").frames())
    assert len(frames) == 3
    np.testing.assert_allclose(frames[0], np.rot90(smooth, -1), atol=12)


# Frame rates


def make_timed(path, milliseconds, *, codec="libx264", options=None, container_options=None):
    """A video with a frame at each of these times, whose header says 1000 frames per second."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=1000, options=options or {})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for level, time in enumerate(milliseconds):
            frame = av.VideoFrame.from_ndarray(noisy(level), format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


RECORDED = list(accumulate(10 * [34, 32, 35, 32, 33, 34], initial=0))
"""Times as a browser's recorder gives them: 61 frames, 30 a second more or less, 60 gaps in 2000 ms."""
VP8 = {"codec": "libvpx", "options": {"deadline": "realtime"}}


def test_the_rate_of_a_browser_recording_comes_from_its_timestamps(tmp_path):
    path = make_timed(tmp_path / "a.webm", RECORDED, **VP8, container_options={"live": "1"})
    data = bytearray(path.read_bytes())
    start = data.index(bytes.fromhex("23E383"))  # DefaultDuration, which becomes Void
    length = data[start + 3] & 0x7F
    data[start : start + 4 + length] = bytes([0xEC, 0x80 | (2 + length)]) + bytes(2 + length)
    path.write_bytes(data)
    source = open_source(path)
    assert source.fps == pytest.approx(30)
    assert len(list(source.frames())) == 61


@pytest.mark.parametrize(
    ("name", "how"), [("a.mkv", {}), ("a.webm", VP8), ("a.avi", {"codec": "mpeg4"}), ("a.ts", {}), ("a.mp4", {})]
)
def test_timestamps_go_before_a_header_that_is_wrong(tmp_path, name, how):
    source = open_source(make_timed(tmp_path / name, RECORDED, **how))
    assert source.fps == pytest.approx(30)
    assert source.count in (60, 61, None)
    assert len(list(source.frames())) == 61


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_the_rate_of_uneven_frames_is_their_mean(tmp_path, name):
    assert open_source(make_timed(tmp_path / name, [0, 100, 150, 950, 1000])).fps == pytest.approx(4)


@pytest.mark.parametrize("name", KINDS)
def test_a_rate_that_timestamps_agree_with_is_the_header_s(tmp_path, name):
    source = open_source(make_video(tmp_path / name, 20, rate=Fraction(30000, 1001), **KINDS[name]))
    assert source.fps == pytest.approx(30000 / 1001, rel=1e-4)


def test_a_jump_of_a_broadcast_s_clock_does_not_count(tmp_path):
    times = [*range(0, 400, 40), *range(3600_000, 3600_400, 40)]
    assert open_source(make_timed(tmp_path / "a.ts", times)).fps == pytest.approx(25)
    # A frame more and a wait more, of 3599.64 seconds, in a format whose clock does not jump.
    assert open_source(make_timed(tmp_path / "a.mkv", times)).fps == pytest.approx(19 / 3600.36)


def test_a_long_file_is_not_read_to_its_end_for_its_rate(tmp_path, monkeypatch):
    path = make_timed(tmp_path / "a.mkv", [*range(0, 400, 40), *range(400, 1000, 100)])
    monkeypatch.setattr(decoding, "PROBED_FRAMES", 10)
    assert open_source(path).fps == pytest.approx(25)
    monkeypatch.setattr(decoding, "PROBED_FRAMES", 1000)
    monkeypatch.setattr(decoding, "PROBED_BYTES", path.stat().st_size // 3)
    assert open_source(path).fps == pytest.approx(25)


def test_rates_that_nobody_can_mean_are_not_believed(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1)
        for level in range(3):
            frame = av.VideoFrame.from_ndarray(noisy(level), format="rgb24")
            frame.pts, frame.time_base = 7200 * level, Fraction(1)  # a frame in two hours
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert open_source(tmp_path / "a.mkv").fps == 25


def test_uneven_frame_times_are_not_missed(tmp_path):
    path = make_timed(tmp_path / "a.mkv", [0, 40, 80, 500, 540, 1500, 1540])
    assert len(list(open_source(path).frames())) == 7


@pytest.mark.parametrize("name", ["a.mkv", "a.webm", "a.mp4", "a.ts"])
def test_a_video_that_starts_late_is_read_whole(tmp_path, name):
    times = list(range(4000, 5200, 40))
    source = open_source(make_timed(tmp_path / name, times, **(VP8 if name == "a.webm" else {})))
    assert source.fps == pytest.approx(25, rel=0.02)
    assert source.count in (29, 30, None)  # the last frame is there for 1 ms
    assert len(list(source.frames())) == 30


def test_a_recording_cut_from_a_longer_one_has_no_count(tmp_path):
    path = make_timed(tmp_path / "a.mkv", list(range(60_000, 61_000, 40)))
    data = path.read_bytes()
    assert b"00:01:00.961" in data  # when it ends
    path.write_bytes(data.replace(b"00:01:00.961", b"00:00:00.961"))
    source = open_source(path)
    assert source.count is None
    assert len(list(source.frames())) == 25


# What else is in the file


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_tags_of_any_encoding_do_not_matter(tmp_path, name):
    path = make_video(tmp_path / name, 5, metadata={"title": "MUNCHEN"}, **KINDS[name])
    data = path.read_bytes()
    assert b"MUNCHEN" in data
    path.write_bytes(data.replace(b"MUNCHEN", "MÜNCHEN".encode("latin-1")))
    assert len(list(open_source(path).frames())) == 5


def write_with_cover(path, kind):
    """Five frames of video or of sound, behind a cover picture."""
    Image.fromarray(noisy(7, (20, 30))).save(cover := io.BytesIO(), "JPEG")
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 30, 20, "yuvj420p"
        picture.disposition = Disposition.attached_pic.value
        if kind == "video":
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            frames = [av.VideoFrame.from_ndarray(noisy(level), format="rgb24") for level in range(5)]
        else:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            silence = np.zeros((1, 1024), np.float32)
            frames = [av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono") for _ in range(5)]
            for frame in frames:
                frame.sample_rate = 44100
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        container.mux(packet)
        for frame in [*frames, None]:
            container.mux(stream.encode(frame))


def test_a_cover_picture_is_not_the_video(tmp_path):
    write_with_cover(tmp_path / "a.mp4", "video")
    source = open_source(tmp_path / "a.mp4")
    assert source.size == (48, 64)
    assert len(list(source.frames())) == 5


def test_a_song_with_a_cover_picture_is_no_video(tmp_path):
    write_with_cover(tmp_path / "a.mp4", "sound")
    with pytest.raises(InputError, match=r"a\.mp4: expected a video stream, found audio"):
        open_source(tmp_path / "a.mp4")


def test_a_codec_that_ffmpeg_does_not_know_is_said(tmp_path):
    path = make_video(tmp_path / "a.avi", 3, **KINDS["a.avi"])
    data = path.read_bytes()
    assert data.count(b"FMP4") == 2
    path.write_bytes(data.replace(b"FMP4", b"ZZZZ"))
    with pytest.raises(InputError, match=r"a\.avi: expected a video that FFmpeg decodes, found one of an unk"):
        open_source(path)


def test_images_that_are_built_as_mp4_are_refused(tmp_path):
    path = make_video(tmp_path / "a.mp4", 3, container_options={"brand": "heic"})
    with pytest.raises(InputError, match=r"a\.mp4: expected a video, found a HEIC or AVIF image: save it as a PNG"):
        open_source(path)


@pytest.mark.parametrize("name", ["12:30.mp4", "http:a.mp4", "a|b.mkv", "%03d.mp4", "-.mp4", "-i", "[1].mp4"])
def test_any_name_is_a_file_s(tmp_path, monkeypatch, name):
    make_video(tmp_path / "a.mp4", 3).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source(name).frames())) == 3
