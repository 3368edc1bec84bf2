"""Image files that would run programs, or take more memory or time than frames do, are refused."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media import images, open_source, read_image
from mfst_jax.media.decoding import LARGEST_FRAME
from mfst_jax.sequences.formats import masks
from mfst_jax.sequences.image_files import image_size

PROGRAMS: list[str] = []


def _note(event: str, arguments: tuple) -> None:
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"):
        PROGRAMS.append(event)


sys.addaudithook(_note)


def png(path: Path, width: int, height: int) -> Path:
    """A grey PNG whose header says how large it is, and which holds no row of that."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("size", [(2**13, 2**13 + 1), (60_000, 60_000), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1)])
def test_more_pixels_than_a_frame_may_have_are_refused_by_the_header(tmp_path: Path, size: tuple[int, int]):
    path = png(tmp_path / "x.png", *size)
    for read in (read_image, open_source):
        with pytest.raises(InputError, match="expected a readable image of 8 or 16 bits, found"):
            read(path)


def test_the_largest_frame_is_stated(tmp_path: Path):
    with pytest.raises(InputError, match=rf"found 8192x8193 pixels, more than {LARGEST_FRAME}$"):
        read_image(png(tmp_path / "x.png", 8192, 8193))


def test_a_page_that_is_larger_than_the_first_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first, second = Image.new("L", (8, 8)), Image.new("L", (9, 9))
    first.save(tmp_path / "x.tiff", save_all=True, append_images=[second])
    monkeypatch.setattr(images, "LARGEST_FRAME", 64)
    frames = open_source(tmp_path / "x.tiff").frames()
    assert next(frames).shape == (8, 8, 3)
    with pytest.raises(InputError, match="frame 1: expected a readable image of 8 or 16 bits, found 9x9 pixels"):
        next(frames)


def test_postscript_under_the_name_of_an_image_is_not_run(tmp_path: Path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.eps")
    data = (tmp_path / "x.eps").read_bytes()
    for name in ("x.png", "x.jpg", "x.tif"):
        (tmp_path / name).write_bytes(data)
        del PROGRAMS[:]
        for read in (read_image, image_size, masks._read_mask):
            with pytest.raises(InputError, match="cannot identify image file"):
                read(tmp_path / name)
        assert PROGRAMS == []


def test_frames_are_counted_as_long_as_that_takes_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pictures = [Image.new("L", (10, 10), shade) for shade in range(0, 200, 10)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:], duration=50)
    assert (open_source(tmp_path / "x.gif").count, open_source(tmp_path / "x.gif").fps) == (20, 20)
    monkeypatch.setattr(images, "COUNTED_PIXELS", 1000)
    source = open_source(tmp_path / "x.gif")
    assert (source.count, source.fps) == (None, 20)
    assert len([*source.frames()]) == 20
