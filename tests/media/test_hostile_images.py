"""Image files that would run programs, or take more memory or time than frames do, are refused."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfst_jax.errors import InputError
from mfst_jax.media import images, open_source, read_image
from mfst_jax.media.decoding import LARGEST_FRAME
from mfst_jax.pillow_images import ORIENTATION
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


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png"])
def test_frames_that_are_drawn_onto_one_another_have_less_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    pictures = [Image.new("RGB", (9, 9), shade) for shade in ("red", "blue")]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], lossless=True)
    monkeypatch.setattr(images, "LARGEST_COPIED", 81)
    assert len([*open_source(tmp_path / name).frames()]) == 2
    monkeypatch.setattr(images, "LARGEST_COPIED", 80)
    with pytest.raises(InputError, match=r"found 9x9 pixels, more than 80$"):
        open_source(tmp_path / name)


def growing_gif(path: Path, width: int, height: int) -> Path:
    """A GIF whose last frame says that it is larger than the others."""
    pictures = [Image.new("RGB", (9, 9), shade) for shade in ("red", "blue", "green")]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    extent, larger = (b"\x2c" + struct.pack("<4H", *corner, 9, 9) for corner in ((0, 0), (width - 9, height - 9)))
    begin, _, end = path.read_bytes().rpartition(extent)
    path.write_bytes(begin + larger + end)
    return path


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((6000, 6000), "found 6000x6000 pixels, more than 33554432$"),
        ((30000, 30000), "found Image size .900000000"),
    ],
)
def test_a_frame_that_makes_a_gif_larger_is_refused_before_it_takes_memory(tmp_path: Path, size, said: str):
    path = growing_gif(tmp_path / "x.gif", *size)
    assert images.count_and_rate(path)[0] is None
    frames = open_source(path).frames()
    assert [next(frames).shape for _ in range(2)] == [(9, 9, 3)] * 2
    with pytest.raises(InputError, match=f"frame 2: expected a readable image of 8 or 16 bits, {said}"):
        next(frames)


def test_a_frame_that_makes_a_gif_a_little_larger_is_whole(tmp_path: Path):
    # Pillow makes it RGBA as it is decoded, whatever it was before.
    *_, (_, frame) = images.read_frames(growing_gif(tmp_path / "x.gif", 20, 14))
    assert frame.shape == (14, 20, 3)
    assert frame.any()


LYING = """
import resource, sys
from pathlib import Path
from mfst_jax.errors import InputError
from mfst_jax.media.images import read_frames

size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**29,) * 2)
for path in sys.argv[1:]:
    try:
        print(len([*read_frames(Path(path))]))
    except InputError as error:
        print(error)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the kernel does not say how much is mapped")
def test_headers_that_promise_gigabytes_take_none(tmp_path: Path):
    Image.new("RGB", (9, 9)).save(tmp_path / "x.jp2")
    data = (tmp_path / "x.jp2").read_bytes()
    (tmp_path / "x.jp2").write_bytes(data.replace(b"\x00\x00\x00\x2djp2h", b"\xff\x00\x00\x2djp2h"))
    pictures = [Image.new("RGB", (9, 9), shade) for shade in ("red", "blue")]
    pictures[0].save(tmp_path / "x.png", save_all=True, append_images=pictures[1:])
    data = (tmp_path / "x.png").read_bytes()
    at = data.index(b"IDAT")
    (tmp_path / "x.png").write_bytes(data[: at - 4] + b"\x6f\0\0\0" + data[at:])
    command = [sys.executable, "-c", LYING, *(str(tmp_path / name) for name in ("x.jp2", "x.png"))]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MemoryError" not in run.stdout
    assert run.stdout.count("expected a readable image of 8 or 16 bits, found ") == 2


def largest(path: Path, mode: str, **options: object) -> Path:
    """A picture of as many pixels as one of its format may have, or three of them."""
    frames = 3 if options.pop("several", False) else 1
    copied = frames > 1 or path.suffix in (".webp", ".jp2")
    size = (2**13, images.LARGEST_COPIED // 2**13 if copied else images.LARGEST_FRAME // 2**13)
    first, *others = (Image.new(mode, size, shade) for shade in range(frames))
    first.save(path, save_all=True, append_images=others, **options) if others else first.save(path, **options)
    return path


TURNED = Image.Exif()
TURNED[ORIENTATION] = 6
LARGEST = [
    *(("x.png", mode, {}) for mode in ("RGB", "L", "P", "RGBA", "LA", "I;16")),
    *(("x.jpg", mode, {"exif": TURNED}) for mode in ("RGB", "CMYK")),
    *((name, "RGB", {}) for name in ("x.bmp", "x.ppm", "x.tiff", "x.jp2", "x.webp", "x.avif")),
    *(("x.gif", "RGB", {"several": True, "disposal": disposal}) for disposal in (0, 2, 3)),
    *((name, "RGB", {"several": True}) for name in ("x.webp", "x.png")),
]
PEAK = """
import sys
from pathlib import Path
from mfst_jax.media.images import read_frames

def peak():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

before = peak()
for _ in read_frames(Path(sys.argv[1])):
    pass
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not say how much was taken")
@pytest.mark.parametrize(("name", "mode", "options"), LARGEST)
def test_the_largest_pictures_take_a_gibibyte_at_most(tmp_path: Path, name: str, mode: str, options: dict):
    path = largest(tmp_path / name, mode, **options)
    run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 1024


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
