"""Frames from every kind of source, what is refused and how, and that nothing but the frame in hand is kept."""

import re
import runpy
import struct
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mfst_jax import video
from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.video import demo_source, natural_key, open_source, read_ground_truth, read_image

ROOT = Path(__file__).parents[1]


def noisy(level, size=(48, 64)):
    rng = np.random.default_rng(level)
    return np.clip(rng.integers(0, 40, (*size, 3)) + 3 * level, 0, 255).astype(np.uint8)


def save(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)


def make_video(
    path, count=40, *, codec="libx264", options=None, container_options=None, size=(48, 64), seconds_of_sound=0
):
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25, options=options or {}))
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=44100) if seconds_of_sound else None
        for level in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noisy(level, size), format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None:
            for block in range(seconds_of_sound * 44100 // 1024):
                silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
                silence.sample_rate, silence.pts = 44100, block * 1024
                container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def cut(path, share):
    """Keeps the first `share` of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def read_until_error(source):
    """How many frames came before the error, and the error's words, which are one line."""
    read = 0
    with pytest.raises(InputError) as caught:  # noqa: PT012
        for _ in source.frames():
            read += 1
    assert "\n" not in str(caught.value)
    return read, str(caught.value)


# Images


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm", ".webp"])
def test_colour_images_come_back_exactly(tmp_path, suffix):
    frame = noisy(5)
    Image.fromarray(frame).save(tmp_path / f"a{suffix}", lossless=True)
    read = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read, frame)
    assert read.flags.writeable


def test_jpeg(tmp_path):
    save(tmp_path / "a.jpg", np.full((8, 8, 3), (200, 100, 50), np.uint8))
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[4, 4], (200, 100, 50), atol=3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 0), (77, 77, 77)),
        ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 128, (0, 0, 0)),  # 128 * 255 / 65535 = 0.498
        ("I;16", 129, (1, 1, 1)),  # 0.502
        ("I;16", 25700, (100, 100, 100)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
    ],
)
def test_image_modes(tmp_path, mode, colour, expected):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.new(mode, (5, 4), colour).save(path)
    read = read_image(path)
    assert read.shape == (4, 5, 3)
    assert read.dtype == np.uint8
    assert (read == expected).all()


def test_palette_with_transparent_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_pgm_of_ten_bits_is_scaled(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 1023\n" + struct.pack(">2H", 1023, 512))
    assert read_image(tmp_path / "a.pgm")[0, :, 0].tolist() == [255, 128]


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    frame = noisy(3)
    Image.fromarray(frame).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(frame, -1))


@pytest.mark.parametrize("mode", ["F", "I"])
def test_images_of_32_bits_are_refused(tmp_path, mode):
    Image.new(mode, (5, 4)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"image .*a\.tif: expected .* 8 or 16 bits, found 32 bits per pixel"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "missing", "folder"])
def test_unreadable_images_name_the_file(tmp_path, damage):
    path = tmp_path / "a.png"
    save(path, noisy(1))
    if damage == "cut":
        cut(path, 0.6)
    elif damage in ("empty", "text"):
        path.write_text("" if damage == "empty" else "no image")
    else:
        path.unlink()
    if damage == "folder":
        path.mkdir()
    with pytest.raises(InputError, match=r"image .*a\.png: expected a readable image") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_large_images_pass_and_bombs_are_refused(tmp_path, monkeypatch):
    save(tmp_path / "a.png", noisy(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 - 1)  # Pillow warns above it, and raises above twice as many
    assert read_image(tmp_path / "a.png").shape == (48, 64, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match="decompression bomb"):
        read_image(tmp_path / "a.png")


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
    np.testing.assert_array_equal(next(source.frames()), frames[0])  # each call starts anew


def test_natural_key():
    names = ["a", "A1", "a1", "a01b2", "a1b10", "a2", "a10", "b/2", "b/10", "10", "9"]
    ordered = [path.as_posix() for path in sorted(map(Path, names), key=natural_key)]
    assert ordered == ["9", "10", "a", "A1", "a1", "a01b2", "a1b10", "a2", "a10", "b/2", "b/10"]


def test_a_single_image_is_a_source(tmp_path):
    save(tmp_path / "a.PNG", noisy(1))
    assert [frame.shape for frame in open_source(tmp_path / "a.PNG").frames()] == [(48, 64, 3)]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("empty", "nothing"),
        ("texts", "1 other entries"),
        ("empty/*.png", "nothing"),
        ("texts/*", "1 other entries"),
        ("missing", "no such file"),
        ("missing.mp4", "no such file"),
        ("x" * 300, "File name too long"),
    ],
)
def test_sources_without_frames(tmp_path, given, found):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("")
    with pytest.raises(InputError, match=f"{re.escape(given)}.*: expected .* found {found}"):
        open_source(f"{tmp_path}/{given}")


def test_the_empty_source_is_not_the_current_folder():
    with pytest.raises(InputError, match="source ''"):
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


# Ground truth


def test_otb_folders_count_from_one(tmp_path):
    for number in range(1, 4):
        save(tmp_path / "Deer" / "img" / f"{number:04}.jpg", noisy(number))
    (tmp_path / "Deer" / "groundtruth_rect.txt").write_text("11\t21\t30\t40\r\n12\t22\t30\t40\r\n")
    source = open_source(tmp_path / "Deer")
    assert source.name == "Deer"
    assert source.count == 3
    assert source.ground_truth is not None
    assert source.ground_truth.dtype == np.float32
    assert source.ground_truth.tolist() == [[10, 20, 30, 40], [11, 21, 30, 40]]


def test_got10k_folders_count_from_zero(tmp_path):
    for number in range(1, 3):
        save(tmp_path / f"{number:08}.jpg", noisy(number))
    (tmp_path / "groundtruth.txt").write_text("10.5,20,30,40\n0,0,0,0\n")
    truth = open_source(tmp_path).ground_truth
    np.testing.assert_array_equal(truth, [[10.5, 20, 30, 40], [np.nan] * 4])


def test_more_boxes_than_images(tmp_path):
    save(tmp_path / "1.png", noisy(1))
    (tmp_path / "groundtruth_rect.txt").write_text("1,2,3,4\n" * 2)
    with pytest.raises(
        InputError, match=r"groundtruth_rect\.txt: expected at most a line for each of 1 images, found 2"
    ):
        open_source(tmp_path)


numbers = st.floats(-1e4, 1e4, width=32)
sizes = st.floats(0.125, 1e4, width=32)
separators = st.sampled_from([",", "\t", " ", ", ", " , ", "  ", ",\t"])


@given(
    boxes=st.lists(st.tuples(numbers, numbers, sizes, sizes), max_size=5),
    separator=separators,
    newline=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n", "\n\n"]),
    pad=st.sampled_from(["", " ", "\t"]),
    origin=st.sampled_from([0, 1]),
)
def test_ground_truth_in_any_dress(tmp_path_factory, boxes, separator, newline, end, pad, origin):
    path = tmp_path_factory.getbasetemp() / "truth.txt"
    text = newline.join(pad + separator.join(map(repr, box)) + pad for box in boxes) + end
    path.write_bytes(text.encode())
    expected = np.array(boxes, np.float64).reshape(-1, 4) - (origin, origin, 0, 0)
    np.testing.assert_array_equal(read_ground_truth(path, origin=origin), expected.astype(np.float32))


@pytest.mark.parametrize("line", ["NaN,NaN,NaN,NaN", "0,0,0,0", "5 6 0 7", "1\t2\tnan\t4"])
def test_absent_targets_are_nan(tmp_path, line):
    (tmp_path / "t.txt").write_text(f"1,2,3,4\n{line}\n5,6,7,8")
    truth = read_ground_truth(tmp_path / "t.txt", origin=1)
    assert np.isnan(truth[1]).all()
    assert truth[::2].tolist() == [[0, 1, 3, 4], [4, 5, 7, 8]]


@pytest.mark.parametrize(
    "line", ["1,2,3", "1,2,3,4,5,6,7,8", "a,b,c,d", "1,,2,3", "1,2,3,4,", "1;2;3;4", "", "1,2,-3,4", "1,2,inf,4"]
)
def test_malformed_ground_truth_names_file_and_line(tmp_path, line):
    (tmp_path / "t.txt").write_text(f"1,2,3,4\n{line}\n5,6,7,8\n")
    with pytest.raises(InputError, match=r"t\.txt, line 2: expected numbers x, y, w, h") as caught:
        read_ground_truth(tmp_path / "t.txt", origin=0)
    assert "\n" not in str(caught.value)


def test_ground_truth_that_is_no_text(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="expected a text file"):
        read_ground_truth(tmp_path / "t.txt", origin=0)


# Videos

KINDS = {
    "a.mp4": {},
    "fragments.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}, "options": {"g": "10"}},
    "sound.mp4": {"seconds_of_sound": 3},
    "a.mov": {},
    "a.mkv": {},
    "sound.mkv": {"seconds_of_sound": 3},
    "a.webm": {"codec": "libvpx", "options": {"deadline": "realtime"}},
    "a.avi": {"codec": "mpeg4"},
    "h264.avi": {},
    "a.ts": {},
    "a.mpg": {"codec": "mpeg2video"},
}


@pytest.mark.parametrize("name", KINDS)
def test_sound_videos_are_read_whole(tmp_path, name):
    source = open_source(make_video(tmp_path / name, **KINDS[name]))
    frames = list(source.frames())
    assert len(frames) == 40
    assert source.count in (40, None)
    assert (source.size, source.fps, source.name) == ((48, 64), 25.0, name.split(".")[0])
    for level in (0, 20, 39):
        assert frames[level].dtype == np.uint8
        assert abs(frames[level].mean() - noisy(level).mean()) < 4


def test_frames_hidden_by_an_edit_list_are_not_missed(tmp_path):
    make_video(tmp_path / "a.mp4", options={"bf": "0"})
    with av.open(str(tmp_path / "a.mp4")) as whole, av.open(str(tmp_path / "b.mp4"), "w") as edited:
        stream = edited.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 10 * 512, packet.dts - 10 * 512
                packet.stream = stream
                edited.mux(packet)
    source = open_source(tmp_path / "b.mp4")
    assert source.count == 40  # by the header, which counts the ten hidden ones
    assert len(list(source.frames())) == 30


def test_uneven_frame_times_are_not_missed(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for level, milliseconds in enumerate([0, 40, 80, 500, 540, 1500, 1540]):
            frame = av.VideoFrame.from_ndarray(noisy(level), format="rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(open_source(tmp_path / "a.mkv").frames())) == 7


FRONT = {"container_options": {"movflags": "faststart"}}


@pytest.mark.parametrize(
    ("name", "how", "expected"),
    [
        ("front.mp4", FRONT, "40"),
        ("sound.mp4", FRONT | {"seconds_of_sound": 3}, "40"),
        ("fragments.mp4", KINDS["fragments.mp4"], "more"),
        ("a.mov", FRONT, "40"),
        ("a.mkv", {}, "40"),
        ("sound.mkv", {"seconds_of_sound": 3}, "40"),
        ("a.webm", KINDS["a.webm"], "40"),
        ("a.avi", {"codec": "mpeg4", "options": {"qmin": "4", "qmax": "4"}}, "40"),
        ("h264.avi", {}, "40"),
    ],
)
def test_a_video_cut_short_gives_its_good_frames_first(tmp_path, name, how, expected):
    source = open_source(cut(make_video(tmp_path / name, **how), 0.6))
    read, message = read_until_error(source)
    assert 10 < read < 36
    assert re.search(rf"video .*{name}: expected {expected} frames, found {read}, then ", message)


def test_an_mp4_without_its_index_cannot_be_opened(tmp_path):
    path = cut(make_video(tmp_path / "a.mp4"), 0.9)
    with pytest.raises(InputError, match=r"a\.mp4: expected a whole, readable video, found Invalid data"):
        open_source(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_damage_in_the_middle_keeps_the_frames_before_it(tmp_path, name, share):
    path = make_video(tmp_path / name, options={"bf": "3", "g": "250"}, **FRONT)
    whole = list(open_source(path).frames())
    data = bytearray(path.read_bytes())
    start = int(share * len(data))
    data[start : start + 600] = bytes(600)
    path.write_bytes(data)
    good = []
    try:
        good.extend(open_source(path).frames())
    except InputError as error:
        assert re.search(r"expected 40 frames|whole, readable video", str(error))  # noqa: PT017
    sound = int(40 * share) - 6
    for frame, same in zip(good[: max(sound, 0)], whole, strict=False):
        np.testing.assert_array_equal(frame, same)
    assert len(good) >= sound


@pytest.mark.parametrize("content", [b"", b"no video" * 100])
def test_a_file_that_is_no_video(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match=r"video .*a\.mp4: expected a whole, readable video, found"):
        open_source(tmp_path / "a.mp4")


def test_a_file_without_video_stream(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))
    with pytest.raises(InputError, match=r"a\.wav: expected a video stream, found audio"):
        open_source(tmp_path / "a.wav")


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_display_rotation_is_honoured(tmp_path, degrees):
    path = make_video(tmp_path / "a.mp4", 3)
    (plain, *_) = open_source(path).frames()
    data = bytearray(path.read_bytes())
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = [cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30]  # clockwise, ISO 14496-12 8.3.2
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    path.write_bytes(data)
    source = open_source(path)
    (turned, *_) = source.frames()
    np.testing.assert_array_equal(turned, np.rot90(plain, -degrees // 90))
    assert turned.flags.c_contiguous
    assert source.size == turned.shape[:2]


@pytest.mark.parametrize("kind", ["video", "images"])
def test_frames_are_streamed(tmp_path, kind):
    if kind == "video":
        path = make_video(tmp_path / "a.mp4", 300, size=(120, 160), options={"preset": "ultrafast"})
    else:
        path = tmp_path
        for number in range(300):
            save(tmp_path / f"{number}.bmp", np.full((120, 160, 3), number % 256, np.uint8))
    source = open_source(path)
    tracemalloc.start()
    count = sum(1 for _ in source.frames())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 300
    assert peak < 20 * 120 * 160 * 3


def test_leaving_early_closes_the_file(tmp_path):
    path = make_video(tmp_path / "a.mp4")
    source = open_source(path)
    frames = source.frames()
    next(frames)
    frames.close()
    if sys.platform == "linux":
        assert str(path) not in {
            str(entry.readlink()) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()
        }


def test_a_missing_av_names_the_extra(tmp_path, request):
    path = make_video(tmp_path / "a.mp4", 3)
    request.getfixturevalue("without_av")
    with pytest.raises(MissingExtraError, match=r"mfst-jax\[video\]"):
        open_source(path)


# Webcams


def test_a_webcam_that_is_not_there():
    with pytest.raises(InputError, match="webcam 97: expected"):
        open_source("97")


@pytest.mark.parametrize(
    ("platform", "address", "options"),
    [
        ("linux", "/dev/video0", {"format": "v4l2"}),
        ("darwin", "0", {"format": "avfoundation", "options": {"framerate": "30"}}),
    ],
)
def test_a_webcam_is_opened_the_way_of_the_platform(tmp_path, monkeypatch, platform, address, options):
    path = make_video(tmp_path / "camera.mp4", 5)
    plain, asked = av.open, []

    def camera(*positional, **named):
        asked.append((*positional, named))
        return plain(str(path))

    monkeypatch.setattr(av, "open", camera)
    monkeypatch.setattr(video.sys, "platform", platform)
    source = open_source("0")
    assert (source.name, source.size, source.count, source.fps) == ("webcam 0", (48, 64), None, 25.0)
    assert len(list(source.frames())) == 5
    assert set(map(repr, asked)) == {repr((address, options))}


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
    kept = np.loadtxt(ROOT / "mfst_jax" / "assets" / "demo.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(made, kept, atol=0.0011)  # three decimals
