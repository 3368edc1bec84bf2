"""Seeds and readers of frames: images of every format that is read, and videos."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from PIL import Image

from fuzzing.parser import Content, Parser, picture
from mfst_jax.media import open_source

MOST_FRAMES = 8
"""Number of frames that are read of each input."""


def read_source(name: str, folder: Path) -> None:
    """Opens a file as `mfst track` does, and reads its frames, from the first and from a later one."""
    source = open_source(folder / name)
    for start in (0, 1) if source.count != 1 else (0,):
        for _ in islice(source.starting_at(start).frames(), MOST_FRAMES):
            pass


def of(
    name: str, kind: str, mode: str = "RGB", size: tuple[int, int] = (9, 7), **options: object
) -> Callable[[], Content]:
    """Seed of one picture."""
    return lambda: {name: picture(kind, size, mode, **options)}


def several(name: str, kind: str, mode: str = "RGB", **options: object) -> Callable[[], Content]:
    """Seed of three frames in a file."""

    def make() -> Content:
        buffer = BytesIO()
        first, *others = (Image.new(mode, (9, 7), shade) for shade in (40, 90, 200))
        first.save(buffer, kind, save_all=True, append_images=others, **options)
        return {name: buffer.getvalue()}

    return make


def exif(name: str, orientation: int) -> Callable[[], Content]:
    """Seed of a JPEG with an orientation."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return lambda: {name: picture("JPEG", (9, 7), "RGB", exif=tags.tobytes())}


def png_without_checksums(folder: Path) -> None:
    """Reads a PNG whose checksums are made right after the damage, so that it reaches the code behind them."""
    path = folder / "x.png"
    data = path.read_bytes()
    whole, at = data[:8], 8
    while at + 12 <= len(data):
        size = min(struct.unpack(">I", data[at : at + 4])[0], len(data) - at - 12)
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        whole += data[at : at + 8] + content + struct.pack(">I", zlib.crc32(kind + content))
        at += 12 + size
    path.write_bytes(whole)
    read_source("x.png", folder)


def video(
    name: str, codec: str = "mpeg4", pix_fmt: str = "yuv420p", frames: int = 5, **options: str
) -> Callable[[], Content]:
    """Seed of a small video."""

    def make() -> Content:
        buffer = BytesIO()
        kind = {"mkv": "matroska", "ts": "mpegts"}.get(name.rsplit(".", 1)[1], name.rsplit(".", 1)[1])
        with av.open(buffer, "w", format=kind) as container:
            made = container.add_stream(codec, rate=Fraction(25), options={"threads": "1", **options})
            stream = cast(VideoStream, made)
            stream.width, stream.height, stream.pix_fmt = 32, 32, pix_fmt
            for level in range(frames):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * level + 20, np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return {name: buffer.getvalue()}

    return make


def _parser(name: str, *seeds: Callable[[], Content], share: float = 2.0) -> Parser:
    """Parser of files that all have the name of the first seed's."""
    (file,) = seeds[0]()
    return Parser(name, partial(read_source, file), seeds, share=share, compiled=True)


TIFFS = tuple(of("x.tiff", "TIFF", mode, compression=kind) for mode, kind in (
    *(("RGB", None), ("L", "tiff_lzw"), ("RGB", "tiff_deflate"), ("RGB", "jpeg"), ("1", "group4"), ("I;16", None)),
    *(("P", "packbits"), ("CMYK", None), ("RGBA", "tiff_adobe_deflate"), ("L", "lzma"), ("RGB", "zstd")),
))  # fmt: skip
PARSERS = (
    _parser(
        "image: PNG", of("x.png", "PNG"), of("x.png", "PNG", "P"), of("x.png", "PNG", "I;16"), of("x.png", "PNG", "LA")
    ),
    replace(
        _parser("image: PNG, checksums mended", of("x.png", "PNG"), several("x.png", "PNG")), read=png_without_checksums
    ),
    _parser("image: animated PNG", several("x.png", "PNG", duration=40)),
    _parser(
        "image: JPEG", of("x.jpg", "JPEG"), of("x.jpg", "JPEG", "CMYK"), exif("x.jpg", 6), of("x.jpg", "JPEG", "L")
    ),
    _parser("image: TIFF", *TIFFS, share=4),
    _parser(
        "image: TIFF of several pages", several("x.tiff", "TIFF"), several("x.tiff", "TIFF", compression="tiff_lzw")
    ),
    _parser("image: BMP", of("x.bmp", "BMP"), of("x.bmp", "BMP", "P")),
    _parser("image: GIF", several("x.gif", "GIF", duration=40), of("x.gif", "GIF", "P")),
    _parser("image: WebP", of("x.webp", "WEBP"), several("x.webp", "WEBP", duration=40)),
    _parser("image: JPEG 2000", of("x.jp2", "JPEG2000"), of("x.jp2", "JPEG2000", "L")),
    _parser("image: AVIF", of("x.avif", "AVIF", size=(16, 16)), several("x.avif", "AVIF"), share=0.3),
    _parser("image: PPM, PGM and PBM", of("x.ppm", "PPM"), of("x.ppm", "PPM", "L"), of("x.ppm", "PPM", "1")),
    _parser("video: MP4", video("x.mp4"), video("x.mp4", "libx264", preset="ultrafast"), share=0.1),
    _parser("video: Matroska", video("x.mkv"), video("x.mkv", "ffv1"), share=0.1),
    _parser("video: AVI", video("x.avi"), video("x.avi", "mjpeg", "yuvj420p"), share=0.1),
    _parser("video: MPEG-TS", video("x.ts", "mpeg2video", frames=20), share=0.05),
)
