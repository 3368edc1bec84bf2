"""Sources that FFmpeg decodes: a video file, an address, a webcam."""

import sys
import tarfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from mfst_jax.errors import InputError
from mfst_jax.media.decoding import (
    declared,
    decode,
    frame_rate,
    header_rate,
    import_av,
    open_container,
    video_stream,
)
from mfst_jax.media.seeking import decode_from, index_video
from mfst_jax.media.source import Source, first_size
from mfst_jax.media.streams import name_of_stream, options_for


def open_video(path: Path, truth: np.ndarray | None = None) -> Source:
    """Source of a video file, with its true boxes if there are some. Raises `InputError` where it cannot be read."""
    what = f"video {path}"
    if _is_archive(path):
        raise InputError(f"{what}: expected a video, found an archive: unpack it first")
    address = str(path.absolute())  # a colon in a relative name would make it an address
    with open_container(what, address) as container:
        stream = video_stream(what, container)
        fps = frame_rate(container, stream)
        count, _ = declared(container, stream, fps)
    read, index = partial(decode, what, address, fps), cache(partial(index_video, what, address))
    return Source(
        *(path.stem, first_size(read), count, fps, truth, read),
        timed=True,
        read_from=lambda first: decode_from(what, address, fps, first, index()),
    )


def open_stream(address: str, patience: float | int) -> Source:
    """Source of an address. One that does not say its length is live, and so is a camera by RTSP.

    Raises:
      InputError: it does not answer within `patience` seconds, or brings no video.
    """
    name = name_of_stream(address)
    what, options = f"stream {name}", options_for(address, patience)
    with open_container(what, address, **options) as container:
        stream = video_stream(what, container)
        live = container.format.name == "rtsp" or (container.size or 0) <= 0
        fps = header_rate(stream) if live else frame_rate(container, stream)
        count, _ = (None, None) if live else declared(container, stream, fps)
    read = partial(decode, what, address, fps, endless=live, **options)
    return Source(name, first_size(read), count, fps, None, read, live=live, timed=True)


def open_webcam(index: int) -> Source:
    """Source of the webcam of a number. Raises `InputError` where there is none, or it gives no frame."""
    what, device, options = f"webcam {index}", str(index), {}
    if sys.platform == "darwin":
        options = {"format": "avfoundation", "options": {"framerate": "30"}}
    elif sys.platform == "win32":
        device, options = f"video={_windows_webcam(index)}", {"format": "dshow"}
    else:
        device, options = f"/dev/video{index}", {"format": "v4l2"}
    try:
        with open_container(what, device, **options) as container:
            fps = header_rate(video_stream(what, container))
    except InputError:
        if device.startswith("/") and not Path(device).exists():
            raise InputError(f"{what}: expected a camera at {device}, found none") from None
        raise
    read = partial(decode, what, device, fps, **options)
    return Source(what, first_size(read), None, fps, None, read, live=True, timed=True)


def _is_archive(path: Path) -> bool:
    """Whether a file is one in which FFmpeg would find pictures, in the order of the archive."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\3\4" or tarfile.is_tarfile(path)


def _windows_webcam(index: int) -> str:
    """DirectShow's name of a webcam, since DirectShow has no numbers."""
    devices = [device for device in import_av().enumerate_input_devices("dshow") if "video" in device.media_types]
    if index >= len(devices):
        raise InputError(f"webcam {index}: expected a number below the {len(devices)} webcams, found {index}")
    return devices[index].name
