"""Frames of video files and webcams, decoded by PyAV, and what tells that a video is cut short or damaged."""

import re
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from mfst_jax.errors import InputError, MissingExtraError, reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frame = UInt8[np.ndarray, "height width 3"]
Labelled = Generator[tuple[str, Frame], None, None]
"""Frames, each with the words that name it in an error."""

USUAL_FPS = 25.0
"""Frames per second where nothing says: of images, and of some videos."""
SLACK = 2.5
"""By how many frames a sound video may end before the time that its header gives."""


def import_av(purpose: str = "reading video files"):
    """PyAV. Raises `MissingExtraError`, which names the purpose, where it is not installed."""
    try:
        import av
    except ImportError:
        raise MissingExtraError("av", "video", purpose) from None
    return av


def open_container(what: str, address: str, **options) -> "InputContainer":
    """The file or device at `address`, opened with PyAV's options. `what` names it in errors. Raises `InputError`."""
    av = import_av()
    try:
        return av.open(address, **options)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"{what}: expected a whole, readable video, found {reason(error)}") from None


def video_stream(what: str, container: "InputContainer") -> "VideoStream":
    """The container's first video. Raises `InputError` where it has none."""
    if not container.streams.video:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise InputError(f"{what}: expected a video stream, found {kinds}")
    return container.streams.video[0]


def frame_rate(stream: "VideoStream") -> float:
    """Frames per second, in the mean."""
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else USUAL_FPS


def declared(container: "InputContainer", stream: "VideoStream") -> tuple[int | None, float | None]:
    """Frames and seconds of video by the container's header; None where it does not say, or FFmpeg only estimates.

    Frame counts are off in sound files too (an edit list hides frames, fields or dropped frames count as frames), so
    the time is what tells a video that is cut short. AVI is the exception: FFmpeg derives its duration from the bytes
    that are there, but its timestamps are frame numbers.
    """
    rate, seconds = frame_rate(stream), None
    clock = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if container.format.name == "avi":
        seconds = stream.frames / rate or None
    elif stream.frames and stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif clock:  # Matroska, by most writers
        seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    elif "matroska" in container.format.name and len(container.streams) == 1 and container.duration:
        seconds = container.duration / 1e6
    return stream.frames or (round(seconds * rate) if seconds else None), seconds


def decode(what: str, address: str, **options) -> Labelled:
    """The frames of a video, turned upright, in stored pixels (no aspect correction). `InputError` where it breaks."""
    av = import_av()
    with open_container(what, address, **options) as container:
        stream = video_stream(what, container)
        # Frame threads, PyAV's AUTO, would lose an error and the good frames decoded around it.
        stream.thread_type = "SLICE"
        count, seconds = declared(container, stream)
        read, end, incomplete, problem = 0, 0.0, False, None
        try:
            for packet in container.demux(stream):
                incomplete = packet.is_corrupt if packet.size else incomplete
                for frame in _frames_of(packet):
                    # Rotation is counter-clockwise, as in numpy.
                    pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                    if frame.time is not None and frame.time_base is not None:
                        end = max(end, frame.time + float(frame.duration * frame.time_base))
                    yield f"{what}, frame {read}", np.ascontiguousarray(pixels)
                    read += 1
        except av.FFmpegError as error:
            problem = reason(error)
        if stream.start_time and stream.time_base:
            end -= float(stream.start_time * stream.time_base)
        if problem is None and incomplete and not container.format.name.startswith("mpeg"):  # those have no fixed end
            problem = "the end of the file within a frame"
        if problem is None and (not read or (seconds is not None and end < seconds - SLACK / frame_rate(stream))):
            problem = "the end of the file"
        if problem is not None:
            raise InputError(f"{what}: expected {count or 'more'} frames, found {read}, then {problem}")


def _frames_of(packet: "Packet") -> "Iterator[VideoFrame]":
    """What a packet decodes to. If it does not decode, the good frames that the decoder still held come first."""
    try:
        frames = packet.decode()
    except import_av().FFmpegError:
        with suppress(import_av().FFmpegError):
            yield from packet.stream.codec_context.decode(None)
        raise
    yield from frames
