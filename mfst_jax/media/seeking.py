"""Seeking: frames of a video by their number, without decoding all before them.

A number counts decoded frames, as they are shown, from 0. Containers know timestamps instead, so an index lists the
timestamps of all frames in order. It is made from packets, and trusted only where the first decoded frames have these
timestamps, and where decoding can begin at a keyframe: not in streams that are refreshed bit by bit.
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import Labelled, SeekPoint, decode, import_av, open_container, video_stream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

TRIED = 48
"""Number of decoded frames that must have the timestamps that the index gives them."""
SMALLEST_PACKET = 16
"""Bytes of the smallest packet of MPEG-4 that holds a frame; a smaller one says that the frame before stays."""


@dataclass(frozen=True, eq=False)
class Index:
    """Index of a video: when its frames are shown, and where decoding can begin, in ticks of its stream.

    Attributes:
      shown: Timestamp of each frame, increasing.
      keys: Timestamps of the keyframes, increasing.
      asked: Time to seek to for each keyframe.
    """

    shown: Int64[np.ndarray, " frames"]
    keys: Int64[np.ndarray, " keys"]
    asked: Int64[np.ndarray, " keys"]

    def find(self, number: int) -> SeekPoint | None:
        """Seek point of frame `number`; None where it is not there, or no keyframe comes before it."""
        if not 0 <= number < len(self.shown):
            return None
        shown = int(self.shown[number])
        key = bisect_right(self.keys, shown) - 1
        return None if key < 0 else (int(self.asked[key]), int(self.keys[key]), shown)


def index_video(what: str, address: str) -> Index | None:
    """Index of a video file, read without decoding more than its first frames.

    It is None where frames cannot be told by timestamps: where these are missing, repeat or may jump, where the file is
    damaged, or where packets and frames do not match.

    Args:
      what: the name of the video in errors.
      address: the file.

    Raises:
      InputError: it cannot be opened.
    """
    av = import_av()
    with open_container(what, address) as container:
        stream = video_stream(what, container)
        if container.format.flags & av.format.Flags.ts_discont.value:
            return None
        # Matroska and MP4 are sought by the time at which a frame is shown, others by that at which it is decoded.
        by_dts = not any(name in container.format.name for name in ("matroska", "mp4"))
        may_hold_none = stream.codec_context.name in ("mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "msmpeg4")
        shown, keys = [], []
        try:
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                if packet.pts is None or packet.is_corrupt or (may_hold_none and packet.size < SMALLEST_PACKET):
                    return None
                if packet.is_keyframe:
                    keys.append((packet.pts, packet.dts if by_dts and packet.dts is not None else packet.pts))
                if not packet.is_discard:  # or an edit list hides it
                    shown.append(packet.pts)
        except av.FFmpegError:
            return None
    ordered, table = np.sort(np.array(shown, np.int64)), np.array(sorted(keys), np.int64).reshape(-1, 2)
    if not len(ordered) or not len(table) or (np.diff(ordered) == 0).any():
        return None
    with open_container(what, address) as container:
        found = list(islice(_decoded_times(container, video_stream(what, container)), TRIED))
    return Index(ordered, table[:, 0], table[:, 1]) if found == ordered[:TRIED].tolist() else None


def decode_from(what: str, address: str, rate: float, first: int, index: Index | None) -> Labelled:
    """Frames from number `first` on, as `decoding.decode` gives them, sought where the index allows it.

    Where seeking does not lead to the frame, all frames before it are decoded.
    """
    place = None if index is None else index.find(first)
    if place is not None:
        sought = decode(what, address, rate, first, place)
        try:
            head = next(sought)
        except (InputError, StopIteration):
            pass
        else:
            yield head
            yield from sought
            return
    yield from decode(what, address, rate, first)


def _decoded_times(container: "InputContainer", stream: "VideoStream") -> Iterator[int | None]:
    with suppress(import_av().FFmpegError):
        for frame in container.decode(stream):
            yield frame.pts
