"""Pictures and videos that tests write, each frame as bright as its number says; sources that end early."""

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media.source import Source

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
"""How to make videos of many kinds, by the name of the file."""


def end_sources_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every source ends after so many frames, the built-in clip too."""
    whole = Source.timed_frames
    monkeypatch.setattr(Source, "timed_frames", lambda source: first_of(whole(source), count))


def first_of(frames, count):
    """The first `count` of what a generator yields, as a generator."""
    with closing(frames):
        yield from islice(frames, count)


def noisy(level, size=(48, 64)):
    rng = np.random.default_rng(level)
    return np.clip(rng.integers(0, 40, (*size, 3)) + 3 * level, 0, 255).astype(np.uint8)


def save(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(path)


def make_video(
    path,
    count=40,
    *,
    codec="libx264",
    options=None,
    container_options=None,
    size=(48, 64),
    seconds_of_sound=0,
    rate=25,
    metadata=None,
    picture=noisy,
    pix_fmt="yuv420p",
):
    with av.open(str(path), "w", options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = cast(VideoStream, container.add_stream(codec, rate=rate, options=options or {}))
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        sound = container.add_stream("aac", rate=44100) if seconds_of_sound else None
        for level in range(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(level, size), format="rgb24")))
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


def hide_beginning(path: Path, edited_path: Path, *, frames: int) -> None:
    """Writes a video of `make_video` again with an edit list that hides its first frames, of 512 ticks each."""
    with av.open(str(path)) as whole, av.open(str(edited_path), "w") as edited:
        stream = edited.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.pts is not None and packet.dts is not None:
                packet.pts, packet.dts = packet.pts - frames * 512, packet.dts - frames * 512
                packet.stream = stream
                edited.mux(packet)
