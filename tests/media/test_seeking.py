"""A source that is started at a frame gives the same frames as one that is read from its beginning, whatever it is."""

import re
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import hide_beginning, make_video, noisy, save
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media import decoding
from mfst_jax.media.decoding import decode
from mfst_jax.media.seeking import Index, decode_from, index_video
from mfst_jax.media.source import Source
from mfst_jax.media.sources import open_source

COUNT = 60
X264 = {"bf": "3", "g": "12", "sc_threshold": "0"}
ALTERNATE = {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "25", "deadline": "good", "cpu-used": "4"}
"""With frames that are decoded and never shown."""
FINE = {"bf": "2", "g": "12", "qmin": "1", "qmax": "2"}
"""Coarser frames may come out as small as those that MPEG-4 does not code at all, which depends on the cores there."""
SOUGHT = {
    "b-frames.mp4": {"options": X264},
    "b-frames.mkv": {"options": X264},
    "b-frames.flv": {"options": X264},
    "fragments.mp4": {"options": X264, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "open.mp4": {"options": {"bf": "3", "x264-params": "open-gop=1:keyint=12"}},
    "interlaced.mkv": {"options": {"bf": "3", "x264-params": "interlaced=1:keyint=12"}},
    "one-key.mp4": {"options": {"bf": "3", "g": "1000"}},
    "sound.mp4": {"options": X264, "seconds_of_sound": 3},
    "hidden.webm": {"codec": "libvpx", "options": ALTERNATE},
    "b-frames.avi": {"codec": "mpeg4", "options": FINE},
    "mpeg4.mp4": {"codec": "mpeg4", "options": FINE},
}
READ_THROUGH = {
    "a.ts": {"options": X264},
    "b-frames-h264.avi": {"options": X264},
    "bare.h264": {"options": X264},
    "a.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}},
}
"""Videos that have no timestamps to go by."""


def check(source: Source, whole: list[np.ndarray], number: int) -> None:
    found = list(source.starting_at(number).frames())
    assert len(found) == len(whole) - number
    for one, other in zip(found, whole[number:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module", params=[*SOUGHT, *READ_THROUGH])
def video(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    path = make_video(tmp_path_factory.mktemp("video") / request.param, COUNT, **(SOUGHT | READ_THROUGH)[request.param])
    return path, list(open_source(path).frames())


def test_any_frame_of_a_video_is_the_one_that_reading_from_the_start_comes_to(video: tuple[Path, list[np.ndarray]]):
    path, whole = video
    assert len(whole) == COUNT
    source = open_source(path)
    for number in (0, 1, 11, 12, 13, 37, 49, 59):
        check(source, whole, number)
    with pytest.raises(InputError, match=rf"source {path.stem}: expected a frame {COUNT}, found fewer frames"):
        list(source.starting_at(COUNT).frames())


def test_a_frame_is_sought_where_timestamps_tell_it(video: tuple[Path, list[np.ndarray]]):
    path, whole = video
    index = index_video("v", str(path))
    if path.name in READ_THROUGH:
        assert index is None
        return
    assert index is not None
    assert len(index.shown) == COUNT
    for number in (1, 24, 55):
        sought = decode("v", str(path), 25.0, number, index.find(number))
        label, frame, _ = next(sought)
        assert label == f"v, frame {number}"
        np.testing.assert_array_equal(frame, whole[number])
        sought.close()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.flv"])
def test_few_frames_are_decoded_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    path = make_video(tmp_path / name, COUNT, options=X264)
    index = index_video("v", str(path))
    decoded, frames_of = [], decoding._frames_of

    def counted(packet):
        for frame in frames_of(packet):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(decoding, "_frames_of", counted)
    next(decode_from("v", str(path), 25.0, 50, index))
    assert len(decoded) == 3  # from frame 48 on


def sliding(level: int, size: tuple[int, int]) -> np.ndarray:
    """A picture that moves by three pixels a frame, so that frames are told from those before."""
    grey = np.random.default_rng(0).integers(0, 255, (size[0] // 8, size[1] // 8 + COUNT)).repeat(8, 0).repeat(8, 1)
    return np.repeat(grey[:, 3 * level : 3 * level + size[1], None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", ["refresh.mp4", "refresh.mkv"])
def test_a_video_that_is_refreshed_bit_by_bit_is_decoded_from_its_start(tmp_path: Path, name: str):
    options = {"bf": "0", "x264-params": "intra-refresh=1:keyint=12"}
    path = make_video(tmp_path / name, COUNT, options=options, size=(96, 128), picture=sliding)
    source, index = open_source(path), index_video("v", str(path))
    whole = list(source.frames())
    for number in (1, 13, 30, 55, 59):
        check(source, whole, number)
    assert index is not None
    with pytest.raises(InputError, match="v: expected frame 55 where its index has it, found another"):
        next(decode("v", str(path), 25.0, 55, index.find(55)))


def test_frames_that_an_edit_list_hides_have_no_number(tmp_path: Path):
    make_video(tmp_path / "a.mp4", COUNT, options={"bf": "0", "g": "12"})
    hide_beginning(tmp_path / "a.mp4", tmp_path / "b.mp4", frames=10)
    source = open_source(tmp_path / "b.mp4")
    frames = list(source.frames())
    assert len(frames) == COUNT - 10
    for number in (1, 2, 3, 20, 49):
        check(source, frames, number)


def test_packets_too_small_for_a_frame_make_no_index(tmp_path: Path):
    """As in Xvid's packed streams, where they say that the frame before stays."""
    make_video(tmp_path / "a.avi", 10, codec="mpeg4")
    with av.open(str(tmp_path / "a.avi")) as whole, av.open(str(tmp_path / "b.avi"), "w") as other:
        stream = other.add_stream_from_template(whole.streams.video[0])
        for number, packet in enumerate(whole.demux(video=0)):
            if packet.size:
                empty = av.Packet(bytes.fromhex("000001b6504ff7"))  # a VOP that says that it is not coded
                empty.pts = empty.dts = packet.dts
                made = empty if number == 5 else packet
                made.stream, made.time_base = stream, packet.time_base
                other.mux(made)
    assert index_video("v", str(tmp_path / "a.avi")) is not None
    assert index_video("v", str(tmp_path / "b.avi")) is None


def test_a_damaged_video_fails_where_it_does_from_its_start(tmp_path: Path):
    path = make_video(tmp_path / "a.mkv", COUNT, options=X264, size=(96, 128))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    source = open_source(path)

    def read(first: int) -> tuple[list[np.ndarray], str]:
        frames = []
        with pytest.raises(InputError) as caught:  # noqa: PT012
            for frame in source.starting_at(first).frames():
                frames.append(frame)
        return frames, str(caught.value)

    whole, said = read(0)
    number = len(whole) - 5
    found, same = read(number)
    np.testing.assert_array_equal(np.stack(found), np.stack(whole[number:]))
    assert said == same


@given(
    frames=st.lists(st.integers(1, 50), min_size=1, max_size=40),
    keys=st.sets(st.integers(0, 39), max_size=8),
    number=st.integers(-2, 42),
)
def test_the_index_leads_over_the_last_frame_before_that_needs_no_other(frames, keys, number):
    shown = np.cumsum(np.array(frames, np.int64))
    places = np.array(sorted(key for key in keys if key < len(shown)), np.int64)
    index = Index(shown, shown[places], shown[places] - 7)
    before = [place for place in places if place <= number]
    if 0 <= number < len(shown) and before:
        key = shown[before[-1]]
        assert index.find(number) == (key - 7, key, shown[number])
    else:
        assert index.find(number) is None


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(numbers=st.sets(st.integers(0, 300), min_size=2, max_size=12), data=st.data())
def test_images_are_started_at_by_their_order_not_by_their_names(tmp_path_factory, numbers, data):
    folder = tmp_path_factory.mktemp("images")
    ordered = sorted(numbers)
    for place, number in enumerate(ordered):
        save(folder / f"frame {number}.png", np.full((4, 6, 3), place, np.uint8))
    first = data.draw(st.integers(0, len(ordered) - 1))
    source = open_source(folder).starting_at(first)
    assert [int(frame[0, 0, 0]) for frame in source.frames()] == [*range(first, len(ordered))]
    assert (source.first, source.count, source.remaining) == (first, len(ordered), len(ordered) - first)
    with pytest.raises(InputError, match=f"expected a frame {len(ordered)}, found fewer frames"):
        list(source.starting_at(len(ordered)).frames())


@pytest.mark.parametrize("suffix", ["gif", "tiff", "png"])
def test_an_image_of_several_frames_is_read_through(tmp_path: Path, suffix: str):
    pictures = [Image.fromarray(noisy(level)) for level in range(6)]
    pictures[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=pictures[1:])
    source = open_source(tmp_path / f"a.{suffix}")
    whole = list(source.frames())
    for number in range(6):
        check(source, whole, number)


def test_a_webcam_has_a_first_frame_only():
    source = Source("webcam 0", (48, 64), None, 30.0, None, partial(iter, ()), live=True)
    assert vars(source.starting_at(0)) == vars(source)
    message = "source webcam 0: expected to start at frame 0, as a webcam's or a stream's frames have"
    with pytest.raises(InputError, match=re.escape(message)):
        source.starting_at(3)


def test_a_frame_before_the_first_is_refused(tmp_path: Path):
    save(tmp_path / "a.png", noisy(0))
    with pytest.raises(InputError, match=r"source a.png: expected to start at a frame from 0 on, found -1"):
        open_source(tmp_path / "a.png").starting_at(-1)
