"""Sources by address: videos by HTTP, cameras by HTTP and RTSP, and what happens to them on the way."""

import logging
import time
from pathlib import Path

import numpy as np
import pytest
from cameras import filming
from media import make_video, read_until_error
from servers import running

from mfst_jax.errors import InputError
from mfst_jax.media import open_source
from mfst_jax.media.streams import name_of_stream, options_for

pytest.importorskip("av")

COUNT = 40


@pytest.fixture(autouse=True)
def quiet_codecs() -> None:
    logging.getLogger("libav").setLevel(logging.CRITICAL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A recording in MPEG-TS, with a keyframe every tenth frame."""
    path = tmp_path_factory.mktemp("recording") / "a.ts"
    return make_video(path, COUNT, options={"g": "10", "bf": "0"}).read_bytes()


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_video_by_http_is_the_same_as_the_file(tmp_path: Path, name: str):
    path = make_video(tmp_path / name, COUNT)
    file = open_source(path)
    with running() as server:
        server.files[name] = path.read_bytes()
        source = open_source(f"{server.url}/{name}")
        assert (source.size, source.count, source.fps) == (file.size, file.count, file.fps)
        assert (source.name, source.live) == (f"{server.url}/{name}", False)
        pairs = zip(source.timed_frames(), file.timed_frames(), strict=True)
        for (frame, seconds), (expected, at) in pairs:
            np.testing.assert_array_equal(frame, expected)
            assert seconds == at
        assert np.array_equal(next(source.starting_at(7).frames()), next(file.starting_at(7).frames()))


def test_a_video_by_http_that_breaks_off_gives_the_frames_before(tmp_path: Path):
    data = make_video(tmp_path / "a.mkv", COUNT).read_bytes()
    with running() as server:
        server.files["a.mkv"] = data
        source = open_source(f"{server.url}/a.mkv")
        server.cut = len(data) * 2 // 3
        read, words = read_until_error(source)
        assert 5 < read < COUNT
        assert words.startswith(f"stream {server.url}/a.mkv: expected {COUNT} frames, found {read}, then ")


@pytest.mark.parametrize("speaks", ["http", "rtsp"])
def test_a_camera_is_live_until_it_ends(recording: bytes, speaks: str):
    with filming(recording, speaks) as camera:
        source = open_source(camera.url)
        assert (source.live, source.count, source.size) == (True, None, (48, 64))
        times, read = [], 0
        with pytest.raises(InputError) as caught:  # noqa: PT012
            for frame, seconds in source.timed_frames():
                assert frame.shape == (48, 64, 3)
                times.append(seconds)
                read += 1
        assert read >= COUNT - 2  # the last packets of a stream that breaks off may be incomplete
        assert str(caught.value) == (
            f"stream {camera.url}: expected more frames, found {read}, then the end of the stream"
        )
        np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-3)
        with pytest.raises(InputError, match="expected to start at frame 0"):
            source.starting_at(3)


@pytest.mark.parametrize("speaks", ["http", "rtsp"])
def test_a_camera_that_stalls_gives_the_frames_before(recording: bytes, speaks: str):
    with filming(recording, speaks) as camera:
        source = open_source(camera.url, patience=2)
        camera.stalls_after = len(recording) // 2
        started = time.monotonic()
        read, words = read_until_error(source)
        assert 0 < read < COUNT
        assert words == f"stream {camera.url}: expected more frames, found {read}, then none for 2 s"
        assert 1.5 < time.monotonic() - started < 20


@pytest.mark.parametrize("speaks", ["http", "rtsp"])
def test_a_camera_that_never_answers_is_given_up(speaks: str):
    with filming(b"", speaks) as camera:
        camera.silent = True
        with pytest.raises(InputError, match=r"stream .*: expected an answer within 0.5 s, found none"):
            open_source(camera.url, patience=0.5)


def test_a_camera_that_changes_its_resolution_gives_the_frames_before(recording: bytes, tmp_path: Path):
    other = make_video(tmp_path / "b.ts", 20, options={"g": "10", "bf": "0"}, size=(96, 128)).read_bytes()
    with filming(recording + other, "http") as camera:
        read, words = read_until_error(open_source(camera.url))
        assert COUNT - 2 <= read <= COUNT
        assert words.startswith(f"stream {camera.url}, frame {read}: expected 64x48 pixels like the first frame, found")
        assert words.endswith("found 128x96")


def test_a_camera_that_changes_its_pixels_goes_on(recording: bytes, tmp_path: Path):
    other = make_video(tmp_path / "b.ts", 20, options={"g": "10", "bf": "0"}, pix_fmt="yuv444p").read_bytes()
    with filming(recording + other, "http") as camera:
        read, words = read_until_error(open_source(camera.url))
        assert read >= COUNT + 16
        assert words.endswith("then the end of the stream")


def test_a_camera_that_ends_within_a_packet_gives_the_frames_before(recording: bytes):
    with filming(recording[: 188 * (len(recording) // 376) + 77], "rtsp") as camera:
        read, words = read_until_error(open_source(camera.url))
        assert 5 < read < COUNT
        assert words.startswith(f"stream {camera.url}: expected more frames, found {read}, then ")


@pytest.mark.parametrize(
    ("path", "found"), [("none.mp4", "404"), ("page.html", "Invalid"), ("list.m3u8", ""), ("list.ffconcat", "")]
)
def test_an_address_of_anything_else_is_refused_and_leads_nowhere(path: str, found: str):
    with running() as server:
        part = f"{server.url}/part.ts"
        server.files["page.html"] = b"<!doctype html><title>Sign in</title>"
        server.files["list.m3u8"] = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{part}\n#EXT-X-ENDLIST\n".encode()
        server.files["list.ffconcat"] = f"ffconcat version 1.0\nfile '{part}'\n".encode()
        with pytest.raises(
            InputError, match=f"stream {server.url}/{path}: expected a whole, readable video, found.*{found}"
        ):
            open_source(f"{server.url}/{path}")
        assert {name for name, _ in server.asked} <= {path}


def test_passwords_are_in_no_name_and_no_message():
    assert name_of_stream("RTSP://user:word@Camera:554/1?token=secret#x") == "rtsp://camera:554/1"
    assert name_of_stream("http://[::1]:80/a.mp4") == "http://[::1]:80/a.mp4"
    with pytest.raises(InputError) as caught:
        open_source("http://user:word@127.0.0.1:9/a.mp4?token=secret", patience=2)
    assert (
        str(caught.value)
        == "stream http://127.0.0.1:9/a.mp4: expected a whole, readable video, found Connection refused"
    )


@pytest.mark.parametrize(
    "address", ["http://", "rtsp:///camera", "http://a b/c", "http://a:99999/", "http://[::1/", "http://a\n/"]
)
def test_an_address_without_a_host_is_refused(address: str):
    with pytest.raises(InputError, match="expected an address with a host, found none that is sound"):
        open_source(address)


@pytest.mark.parametrize("patience", [0, -1, float("nan"), float("inf"), 1e9])
def test_patience_is_a_number_of_seconds(patience: float):
    with pytest.raises(InputError, match="patience: expected seconds above 0, up to 3600, found"):
        options_for("http://localhost/a.mp4", patience)
