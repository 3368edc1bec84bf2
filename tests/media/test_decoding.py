"""Videos: whole ones are read whole, and of damaged ones all good frames come before the error."""

import builtins
import re
import sys
import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from media import KINDS, cut, hide_beginning, make_video, noisy, read_until_error, save

from mfst_jax.errors import InputError, MissingExtraError
from mfst_jax.media.decoding import import_av
from mfst_jax.media.sources import open_source


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
    hide_beginning(tmp_path / "a.mp4", tmp_path / "b.mp4", frames=10)
    source = open_source(tmp_path / "b.mp4")
    assert source.count == 40  # by the header, which counts the ten hidden ones
    assert len(list(source.frames())) == 30


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


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libavcodec.so.61: cannot open shared object file"),
        ModuleNotFoundError("No module named 'av._core'", name="av._core"),
    ],
    ids=["a library", "a module"],
)
def test_a_broken_av_is_not_said_to_be_missing(monkeypatch, error):
    plain = builtins.__import__

    def broken(name, *rest, **more):
        if name == "av":
            raise error
        return plain(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    found = re.escape(str(error))
    with pytest.raises(
        InputError, match=f"^reading video files: expected a PyAV that .* imported, found {found}$"
    ) as e:
        import_av()
    assert not isinstance(e.value, MissingExtraError)
    assert e.value.__cause__ is error
