"""Decoding of video files and webcams by PyAV, and how a video shows that it is cut short or damaged."""

import re
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from numbers import Rational
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Int64, UInt8

from mfst_jax.errors import InputError, MissingExtraError, reason

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Frame = UInt8[np.ndarray, "height width 3"]
Labelled = Generator[tuple[str, Frame] | tuple[str, Frame, float | None], None, None]
"""Frames, each with the words that name it in an error; those of videos with a time in seconds too, or None."""

USUAL_FPS = 25.0
"""Frames per second where nothing says: of images, and of some videos."""
SeekPoint = tuple[int, int, int]
"""Seek point of a frame: the time to seek to, the timestamp of the keyframe there, and that of the frame itself, in
ticks of the stream."""
LARGEST_FRAME = 2**26
"""Number of pixels of a frame, at most: a file of a few bytes may say that it has any number of them."""
POSSIBLE_FPS = (0.001, 10_000)
"""Least and greatest number of frames per second that is believed, and can be written."""
HEIF_BRANDS = ("avif", "avis", "heic", "heim", "heis", "heix", "hevc", "hevx", "mif1", "mif2", "miaf", "msf1")
"""Brands of image files in MP4's container. Of these FFmpeg would give one of their tiles or images."""
PROBED_FRAMES, PROBED_BYTES = 1000, 1 << 26
"""Frames and bytes of a file that are read at most for the timestamps that give its frame rate."""
JUMP_SECONDS = 10
"""Seconds between frames beyond which the clock has jumped, in formats where it may, such as recordings of
broadcasts."""
SLACK = 2.5
"""Number of frames by which a sound video may end before the time that its header gives."""


def import_av(purpose: str = "reading video files"):
    """PyAV.

    Args:
      purpose: what messages say that it is needed for.

    Raises:
      InputError: it cannot be imported; `MissingExtraError` where that is since it is not installed.
    """
    try:
        import av
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "av":
            raise MissingExtraError("av", "video", purpose) from None
        raise InputError(f"{purpose}: expected a PyAV that can be imported, found {reason(error)}") from error
    return av


def open_container(what: str, address: str, **options) -> "InputContainer":
    """Container of the file or device at `address`, opened with PyAV's options.

    To learn what is in it, FFmpeg decodes frames here already, but none of more than `LARGEST_FRAME` pixels.

    Args:
      what: its name in errors.
      address: the file or device.
      **options: PyAV's.

    Raises:
      InputError: it cannot be opened.
    """
    av = import_av()
    if int(av.__version__.split(".")[0]) < 19:  # later ones read tags of any encoding, of which none matters
        options["metadata_errors"] = "replace"
    options["options"] = {"max_pixels": str(LARGEST_FRAME)} | options.get("options", {})
    started, patience = time.monotonic(), options.get("timeout")
    try:
        return av.open(address, **options)
    except (av.FFmpegError, ValueError) as error:
        if patience is not None and time.monotonic() - started >= patience:
            raise InputError(f"{what}: expected an answer within {patience:g} s, found none") from None
        raise InputError(f"{what}: expected a whole, readable video, found {reason(error)}") from None


def video_stream(what: str, container: "InputContainer") -> "VideoStream":
    """First video stream of a container that is not a cover picture.

    Raises:
      InputError: there is none, it consists of stills, FFmpeg has no decoder for it, or its frames are too large.
    """
    if container.metadata.get("major_brand", "").strip() in HEIF_BRANDS:
        raise InputError(f"{what}: expected a video, found a HEIC or AVIF image: save it as a PNG or JPEG")
    for stream in container.streams.video:
        if not stream.disposition & import_av().stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise InputError(f"{what}: expected a video that FFmpeg decodes, found one of an unknown codec")
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > LARGEST_FRAME:
                raise InputError(f"{what}: expected frames of at most {LARGEST_FRAME} pixels, found {width}x{height}")
            return stream
    kinds = ", ".join(stream.type for stream in container.streams if stream.type != "video") or "nothing"
    raise InputError(f"{what}: expected a video stream, found {kinds}")


def header_rate(stream: "VideoStream") -> float:
    """Frame rate of a stream by the header of its file, or by its device."""
    return _usable(stream.average_rate or stream.guessed_rate)


def frame_rate(container: "InputContainer", stream: "VideoStream") -> float:
    """Frame rate of a file, averaged over its first frames by their timestamps.

    Headers hold a nominal rate, or none. It is taken where the timestamps agree with it, since these are rounded; and
    where MP4 has counted many frames. What is read here is not decoded.
    """
    header = header_rate(stream)
    if "mp4" in container.format.name and stream.frames > PROBED_FRAMES:
        return header
    ticks = np.diff(np.sort(_timestamps(container, stream)))
    if container.format.flags & import_av().format.Flags.ts_discont.value and stream.time_base:
        ticks = ticks[ticks * float(stream.time_base) <= JUMP_SECONDS]
    total = int(ticks.sum())
    if not total or not stream.time_base:
        return header
    measured = _usable(len(ticks) / (total * stream.time_base))
    # Both ends may be rounded; and a frame of interlaced video can come as two packets, a field each.
    agrees = any(abs(measured / (packets * header) - 1) <= 2 / total for packets in (1, 2))
    return header if agrees else measured


def _timestamps(container: "InputContainer", stream: "VideoStream") -> Int64[np.ndarray, " frames"]:
    """Timestamps of the first frames of a file, in ticks of the stream, in the order of decoding."""
    times, size = [], 0
    with suppress(import_av().FFmpegError):  # damage shows when the frames are read
        for packet in container.demux(stream):
            size += packet.size
            if packet.size and packet.pts is not None:
                times.append(packet.pts)
            if len(times) == PROBED_FRAMES or size > PROBED_BYTES:
                break
    return np.array(times, np.int64)


def _usable(rate: Rational | None) -> float:
    slowest, fastest = POSSIBLE_FPS
    return float(rate) if rate and slowest <= float(rate) <= fastest else USUAL_FPS


def declared(container: "InputContainer", stream: "VideoStream", rate: float) -> tuple[int | None, float | None]:
    """Number of frames, and the time in seconds at which the last one ends, by the container's header.

    Either is None where the header does not say, or FFmpeg only estimates. Frame counts are off in sound files too (an
    edit list hides frames, fields or dropped frames count as frames), so the time is what tells a video that is cut
    short. AVI is the exception: FFmpeg derives its duration from the bytes that are there, but its timestamps are frame
    numbers, some of which may have no frame.
    """
    start = float((stream.start_time or 0) * (stream.time_base or 0))
    clock = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if container.format.name == "avi" and stream.frames and stream.time_base:
        seconds = float(stream.frames * stream.time_base)
        return round(seconds * rate), seconds + start
    if stream.frames and stream.duration and stream.time_base:
        return stream.frames, float(stream.duration * stream.time_base) + start
    if clock:  # most writers of Matroska leave it
        end = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    elif "matroska" in container.format.name and len(container.streams) == 1 and container.duration:
        end = container.duration / 1e6
    else:
        return stream.frames or None, None
    return round(max(end - start, 0) * rate) or None, end  # a live recording may start later than it says it ends


def decode(
    what: str,
    address: str,
    rate: float,
    first: int = 0,
    place: SeekPoint | None = None,
    *,
    endless: bool = False,
    **options,
) -> Labelled:
    """Frames of a video as they are shown, but in stored pixels (no aspect correction), with their times.

    A frame's time is that from the start of the stream by the file's own timestamps, whatever the frame rate is.

    Args:
      what: the name of the video in errors.
      address: the file or device.
      rate: frames per second.
      first: number of the first frame that is wanted.
      place: where that is, by `seeking.Index.find`. Without it all frames before it are decoded too.
      endless: whether it is a stream that does not end by itself.
      **options: PyAV's, to open it.

    Raises:
      InputError: where it breaks, or where the place does not lead to the frame, which shows before any frame comes.
    """
    av = import_av()
    with open_container(what, address, **options) as container:
        stream = video_stream(what, container)
        # Frame threads, PyAV's AUTO, would lose an error and the good frames decoded around it.
        stream.thread_type = "SLICE"
        stream.codec_context.options = {"max_pixels": str(LARGEST_FRAME)}
        count, seconds = declared(container, stream, rate)
        read, end, incomplete, problem = 0, 0.0, False, None
        missed = f"{what}: expected frame {first} where its index has it, found another"
        start = stream.start_time
        awaited: list[int] = []  # timestamps still to come: of the keyframe, then of the frame that is wanted
        try:
            if place is not None:
                asked, *awaited = place
                container.seek(asked, stream=stream)
                read = first
            for packet in container.demux(stream):
                incomplete = packet.is_corrupt if packet.size else incomplete
                for frame in _frames_of(packet):
                    if frame.pts is not None and stream.time_base:
                        end = max(end, float((frame.pts + frame.duration) * stream.time_base))
                    if awaited:
                        if frame.pts is None or frame.pts > awaited[0]:
                            raise InputError(missed)
                        while awaited and frame.pts == awaited[0]:
                            del awaited[0]
                        if awaited:
                            continue
                    start = frame.pts if start is None else start
                    if read >= first:
                        seconds_in = None
                        if frame.pts is not None and start is not None and stream.time_base:
                            seconds_in = float((frame.pts - start) * stream.time_base)
                        yield f"{what}, frame {read}", np.ascontiguousarray(_as_shown(frame)), seconds_in
                    read += 1
        except av.error.ExitError:
            problem = f"none for {options.get('timeout', 0):g} s"
        except av.FFmpegError as error:
            sized = read or stream.codec_context.width
            problem = reason(error) if sized else f"frames of an unknown size, or of more than {LARGEST_FRAME} pixels"
        if problem is None and endless:
            problem = "the end of the stream"
        if problem is None and incomplete and not container.format.name.startswith("mpeg"):  # those have no fixed end
            problem = "the end of the file within a frame"
        if awaited:
            raise InputError(missed)
        if problem is None and (not read or (seconds is not None and end < seconds - SLACK / rate)):
            problem = "the end of the file"
        if problem is not None:
            raise InputError(f"{what}: expected {count or 'more'} frames, found {read}, then {problem}")


def _frames_of(packet: "Packet") -> "Iterator[VideoFrame]":
    """Frames of a packet. If it does not decode, the good frames that the decoder still held come first."""
    try:
        frames = packet.decode()
    except import_av().FFmpegError:
        with suppress(import_av().FFmpegError, ValueError):  # `ValueError` of a decoder that could not be opened
            yield from packet.stream.codec_context.decode(None)
        raise
    yield from frames


def _as_shown(frame: "VideoFrame") -> Frame:
    """Pixels of a frame, turned and mirrored by its display matrix, to the nearest of the eight orientations."""
    from av.sidedata.sidedata import SideDataContainer

    pixels = frame.to_ndarray(format="rgb24")
    try:
        # Not `frame.side_data`: the frame would refer to what refers to it, and stay until Python looks for cycles.
        matrix = cast(Any, SideDataContainer)(frame).get("DISPLAYMATRIX")
    except ValueError:
        # PyAV fails where there is side data of a kind it has no name for, such as EXIF. Its angle knows no mirrors.
        return np.rot90(pixels, round(frame.rotation / 90))
    if matrix is None:
        return pixels
    # What is stored at (x, y) is shown at (a x + c y, b x + d y), but for a shift; the matrix's rest is perspective.
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
